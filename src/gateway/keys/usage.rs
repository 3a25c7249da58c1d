//! How much of a key is used at the moment: a few numbers, and no lock.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What a limit by the minute is counted over.
const MINUTE: Duration = Duration::from_mins(1);

/// What is under way with one key, and what was of late. It outlives a change of the key's limits.
#[derive(Debug)]
pub(super) struct Usage {
    in_flight: AtomicUsize,
    start: Instant,
    /// When all of a minute's requests may come at once again, in nanoseconds after the start: each request puts it off by
    /// its part of a minute. (The generic cell rate algorithm: exact, in one number, and nothing to be cleared.)
    full_at: AtomicU64,
}

impl Usage {
    pub(super) fn new() -> Self {
        Self { in_flight: AtomicUsize::new(0), start: Instant::now(), full_at: AtomicU64::new(0) }
    }

    /// Counts one more that is under way, unless that were more than `limit`.
    pub(super) fn enter(&self, limit: Option<NonZeroUsize>) -> bool {
        let fits = |now: usize| now.checked_add(1).filter(|more| limit.is_none_or(|limit| *more <= limit.get()));
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// One that entered has ended.
    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts one of this minute's requests; or says when there is room for it.
    pub(super) fn take(&self, per_minute: NonZeroU32, now: Instant) -> Result<(), Duration> {
        let (now, minute) = (nanos(now.saturating_duration_since(self.start)), nanos(MINUTE));
        let step = minute / u64::from(per_minute.get());
        let later = |full_at: u64| full_at.max(now) + step;
        let fits = |full_at: u64| Some(later(full_at)).filter(|later| later - now <= minute);
        match self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(full_at) => Err(Duration::from_nanos((later(full_at) - now).saturating_sub(minute))),
        }
    }
}

/// Enough for five centuries.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn per_minute(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    #[test]
    fn a_minute_s_requests_may_come_at_once_and_then_one_by_one() {
        let (usage, limit) = (Usage::new(), per_minute(3));
        let at = |seconds: u64| usage.start + Duration::from_secs(seconds);
        (0..3).for_each(|_| assert_eq!(usage.take(limit, at(0)), Ok(())));
        assert_eq!(usage.take(limit, at(0)), Err(Duration::from_secs(20)));
        assert_eq!(usage.take(limit, at(15)), Err(Duration::from_secs(5)), "a refusal costs nothing");
        assert_eq!(usage.take(limit, at(20)), Ok(()));
        assert_eq!(usage.take(limit, at(20)), Err(Duration::from_secs(20)));
        (0..3).for_each(|_| assert_eq!(usage.take(limit, at(1000)), Ok(()), "all of them, after a rest"));
        assert!(usage.take(limit, at(1000)).is_err());
    }

    #[test]
    fn who_is_under_way_counts_until_he_leaves() {
        let (usage, limit) = (Usage::new(), NonZeroUsize::new(2));
        assert!(usage.enter(limit) && usage.enter(limit) && !usage.enter(limit));
        assert!(usage.enter(None), "another limit, the same count");
        usage.leave();
        usage.leave();
        assert!(usage.enter(limit) && !usage.enter(limit));
    }

    proptest! {
        /// Never more than twice a minute's in a minute, and who comes again when he is told to is let in.
        #[test]
        fn the_pace_is_kept(limit in 1..200_u32, pauses in prop::collection::vec(0..5_000_u64, 1..400)) {
            let (usage, limit) = (Usage::new(), per_minute(limit));
            let (mut now, mut let_in) = (usage.start, Vec::new());
            for pause in pauses {
                now += Duration::from_millis(pause);
                if let Err(wait) = usage.take(limit, now) {
                    now += wait;
                    prop_assert_eq!(usage.take(limit, now), Ok(()));
                }
                let_in.push(now);
                let of_minute = let_in.iter().filter(|at| now - **at < MINUTE).count();
                prop_assert!(of_minute <= 2 * limit.get() as usize);
            }
        }
    }
}
