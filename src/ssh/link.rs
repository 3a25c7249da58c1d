//! Whether a host can be reached, for those who watch.

use tokio::time::Instant;

use super::SshError;

/// The state of a client's connections, taken together.
#[derive(Clone, Debug)]
pub enum Link {
    /// At least one connection stands.
    Connected,
    /// None does.
    Disconnected {
        /// Why the last one ended, or the last attempt failed; `None` before the first one and after a close of our own.
        cause: Option<SshError>,
        /// Since when: failed attempts do not move it.
        since: Instant,
    },
}

impl Link {
    /// Not connected, and nobody asked for it.
    #[must_use]
    pub fn none() -> Self {
        Self::Disconnected { cause: None, since: Instant::now() }
    }

    /// What becomes of it when the last connection ended, or an attempt failed.
    #[must_use]
    pub fn lost(&self, error: SshError) -> Self {
        let since = match self {
            Self::Disconnected { cause: Some(_), since } => *since,
            Self::Connected | Self::Disconnected { cause: None, .. } => Instant::now(),
        };
        Self::Disconnected { cause: Some(error), since }
    }

    /// Whether a connection stands.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected)
    }

    /// Since when it is lost, and why; nothing while it stands, and where it was not asked for.
    #[must_use]
    pub fn loss(&self) -> Option<(Instant, &SshError)> {
        match self {
            Self::Disconnected { cause: Some(cause), since } => Some((*since, cause)),
            Self::Connected | Self::Disconnected { cause: None, .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failed_attempts_do_not_move_the_time_of_the_loss() {
        let error = |port| SshError::ConnectionRefused { host: "h".to_owned(), port };
        let began = Instant::now();
        let link = Link::Connected.lost(error(1));
        tokio::time::advance(Duration::from_secs(9)).await;
        let link = link.lost(error(2));
        let (since, cause) = link.loss().unwrap();
        assert_eq!((since, cause.to_string()), (began, error(2).to_string()));
        assert!(Link::none().loss().is_none() && Link::Connected.loss().is_none());
    }
}
