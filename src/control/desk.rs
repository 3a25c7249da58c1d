//! What the socket of a running proxy gives access to.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Mutex, Notify, watch};

use crate::backend::{Profiler, Profiling};
use crate::instance::Handle;
use crate::launch::{KeptLog, Traces};
use crate::ssh::SshClient;

/// How an instance's host is reached, and what its engine writes there.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The names under which its model is known to be served.
    pub models: Vec<String>,
    /// The way to its login host; none: it runs here.
    pub client: Option<SshClient>,
    /// What the user calls that host.
    pub host: Option<String>,
    /// How the engine is profiled.
    pub profiling: Option<Profiling>,
    /// How its own profiler is started and stopped, and where it writes; none where it has none, or it is off.
    pub profiler: Option<(&'static Profiler, Traces)>,
}

/// Told where the proxy itself is to end.
#[derive(Debug, Default)]
pub struct End {
    /// In order.
    pub asked: Notify,
    /// Without waiting.
    pub hurried: Notify,
}

/// A running proxy, as its own user may see and move it.
#[derive(Debug)]
pub struct Desk {
    /// The instance.
    pub handle: Handle,
    /// How its host is reached, and its engine profiled; another, once it has other settings.
    pub reach: watch::Sender<Reach>,
    /// Held by the one who logs in: two terminals that are asked at once would each hear half of it.
    pub asked: Mutex<()>,
    /// Where the proxy listens.
    pub address: SocketAddr,
    /// The engine's log.
    pub log: KeptLog,
    /// Told where the proxy itself is to end.
    pub end: Arc<End>,
}
