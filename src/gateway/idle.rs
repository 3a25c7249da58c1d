//! Notices that nothing moved for a while.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Longer limits are as good as none, and would overflow the clock.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// A lazy clock: what moves costs a look at the time, never a timer. The timer is made at the first wait, and looks
/// when it rings whether anything moved since.
#[derive(Debug)]
pub(super) struct Idle {
    limit: Option<Duration>,
    last: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    /// Starts now. Without a limit it never runs out.
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { limit: limit.map(|limit| limit.min(LONGEST)), last: Instant::now(), timer: None }
    }

    /// Something moved.
    pub(super) fn moved(&mut self) {
        if self.limit.is_some() {
            self.last = Instant::now();
        }
    }

    /// Ready once nothing has moved for the limit.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else { return Poll::Pending };
        let last = self.last;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(last + limit)));
        loop {
            ready!(timer.as_mut().poll(cx));
            let due = self.last + limit;
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

/// When something last moved, for one who watches from elsewhere. To note a move is one store.
#[derive(Debug)]
pub(super) struct Moved {
    start: Instant,
    last_ms: AtomicU64,
}

impl Moved {
    /// Starts now.
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    /// Something moved.
    pub(super) fn note(&self) {
        let passed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(passed, Ordering::Relaxed);
    }

    /// Waits until nothing has moved for `limit`.
    pub(super) async fn still_for(&self, limit: Duration) {
        let limit = limit.min(LONGEST);
        loop {
            let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            match limit.checked_sub(self.start.elapsed().saturating_sub(last)) {
                None | Some(Duration::ZERO) => return,
                Some(left) => tokio::time::sleep(left).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "a test may fail loudly")]

    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn runs_out_only_after_the_last_move() {
        let mut idle = Idle::new(Some(Duration::from_mins(1)));
        let start = Instant::now();
        let early = tokio::time::timeout(Duration::from_secs(59), poll_fn(|cx| idle.poll_expired(cx))).await;
        early.expect_err("nothing ran out yet");
        idle.moved();
        poll_fn(|cx| idle.poll_expired(cx)).await;
        let passed = start.elapsed().as_secs();
        assert!((119..=120).contains(&passed), "{passed} s");
    }

    #[tokio::test(start_paused = true)]
    async fn never_runs_out_without_a_limit() {
        let mut idle = Idle::new(None);
        let waited = tokio::time::timeout(Duration::from_hours(24), poll_fn(|cx| idle.poll_expired(cx))).await;
        waited.expect_err("it has no limit");
    }
}
