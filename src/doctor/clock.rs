//! Whether the host's clock agrees with ours: certificates and one-time codes are judged by it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Finding;

const CHECK: &str = "clock";

/// How far apart they may be. A one-time code is good for half a minute.
const TOLERANCE: Duration = Duration::from_secs(30);

/// Judges what the host said was the time, in seconds since 1970, which it was asked between these two moments of ours.
pub(super) fn check(theirs: Option<&str>, asked: SystemTime, answered: SystemTime) -> Finding {
    let since = |moment: SystemTime| moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let Some(theirs) = theirs.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs) else {
        return Finding::warn(CHECK, "the host did not say what time it is");
    };
    // Whole seconds are told.
    let (early, late) = (since(asked).saturating_sub(Duration::from_secs(1)), since(answered));
    let apart = early.saturating_sub(theirs).max(theirs.saturating_sub(late));
    if apart <= TOLERANCE {
        return Finding::ok(CHECK, "the host's and ours agree");
    }
    let way = if theirs > late { "ahead of" } else { "behind" };
    Finding::warn(CHECK, format!("the host's is {} s {way} ours", apart.as_secs()))
        .advice(
            "certificates and one-time codes may be refused: let the wrong one be set by NTP (`timedatectl status` tells whether \
             it is)",
        )
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;
    use crate::doctor::Level;

    #[test_case("1000", Level::Ok, "agree"; "the same")]
    #[test_case("1050", Level::Warn, "40 s ahead"; "well ahead")]
    #[test_case("900", Level::Warn, "99 s behind"; "behind")]
    #[test_case("soon", Level::Warn, "did not say"; "no number")]
    fn is_judged(theirs: &str, level: Level, words: &str) {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let found = check(Some(theirs), at(1000), at(1010));
        assert_eq!(found.level, level, "{found:?}");
        assert!(found.seen.contains(words), "{found:?}");
    }
}
