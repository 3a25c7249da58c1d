//! The time at which Slurm expects to start a job: asked for with its zone, and shown in the short form that people read.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// How `squeue` is to write a time: with its distance to UTC, for the cluster may be in another zone than this machine. A
/// form that the user chose for himself, such as `relative`, could not be read.
pub(super) const TIME_FORMAT: &str = "SLURM_TIME_FORMAT=%Y-%m-%dT%H:%M:%S%z";

/// RFC 3339 of a time that was written so: `2026-11-21T14:05:00+01:00`. Another text is kept as it came.
pub(super) fn read(text: &str) -> String {
    let zoned = Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", text).is_ok();
    match text.split_at_checked(text.len().saturating_sub(2)) {
        Some((time, minutes)) if zoned => format!("{time}:{minutes}"),
        Some(_) | None => text.to_owned(),
    }
}

/// `2026-11-21T14:05:00+01:00` as `14:05` if that is today on this machine, else as `23 Nov 14:05`, by this machine's clock.
/// A time without a zone is shown as it is written; a text of another form as it came.
#[must_use]
pub fn short_start(text: &str, today: Date) -> String {
    match local(text, &TimeZone::system()) {
        Some(at) if at.date() == today => at.strftime("%H:%M").to_string(),
        Some(at) => at.strftime("%-d %b %H:%M").to_string(),
        None => text.to_owned(),
    }
}

fn local(text: &str, zone: &TimeZone) -> Option<DateTime> {
    match text.parse::<Timestamp>() {
        Ok(at) => Some(zone.to_datetime(at)),
        Err(_) => text.parse().ok(),
    }
}

/// The date on this machine.
#[must_use]
pub fn today() -> Date {
    Zoned::now().date()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::offset;
    use test_case::test_case;

    use super::*;

    #[test_case("2026-11-21T14:05:00", "14:05"; "today")]
    #[test_case("2026-11-23T14:05:09", "23 Nov 14:05"; "another day")]
    #[test_case("2027-01-03T09:00:00", "3 Jan 09:00"; "another year")]
    #[test_case("14:05", "14:05"; "no date")]
    #[test_case("soon", "soon"; "another form")]
    fn is_short(text: &str, expected: &str) {
        assert_eq!(short_start(text, date(2026, 11, 21)), expected);
    }

    #[test_case("2026-11-21T14:05:00+0100", "2026-11-21T14:05:00+01:00")]
    #[test_case("2026-11-21T14:05:00-0330", "2026-11-21T14:05:00-03:30"; "west")]
    #[test_case("2026-11-21T14:05:00", "2026-11-21T14:05:00"; "no zone")]
    #[test_case("Tomorr 00:00", "Tomorr 00:00"; "another form")]
    #[test_case("é", "é"; "no digits")]
    fn is_read(text: &str, expected: &str) {
        assert_eq!(read(text), expected);
    }

    #[test_case("2026-11-21T14:05:00+01:00", "2026-11-21T14:05:00"; "the same zone")]
    #[test_case("2026-11-21T08:05:00-05:00", "2026-11-21T14:05:00"; "a cluster far away")]
    #[test_case("2026-11-21T23:30:00-05:00", "2026-11-22T05:30:00"; "already tomorrow here")]
    #[test_case("2026-11-21T14:05:00", "2026-11-21T14:05:00"; "not told")]
    fn is_told_by_the_clock_here(text: &str, expected: &str) {
        let here = TimeZone::fixed(offset(1));
        assert_eq!(local(text, &here).map(|at| at.to_string()).as_deref(), Some(expected));
    }
}
