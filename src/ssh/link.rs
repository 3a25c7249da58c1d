//! Whether a host can be reached, for those who watch.

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
    },
}

impl Link {
    /// Whether a connection stands.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected)
    }
}
