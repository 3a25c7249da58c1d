//! Whether an engine hangs: it says nothing to the requests that hold it, nor to the question how it is. One that still
//! produces tokens is not asked at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use super::Snapshot;
use super::readiness::{self, Health, Questions};
use crate::launch::Orders;
use crate::route::Upstream;

/// Within the limit it is asked so many times.
const LOOKS: u32 = 4;

/// A relay that is well may take this long to say anything.
const WAY_ANSWERS: Duration = Duration::from_secs(15);

/// When an engine that says nothing by itself is asked how it is, and when it hangs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heartbeat {
    /// How often it is asked, also while nothing is in flight; none: only while something is.
    pub(super) interval: Option<Duration>,
    /// It hangs when it answered nothing for this long.
    pub(super) limit: Duration,
}

impl Heartbeat {
    /// Until the next look.
    fn pause(self, is_silent: bool) -> Duration {
        let look = self.limit / LOOKS;
        match self.interval {
            Some(interval) if is_silent => interval.min(look),
            Some(interval) => interval,
            None => look,
        }
    }

    /// Whether something is to be heard of an engine that is well.
    fn is_asked(self, seen: &Snapshot) -> bool {
        seen.in_flight > 0 || self.interval.is_some()
    }
}

/// Returns once nothing came from the engine for the limit, while the host could be talked to, and Slurm was not seen to let
/// the job stand still.
pub(super) async fn until_hung(
    upstream: Arc<Upstream>,
    questions: Questions,
    orders: Orders,
    mut seen: watch::Receiver<Snapshot>,
    heartbeat: Heartbeat,
) {
    let patience = heartbeat.limit / (2 * LOOKS);
    let mut silent_since = None;
    loop {
        if seen.wait_for(|seen| heartbeat.is_asked(seen)).await.is_err() {
            return std::future::pending().await; // The instance itself is gone.
        }
        tokio::time::sleep(heartbeat.pause(silent_since.is_some())).await;
        let heard = upstream.heard();
        if heard && seen.borrow().paused {
            orders.look(); // It goes on.
        }
        let all_quiet = {
            let seen = seen.borrow();
            !heard && heartbeat.is_asked(&seen) && seen.link.is_up() && !seen.paused
        };
        let asked = Instant::now();
        let is_silent = all_quiet
            && readiness::health(&upstream, &questions, patience).await == Health::Silent
            && way_answers(&upstream, patience).await;
        if is_silent {
            if silent_since.is_none() {
                warn!("the engine says nothing, neither to requests nor when it is asked how it is");
            }
            orders.look();
            if silent_since.get_or_insert(asked).elapsed() >= heartbeat.limit {
                return;
            }
        } else {
            // Its answer was heard, too, and proves nothing of the time to the next look.
            let _ = upstream.heard();
            silent_since = None;
        }
    }
}

/// Whether it is the engine that is silent: a connection that is cut may look well for longer than an engine may say nothing.
async fn way_answers(upstream: &Upstream, limit: Duration) -> bool {
    tokio::time::timeout(limit.max(WAY_ANSWERS), upstream.way_answers()).await == Ok(true)
}
