//! What the socket of a running proxy gives access to.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Mutex, Notify, watch};

use crate::instance::Handle;
use crate::launch::KeptLog;
use crate::ssh::SshClient;

/// How an instance's host is reached.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The way to its login host; none: it runs here.
    pub client: Option<SshClient>,
    /// What the user calls that host.
    pub host: Option<String>,
}

/// A running proxy, as its own user may see and move it.
#[derive(Debug)]
pub struct Desk {
    /// The instance.
    pub handle: Handle,
    /// The way to its host. Another one, once it was replaced.
    pub reach: watch::Sender<Reach>,
    /// Held by the one who logs in: two terminals that are asked at once would each hear half of it.
    pub asked: Mutex<()>,
    /// Where the proxy listens.
    pub address: SocketAddr,
    /// The engine's log.
    pub log: KeptLog,
    /// Told where the proxy itself is to end.
    pub end: Arc<Notify>,
}
