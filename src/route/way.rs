//! A way to an engine: what a route comes down to once it is chosen.

use std::sync::Arc;

use crate::host::{Endpoint, Host, HostError, HostStream, Relay, Reverse};

/// A way to an engine.
#[derive(Clone, Debug)]
pub enum Way {
    /// A port or socket that a host can reach.
    Dial {
        /// The host that dials.
        host: Host,
        /// Where, as that host sees it.
        endpoint: Endpoint,
    },
    /// A port or socket of a machine that is reached by SSH inside the connections of a host.
    Nested {
        /// The host.
        host: Host,
        /// The machine.
        node: Host,
        /// Where, as the machine sees it.
        endpoint: Endpoint,
    },
    /// What is behind a relay.
    Relay(Arc<Relay>),
    /// What is behind a tunnel from its machine.
    Reverse(Arc<Reverse>),
}

impl Way {
    /// Opens a byte stream to the engine.
    ///
    /// # Errors
    /// It cannot be reached this way.
    pub async fn dial(&self) -> Result<HostStream, HostError> {
        match self {
            Self::Dial { host, endpoint } => host.dial(endpoint).await,
            Self::Nested { node, endpoint, .. } => node.dial(endpoint).await,
            Self::Relay(relay) => relay.dial().await,
            Self::Reverse(reverse) => reverse.dial().await,
        }
    }

    /// The host whose link it rests on.
    #[must_use]
    pub fn host(&self) -> &Host {
        match self {
            Self::Dial { host, .. } | Self::Nested { host, .. } => host,
            Self::Relay(relay) => relay.host(),
            Self::Reverse(reverse) => reverse.host(),
        }
    }

    /// Returns once all on the way has answered, as far as it can be asked; or says that it is gone.
    pub async fn answers(&self) -> bool {
        self.host().ping().await
            && match self {
                Self::Dial { .. } | Self::Reverse(_) => true,
                Self::Nested { node, .. } => node.ping().await,
                Self::Relay(relay) => relay.ping().await,
            }
    }

    /// Whether it leads on to another machine that one has to be let in to.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        match self {
            Self::Nested { .. } | Self::Reverse(_) => true,
            Self::Dial { .. } | Self::Relay(_) => false,
        }
    }

    /// Where the engine listens, as the last who dials sees it.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Dial { endpoint, .. } | Self::Nested { endpoint, .. } => endpoint,
            Self::Relay(relay) => relay.endpoint(),
            Self::Reverse(reverse) => reverse.endpoint(),
        }
    }

    /// Whether a dial that failed like this failed with the link to the host, and is worth another try once that is back.
    pub async fn lost_its_link(&self, error: &HostError) -> bool {
        match self {
            Self::Dial { .. } | Self::Relay(_) => error.is_link_loss(),
            // The connection inside may be what failed.
            Self::Nested { host, .. } => error.is_link_loss() && !host.ping().await,
            Self::Reverse(reverse) => reverse.lost_its_link(error).await,
        }
    }
}
