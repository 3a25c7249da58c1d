//! A way to an engine: what a route comes down to once it is chosen.

use std::sync::Arc;

use crate::host::{Address, Host, HostError, HostStream, Relay, Reverse};

/// A way to an engine.
#[derive(Clone, Debug)]
pub enum Way {
    /// A port that a host can reach.
    Dial {
        /// The host that dials.
        host: Host,
        /// The port, as that host sees it.
        address: Address,
    },
    /// A port of a machine that is reached by SSH inside the connections of a host.
    Nested {
        /// The host.
        host: Host,
        /// The machine.
        node: Host,
        /// The port, as the machine sees it.
        address: Address,
    },
    /// A port behind a relay.
    Relay(Arc<Relay>),
    /// A port behind a tunnel from its machine.
    Reverse(Arc<Reverse>),
}

impl Way {
    /// Opens a byte stream to the engine.
    ///
    /// # Errors
    /// It cannot be reached this way.
    pub async fn dial(&self) -> Result<HostStream, HostError> {
        match self {
            Self::Dial { host, address } => host.dial(address).await,
            Self::Nested { node, address, .. } => node.dial(address).await,
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

    /// Where the engine listens, as the last who dials sees it.
    #[must_use]
    pub fn address(&self) -> &Address {
        match self {
            Self::Dial { address, .. } | Self::Nested { address, .. } => address,
            Self::Relay(relay) => relay.address(),
            Self::Reverse(reverse) => reverse.address(),
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
