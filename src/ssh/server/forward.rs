//! The server that a job's `ssh -R` dials: for one client, with one key, and its one forward.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{PublicKey, PublicKeyBase64};
use russh::server::{Config, Handle, run_stream};
use russh::{Channel, ChannelOpenFailure, Disconnect};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::visitor::Visitor;
use super::{new_key, server_config};
use crate::ssh::channel::{self, Outbox};
use crate::ssh::outlet::{Outlet, OutletRules};
use crate::ssh::pump::{Incoming, Pump, Share};
use crate::ssh::slot::Slot;
use crate::ssh::spool::{DiskBudget, SpoolRules};
use crate::ssh::{ChannelStream, SshError, SshLimits};

/// The name of a [`ForwardServer`]'s one user, and what its client calls it, whatever its address.
pub const FORWARD_USER: &str = "llm-proxy";

/// How long a client may take from its first byte to its forward.
const GRACE: Duration = Duration::from_secs(30);

/// How long it may take to greet, and then to show the key: others who connect hold a place for no longer, and the client's
/// ssh, which waits for one meanwhile, is patient for longer (`ConnectTimeout`).
const KEY_GRACE: Duration = Duration::from_secs(5);

/// Clients at once that have not shown the key yet; further ones wait.
const STRANGERS: usize = 8;

/// How long a connection may take to end once it is told to.
const LINGER: Duration = Duration::from_secs(1);

/// Between two tries to accept a connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A client that has its forward.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) handle: Handle,
    /// What it listens on, as it believes.
    pub(super) address: String,
    pub(super) port: u32,
}

/// What all connections share.
pub(super) struct Shared {
    /// The one key that is let in.
    pub(super) user_key: PublicKey,
    /// Whether the one forward is given away.
    pub(super) taken: AtomicBool,
    pub(super) joined: watch::Sender<Option<Joined>>,
}

impl Shared {
    /// Whether this is the one user.
    pub(super) fn knows(&self, user: &str, key: &PublicKey) -> bool {
        user == FORWARD_USER && key.key_data() == self.user_key.key_data()
    }
}

/// A server that listens until its one client has come, and ends with the value. It opens no port for the forward: a stream
/// of ours goes straight into the client's connection.
#[derive(Debug)]
pub struct ForwardServer {
    port: u16,
    client_key: SecretString,
    known_hosts: String,
    joined: watch::Receiver<Option<Joined>>,
    outlets: Arc<OutletRules>,
    places: Arc<Semaphore>,
    freed: Arc<Notify>,
    tasks: TaskTracker,
    _end: DropGuard,
}

impl ForwardServer {
    /// Listens on a free port of this address, with keys that are made for it.
    ///
    /// # Errors
    /// There is none, or there are no random bytes.
    pub async fn listen(address: IpAddr, tasks: &TaskTracker) -> io::Result<Self> {
        let (host_key, user_key) = (new_key()?, new_key()?);
        let client_key = user_key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
        let known_hosts = format!("{FORWARD_USER} ssh-ed25519 {}", host_key.public_key_base64());
        let listener = TcpListener::bind((address, 0)).await?;
        let port = listener.local_addr()?.port();
        let (joined, joining) = watch::channel(None);
        let ended = CancellationToken::new();
        let user_key = user_key.public_key().clone();
        let shared = Arc::new(Shared { user_key, taken: AtomicBool::new(false), joined });
        let config = Arc::new(server_config(host_key));
        let door = Door { config, shared, tasks: tasks.clone(), ended: ended.clone() };
        tasks.spawn(door.accept(listener));
        let limits = SshLimits::default();
        let spool = SpoolRules {
            bound: limits.stream_disk,
            dir: limits.disk_dir,
            budget: Arc::new(DiskBudget::new(limits.total_disk)),
            tasks: tasks.clone(),
        };
        Ok(Self {
            port,
            client_key: SecretString::from(client_key.as_str()),
            known_hosts,
            joined: joining,
            outlets: Arc::new(OutletRules { memory: limits.stream_memory, spool }),
            places: Arc::new(Semaphore::new(limits.channels_per_connection)),
            freed: Arc::default(),
            tasks: tasks.clone(),
            _end: ended.drop_guard(),
        })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its one user.
    #[must_use]
    pub fn user(&self) -> &'static str {
        FORWARD_USER
    }

