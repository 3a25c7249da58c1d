//! Whether an engine hangs: it says nothing to the requests that hold it, nor to the question how it is. One that still
//! produces tokens is not asked at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use super::Snapshot;
use super::readiness::{self, Health, Questions};
use crate::launch::Orders;
use crate::route::Upstream;

/// Within the limit it is asked so many times.
const LOOKS: u32 = 4;

/// Returns once nothing came from the engine for `limit`, while something was in flight, the host could be talked to, and
/// Slurm was not seen to let the job stand still.
pub(super) async fn until_hung(
    upstream: Arc<Upstream>,
    questions: Questions,
    orders: Orders,
    mut seen: watch::Receiver<Snapshot>,
    limit: Duration,
) {
    let mut silent = 0;
    while silent < LOOKS {
        if seen.wait_for(|seen| seen.in_flight > 0).await.is_err() {
            return std::future::pending().await; // The instance itself is gone.
        }
        tokio::time::sleep(limit / LOOKS).await;
        let heard = upstream.heard();
        if heard && seen.borrow().paused {
            orders.look(); // It goes on.
        }
        let all_quiet = !heard && may_answer(&seen.borrow());
        silent = if all_quiet
            && readiness::health(&upstream, &questions, limit / (2 * LOOKS)).await == Health::Silent
            && host_answers(&upstream, limit / (2 * LOOKS)).await
        {
            warn!("the engine says nothing, neither to requests nor when it is asked how it is");
            orders.look();
            silent + 1
        } else {
            0
        };
    }
}

/// Whether something is to be heard of an engine that is well.
fn may_answer(seen: &Snapshot) -> bool {
    seen.in_flight > 0 && seen.link.is_up() && !seen.paused
}

/// Whether it is the engine that is silent: a connection that is cut may look well for longer than an engine may say nothing.
async fn host_answers(upstream: &Upstream, limit: Duration) -> bool {
    tokio::time::timeout(limit, upstream.host_answers()).await == Ok(true)
}
