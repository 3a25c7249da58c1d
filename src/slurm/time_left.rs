//! Lengths of time as Slurm prints them.

use std::time::Duration;

/// How long a job may still run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLeft {
    /// So long.
    Known(Duration),
    /// There is no limit.
    Unlimited,
    /// Slurm does not say: not set yet, or past its limit.
    Unknown,
}

impl TimeLeft {
    /// Reads `[days-][hours:]minutes:seconds`, `UNLIMITED`, and the words for "not known": `NOT_SET`, `N/A`,
    /// `INVALID`, `Partition_Limit`. Anything else is not known either.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        if text.eq_ignore_ascii_case("UNLIMITED") || text.eq_ignore_ascii_case("INFINITE") {
            return Self::Unlimited;
        }
        seconds(text).map_or(Self::Unknown, |seconds| Self::Known(Duration::from_secs(seconds)))
    }
}

fn seconds(text: &str) -> Option<u64> {
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (number(days)?, clock),
        None => (0, text),
    };
    let fields: Vec<u64> = clock.split(':').map(number).collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match (fields.as_slice(), days) {
        ([hours, minutes, seconds], _) => (*hours, *minutes, *seconds),
        ([minutes, seconds], 0) => (0, *minutes, *seconds),
        _ => return None,
    };
    let hours = days.checked_mul(24)?.checked_add(hours)?;
    hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60)?.checked_add(seconds)
}

fn number(text: &str) -> Option<u64> {
    // `parse` takes a plus sign, Slurm prints none.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    fn known(seconds: u64) -> TimeLeft {
        TimeLeft::Known(Duration::from_secs(seconds))
    }

    #[test_case("5:00", known(300))]
    #[test_case("0:00", known(0))]
    #[test_case("4:57", known(297))]
    #[test_case("23:59:59", known(86_399))]
    #[test_case("1-00:00:00", known(86_400))]
    #[test_case("365-01:02:03", known(365 * 86_400 + 3_723))]
    #[test_case("UNLIMITED", TimeLeft::Unlimited)]
    #[test_case("NOT_SET", TimeLeft::Unknown)]
    #[test_case("N/A", TimeLeft::Unknown)]
    #[test_case("INVALID", TimeLeft::Unknown)]
    #[test_case("Partition_Limit", TimeLeft::Unknown)]
    #[test_case("", TimeLeft::Unknown; "nothing")]
    #[test_case("1-00:00", TimeLeft::Unknown; "days without seconds")]
    #[test_case("-5:00", TimeLeft::Unknown; "negative")]
    #[test_case("+5:00", TimeLeft::Unknown; "plus sign")]
    #[test_case("99999999999999999999:00", TimeLeft::Unknown; "overflow")]
    fn reads_every_form(text: &str, left: TimeLeft) {
        assert_eq!(TimeLeft::parse(text), left);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-0-9:A-Z]*|\\PC*") {
            let _ = TimeLeft::parse(&text);
        }
    }
}