    /// What its client calls it: the `HostKeyAlias` of [`ForwardServer::known_hosts`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        FORWARD_USER
    }

    /// Its user's private key, as a file of OpenSSH's.
    #[must_use]
    pub fn client_key(&self) -> &SecretString {
        &self.client_key
    }

    /// The line by which it is known.
    #[must_use]
    pub fn known_hosts(&self) -> &str {
        &self.known_hosts
    }

    /// Returns once the client has its forward.
    pub async fn joined(&self) {
        let mut joined = self.joined.clone();
        if joined.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether its client has come and gone.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.joined.has_changed().is_err()
    }

    /// Opens a stream to what the client forwards.
    ///
    /// # Errors
    /// The client is not there, or cannot reach its end of it.
    pub async fn open(&self) -> Result<ChannelStream, SshError> {
        let gone = || SshError::Closed { host: "the job's ssh".to_owned() };
        let Some(Joined { handle, address, port }) = self.joined.borrow().clone() else { return Err(gone()) };
        let permit = Arc::clone(&self.places).acquire_owned().await.map_err(|_| gone())?;
        let slot = Slot::new(permit, Arc::clone(&self.freed));
        // An open that is given up half-way stays open at the far end.
        let (opened, opening) = oneshot::channel();
        let (outlets, tasks) = (Arc::clone(&self.outlets), self.tasks.clone());
        self.tasks.spawn(async move {
            let channel = handle.channel_open_forwarded_tcpip(address, port, "127.0.0.1", 0).await;
            let _ = opened.send(channel.map(|channel| stream(channel, slot, &outlets, &tasks)));
        });
        match opening.await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(russh::Error::ChannelOpenFailure(reason))) => Err(SshError::ConnectFailed {
                host: "the job's ssh".to_owned(),
                address: "the engine".to_owned(),
                words: words(&reason).to_owned(),
            }),
            Ok(Err(_)) | Err(_) => Err(gone()),
        }
    }
}

fn words(reason: &ChannelOpenFailure) -> &'static str {
    match reason {
        ChannelOpenFailure::AdministrativelyProhibited => "prohibited",
        ChannelOpenFailure::ConnectFailed => "connection refused",
        _ => "not opened",
    }
}

/// The stream of an open channel, with its task.
fn stream(
    channel: Channel<russh::server::Msg>,
    slot: Slot,
    outlets: &Arc<OutletRules>,
    tasks: &TaskTracker,
) -> ChannelStream {
    let (stdout, inbox) = Outlet::new(outlets);
    let (outbox, outgoing) = Outbox::new();
    let released = CancellationToken::new();
    let (read, write) = channel.split();
    let incoming = Incoming { channel: read, stdout, stderr: None, exit: None };
    let share = Share {
        host: "the job's ssh".to_owned(),
        session: None,
        _slot: slot,
        closed_first: Arc::default(),
        ending: watch::channel(None).1,
    };
    let pump = Pump { incoming, early: Vec::new(), write, outgoing, released: released.clone(), share };
    tasks.spawn(pump.run());
    channel::stream(inbox, outbox, released.drop_guard())
}

/// Where clients come in.
struct Door {
    config: Arc<Config>,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    ended: CancellationToken,
}

impl Door {
    /// Takes connections until the one client has its forward; from then on nobody else need be able to connect.
    async fn accept(self, listener: TcpListener) {
        let strangers = Arc::new(Semaphore::new(STRANGERS));
        let mut joined = self.shared.joined.subscribe();
        let take = async {
            loop {
                let Ok(permit) = Arc::clone(&strangers).acquire_owned().await else { return };
                let Ok((stream, _)) = listener.accept().await else {
                    // Descriptors ran out, or the client has left already: neither is for ever.
                    sleep(ACCEPT_AGAIN).await;
                    continue;
                };
                let (config, shared, ended) = (Arc::clone(&self.config), Arc::clone(&self.shared), self.ended.clone());
                self.tasks.spawn(async move {
                    serve(stream, config, shared, ended).await;
                    drop(permit);
                });
            }
        };
        tokio::select! {
            () = take => {}
            _ = joined.wait_for(Option::is_some) => {}
            () = self.ended.cancelled() => {}
        }
    }
}

async fn serve(stream: TcpStream, config: Arc<Config>, shared: Arc<Shared>, ended: CancellationToken) {
    drop(stream.set_nodelay(true));
    let (known, joined) = (CancellationToken::new(), CancellationToken::new());
    let visitor = Visitor::new(shared, known.clone(), joined.clone());
    let greeted = ended.run_until_cancelled(timeout(KEY_GRACE, run_stream(config, stream, visitor))).await;
    let Some(Ok(Ok(mut running))) = greeted else { return };
    let handle = running.handle();
    let too_late = async {
        if timeout(KEY_GRACE, known.cancelled()).await.is_err() {
            return;
        }
        sleep(GRACE).await;
        if joined.is_cancelled() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // A client that leaves without a word is an error to russh, and none to us.
        _ = &mut running => return,
        () = ended.cancelled() => {}
        () = too_late => {}
    }
    let goodbye = handle.disconnect(Disconnect::ByApplication, "done".to_owned(), String::new());
    drop(timeout(LINGER, async { (goodbye.await, running.await) }).await);
}
