//! What a listener of either kind has in common.

use std::io;

use tokio::net::{TcpListener, UnixListener};

use crate::args::Endpoint;

/// A TCP port or a Unix socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens, and tells where.
    pub(crate) async fn bind(endpoint: &Endpoint) -> io::Result<(Self, String)> {
        match endpoint {
            Endpoint::Unix(path) => Ok((Self::Unix(UnixListener::bind(path)?), format!("unix:{}", path.display()))),
            Endpoint::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                let address = listener.local_addr()?.to_string();
                Ok((Self::Tcp(listener), address))
            }
        }
    }
}
