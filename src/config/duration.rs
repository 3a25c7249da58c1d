//! Lengths of time as users write them: `90s`, `30m`, `1h30m`, or a bare number of seconds.
//!
//! By hand, because jiff's friendly parser refuses a bare number and takes calendar units, which no timeout has.

use std::fmt;
use std::time::Duration;

/// The units, from the largest to the smallest, with their length in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest length taken, in days: more than a Slurm job lives, and far from where arithmetic on times overflows.
const MAX_DAYS: u64 = 3_660;

/// A text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing was written.
    #[error("a duration is missing; write for example 90s, 30m, 1h30m or a number of seconds")]
    Empty,
    /// A minus sign.
    #[error("a duration cannot be negative")]
    Negative,
    /// Something that is neither a digit nor a unit where one was expected.
    #[error("'{text}' is not a duration; write for example 90s, 30m, 1h30m or a number of seconds")]
    Malformed {
        /// What was written.
        text: String,
    },
    /// A number without a unit beside one that has a unit.
    #[error("'{text}' does not say the unit of {number}; use d, h, m, s or ms")]
    NoUnit {
        /// What was written.
        text: String,
        /// The number without a unit.
        number: String,
    },
    /// A unit that is not known.
    #[error("'{unit}' is not a unit of time; use d, h, m, s or ms")]
    UnknownUnit {
        /// The unit as written.
        unit: String,
    },
    /// A unit twice, or a small one before a large one.
    #[error("'{text}' is out of order; write each unit once and the largest first, as in 1h30m")]
    Order {
        /// What was written.
        text: String,
    },
    /// More than the longest length taken.
    #[error("'{text}' is too long; the longest duration is {MAX_DAYS}d (use 0 where that means never)")]
    TooLong {
        /// What was written.
        text: String,
    },
}

/// Reads a length of time.
///
/// # Errors
/// See [`DurationError`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text.starts_with('-') {
        return Err(DurationError::Negative);
    }
    let too_long = || DurationError::TooLong { text: text.to_owned() };
    let millis = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1_000)).ok_or_else(too_long)?
    } else {
        sum_of_units(text)?
    };
    if millis > MAX_DAYS * 86_400_000 { Err(too_long()) } else { Ok(Duration::from_millis(millis)) }
}

fn sum_of_units(text: &str) -> Result<u64, DurationError> {
    let mut rest = text;
    let mut total = 0_u64;
    let mut smallest_yet: Option<u64> = None;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, after) = split_where(after, |c| !c.is_ascii_alphabetic());
        if number.is_empty() {
            return Err(DurationError::Malformed { text: text.to_owned() });
        }
        if unit.is_empty() {
            // `1.5h`, `1h 30m` and `10:00` end here too: what follows the number says which.
            return Err(if after.is_empty() {
                DurationError::NoUnit { text: text.to_owned(), number: number.to_owned() }
            } else {
                DurationError::Malformed { text: text.to_owned() }
            });
        }
        let length = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, length)| *length)
            .ok_or_else(|| DurationError::UnknownUnit { unit: unit.to_owned() })?;
        if smallest_yet.is_some_and(|smallest| length >= smallest) {
            return Err(DurationError::Order { text: text.to_owned() });
        }
        smallest_yet = Some(length);
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(length))
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| DurationError::TooLong { text: text.to_owned() })?;
        rest = after;
    }
    Ok(total)
}

fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// Writes a length of time as [`parse_duration`] reads it, to the millisecond: `1h30m`, and `0s` for none.
#[must_use]
pub fn format_duration(duration: Duration) -> impl fmt::Display {
    Written(duration)
}

struct Written(Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in UNITS {
            let count = left / length;
            left %= length;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    #[test_case("0", 0, "0s")]
    #[test_case("0s", 0, "0s"; "zero with a unit")]
    #[test_case("90s", 90_000, "1m30s")]
    #[test_case("600", 600_000, "10m")]
    #[test_case("30m", 1_800_000, "30m")]
    #[test_case("1h30m", 5_400_000, "1h30m")]
    #[test_case(" 2d ", 172_800_000, "2d"; "surrounding spaces")]
    #[test_case("1s500ms", 1_500, "1s500ms")]
    fn reads_and_writes(text: &str, millis: u64, written: &str) {
        let duration = parse_duration(text).unwrap();
        assert_eq!(duration, Duration::from_millis(millis));
        assert_eq!(format_duration(duration).to_string(), written);
    }

    #[test_case("", "a duration is missing; write for example 90s, 30m, 1h30m or a number of seconds")]
    #[test_case("-5s", "a duration cannot be negative")]
    #[test_case("soon", "'soon' is not a duration; write for example 90s, 30m, 1h30m or a number of seconds")]
    #[test_case("1.5h", "'1.5h' is not a duration; write for example 90s, 30m, 1h30m or a number of seconds")]
    #[test_case("10:00", "'10:00' is not a duration; write for example 90s, 30m, 1h30m or a number of seconds")]
    #[test_case("1h 30m", "'1h 30m' is not a duration; write for example 90s, 30m, 1h30m or a number of seconds")]
    #[test_case("1h30", "'1h30' does not say the unit of 30; use d, h, m, s or ms")]
    #[test_case("5min", "'min' is not a unit of time; use d, h, m, s or ms")]
    #[test_case("30M", "'M' is not a unit of time; use d, h, m, s or ms")]
    #[test_case("30m1h", "'30m1h' is out of order; write each unit once and the largest first, as in 1h30m")]
    #[test_case("1h1h", "'1h1h' is out of order; write each unit once and the largest first, as in 1h30m")]
    #[test_case("4000d", "'4000d' is too long; the longest duration is 3660d (use 0 where that means never)")]
    #[test_case(
        "99999999999999999999",
        "'99999999999999999999' is too long; the longest duration is 3660d (use 0 where that means never)"
    )]
    #[test_case(
        "99999999999999999d",
        "'99999999999999999d' is too long; the longest duration is 3660d (use 0 where that means never)"
    )]
    fn says_what_is_wrong(text: &str, message: &str) {
        assert_eq!(parse_duration(text).unwrap_err().to_string(), message);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0..MAX_DAYS * 86_400_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration).to_string()), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            drop(parse_duration(&text));
        }
    }
}
