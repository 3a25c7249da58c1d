//! Whether an engine hangs: it says nothing to the requests that hold it, nor to the question how it is. One that still
//! produces tokens is not asked at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use super::Snapshot;
use super::readiness::{self, Health, Questions};
use crate::route::Upstream;

/// Within the limit it is asked so many times.
const LOOKS: u32 = 4;

/// Returns once nothing came from the engine for `limit`, while something was in flight and the host could be talked to.
pub(super) async fn until_hung(
    upstream: Arc<Upstream>,
    questions: Questions,
    mut seen: watch::Receiver<Snapshot>,
    limit: Duration,
) {
    let mut silent = 0;
    while silent < LOOKS {
        if seen.wait_for(|seen| seen.in_flight > 0).await.is_err() {
            return std::future::pending().await; // The instance itself is gone.
        }
        tokio::time::sleep(limit / LOOKS).await;
        let all_quiet = !upstream.heard() && seen.borrow().in_flight > 0 && seen.borrow().link.is_up();
        silent = if all_quiet
            && readiness::health(&upstream, &questions, limit / (2 * LOOKS)).await == Health::Silent
            && host_answers(&upstream, limit / (2 * LOOKS)).await
        {
            warn!("the engine says nothing, neither to requests nor when it is asked how it is");
            silent + 1
        } else {
            0
        };
    }
}

/// Whether it is the engine that is silent: a connection that is cut may look well for longer than an engine may say nothing.
async fn host_answers(upstream: &Upstream, limit: Duration) -> bool {
    tokio::time::timeout(limit, upstream.host_answers()).await == Ok(true)
}
