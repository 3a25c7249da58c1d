//! Waiting: until something holds, and never for longer than a deadline.

use std::time::Duration;

use tokio::time::Instant;

/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The moment a wait fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// `seconds` from now.
    pub(crate) fn in_seconds(seconds: u64) -> Self {
        Self(Instant::now() + Duration::from_secs(seconds))
    }

    /// Whether it is over.
    pub(crate) fn is_over(self) -> bool {
        Instant::now() >= self.0
    }

    /// When it is over.
    pub(crate) fn at(self) -> Instant {
        self.0
    }
}

impl From<Duration> for Deadline {
    fn from(after: Duration) -> Self {
        Self(Instant::now() + after)
    }
}

/// Asks `look` again and again until it gives something, and returns that; panics, naming `what`, at the deadline.
pub(crate) async fn eventually<T, F>(deadline: impl Into<Deadline>, what: &str, mut look: F) -> T
where
    F: AsyncFnMut() -> Option<T>,
{
    let deadline = deadline.into();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(!deadline.is_over(), "waited in vain until {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
