//! Whether a life's host can be talked to. Losing the link never means losing the life.

use tokio::time::Instant;

/// The link to the host of a life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// It stands, or nothing was asked of it yet.
    #[default]
    Connected,
    /// It was lost; what was started there goes on.
    Reconnecting {
        /// When that was seen.
        since: Instant,
    },
    /// Only a person can bring it back: a password, a code or the trust in a key is asked for.
    NeedsLogin {
        /// When that was seen.
        since: Instant,
        /// What is asked for, in the words of the error.
        what: String,
    },
}

impl LinkState {
    /// Whether it stands.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Connected)
    }

    /// The word for it in `/health` and in what programs read.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Reconnecting { .. } => "reconnecting",
            Self::NeedsLogin { .. } => "needs-login",
        }
    }
}
