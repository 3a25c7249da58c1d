//! What an engine is to listen on.

/// What an engine is told to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// A TCP port.
    Port {
        /// The address that it binds.
        host: String,
        /// The port; none: a free one, chosen where it runs.
        port: Option<u16>,
    },
    /// A Unix socket, in a folder that is made where it runs and that only its user can enter.
    Socket,
}

impl Bind {
    /// The port, where it is not left to be chosen.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Port { port, .. } => *port,
            Self::Socket => None,
        }
    }
}
