//! One SSH connection: verified, authenticated, and warm.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use russh::client::Handle;
use russh::{ChannelMsg, Disconnect};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::Authentication;
use super::handler::{ClientHandler, Ending, HandlerError, reason_words};
use super::known_hosts::KnownHosts;
use super::opening::Refusals;
use super::outlet::OutletRules;
use super::preamble::{FirstWords, Preamble};
use super::pump::Share;
use super::sessions::{OpenSession, Sessions};
use super::target::Target;
use super::{SshError, SshLimits, settings, tcp};

/// How many bytes are read from the socket at once: russh itself reads twice for each packet.
const READ_AHEAD: usize = 256 * 1024;

/// How long the warming command may take, with all that the login shell does first. A login shell that hangs must not keep streams from opening.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a server may take to catch up with what we sent.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a farewell may take to be handed over.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// One SSH connection.
pub(super) struct Connection {
    pub(super) handle: Handle<ClientHandler>,
    pub(super) refusals: Refusals,
    pub(super) tasks: TaskTracker,
    pub(super) outlets: OutletRules,
    pub(super) sessions: Sessions,
    /// Where it leads.
    pub(super) address: SocketAddr,
    host: String,
    ending: watch::Receiver<Ending>,
    slots: Arc<Semaphore>,
    slot_count: usize,
    /// Cancelled when the warming command has ended.
    warm: CancellationToken,
    closed_first: Arc<AtomicUsize>,
    most_closed_first: usize,
}

impl Connection {
    /// Connects, verifies, authenticates and warms up.
    ///
    /// # Errors
    /// Whatever of these does not work.
    pub(super) async fn connect(
        target: &Target,
        known_address: Option<SocketAddr>,
        limits: &SshLimits,
        outlets: &OutletRules,
        tasks: &TaskTracker,
    ) -> Result<Self, SshError> {
        let (stream, address) = tcp::connect(&target.host, target.port, known_address, limits.connect_timeout).await?;
        let reading = target.clone();
        let known_hosts = tasks.spawn_blocking(move || KnownHosts::load(&reading)).await;
        let known_hosts = known_hosts.map_err(|error| protocol(target, &error.to_string()))??;
        let config = settings::client_config(known_hosts.preferred_algorithms());
        let (handler, ending, refused) = ClientHandler::new(&target.host, known_hosts);
        let mut handle = shake_hands(target, stream, config, handler, limits.handshake_timeout).await?;
        Authentication { handle: &mut handle, target, ending: ending.clone(), tasks }.run().await?;
        let connection = Self {
            handle,
            refusals: Refusals::new(refused),
            tasks: tasks.clone(),
            outlets: outlets.clone(),
            sessions: Sessions::default(),
            address,
            host: target.host.clone(),
            ending,
            slots: Arc::new(Semaphore::new(limits.channels_per_connection)),
            slot_count: limits.channels_per_connection,
            warm: CancellationToken::new(),
            closed_first: Arc::default(),
            most_closed_first: limits.closes_per_connection,
        };
        connection.warm_up().await;
        Ok(connection)
    }

    /// A place for one more channel, if there is one.
    pub(super) fn reserve(&self) -> Option<OwnedSemaphorePermit> {
        if self.is_closed() || self.is_worn() {
            return None;
        }
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Whether it has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.handle.is_closed() || self.ending.borrow().is_some()
    }

    /// Whether it should be given up once it is empty: it carried very many channels, or no command can run there any more.
    pub(super) fn is_worn(&self) -> bool {
        self.closed_first.load(Ordering::Relaxed) >= self.most_closed_first || self.sessions.are_stuck()
    }

    /// How many channels it carries.
    pub(super) fn used(&self) -> usize {
        self.slot_count.saturating_sub(self.slots.available_permits())
    }

    /// Whether more than half of its places are free, and commands find a session.
    pub(super) fn has_room_to_spare(&self) -> bool {
        !self.is_worn() && self.used() < self.slot_count / 2 && self.sessions.have_room()
    }

    /// How it ended, once it has.
    pub(super) fn ending(&self) -> watch::Receiver<Ending> {
        self.ending.clone()
    }

    /// Takes leave of the server.
    pub(super) async fn disconnect(&self) {
        // Fails only where the connection has ended, and waits only where it is stuck.
        let farewell = self.handle.disconnect(Disconnect::ByApplication, "", "");
        let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn share(&self, slot: OwnedSemaphorePermit, session: Option<OpenSession>) -> Share {
        Share {
            host: self.host.clone(),
            _slot: slot,
            session,
            closed_first: Arc::clone(&self.closed_first),
            ending: self.ending.clone(),
        }
    }

    /// What a failed request of ours means: the end of the connection, if it has ended.
    pub(super) fn failure(&self, error: &russh::Error) -> SshError {
        let ending = self.ending.borrow().clone();
        ending.unwrap_or_else(|| SshError::Disconnected {
            host: self.host.clone(),
            reason: reason_words(error),
            by_server: false,
        })
    }

    /// Runs one command. OpenSSH's server keeps Nagle's algorithm on until some session runs something; a connection that
    /// only tunnels is then 20 ms late with every event and a hundred times slower in bulk. It matters to nothing else,
    /// so a server that runs no commands is no fault. It ends before anything else begins: it may hold the only session.
    async fn warm_up(&self) {
        let warm = self.warm.clone().drop_guard();
        let opened = timeout(WARM_UP_TIMEOUT, self.handle.channel_open_session()).await;
        let mut channel = match opened {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => {
                if let russh::Error::ChannelOpenFailure(reason) = &error {
                    // They are ours to take, or the next refusal would be told them.
                    let words = self.refusals.words(reason).await;
                    tracing::debug!(host = %self.host, words, "the server runs no commands, so the connection stays cold");
                }
                return;
            }
            Err(_) => return,
        };
        let session = self.sessions.opened();
        self.tasks.spawn(async move {
            let _until_it_ends = (session, warm);
            if channel.exec(true, "true").await.is_err() {
                return;
            }
            let _ = channel.eof().await;
            // Every answer is taken: one that nobody takes would hold up the connection.
            while let Some(message) = channel.wait().await {
                if matches!(message, ChannelMsg::Failure) {
                    let _ = channel.close().await;
                }
            }
        });
        let _ = timeout(WARM_UP_TIMEOUT, self.warm.cancelled()).await;
    }

    /// Waits until nothing of ours that has ended can hold a session: OpenSSH's server counts one until it has looked after
    /// our close, which is not before it has read all that came with it.
    pub(super) async fn settle(&self) {
        let _ = timeout(WARM_UP_TIMEOUT, self.warm.cancelled()).await;
        let _ = timeout(SETTLE_TIMEOUT, self.handle.send_ping()).await;
    }
}

async fn shake_hands(
    target: &Target,
    stream: TcpStream,
    config: russh::client::Config,
    handler: ClientHandler,
    limit: Duration,
) -> Result<Handle<ClientHandler>, SshError> {
    let (stream, words) = Preamble::new(stream);
    let stream = BufReader::with_capacity(READ_AHEAD, stream);
    match timeout(limit, russh::client::connect_stream(Arc::new(config), stream, handler)).await {
        Ok(Ok(handle)) => Ok(handle),
        Ok(Err(error)) => Err(handshake_error(target, error, &words)),
        Err(_) => Err(SshError::HandshakeTimedOut { host: target.host.clone(), after: limit }),
    }
}

fn handshake_error(target: &Target, error: HandlerError, words: &FirstWords) -> SshError {
    let host = target.host.clone();
    let error = match error {
        HandlerError::HostKey(refusal) => return *refusal,
        HandlerError::Russh(error) => error,
    };
    if let Some(words) = words.before_greeting() {
        return SshError::TurnedAway { host, words };
    }
    match error {
        russh::Error::NoCommonAlgo { kind, theirs, .. } => SshError::NoCommonAlgorithm {
            host,
            kind: format!("{kind:?}").to_lowercase(),
            theirs: super::words::printable(&theirs.join(", ")),
        },
        russh::Error::IO(_) | russh::Error::HUP | russh::Error::Disconnect => {
            SshError::Disconnected { host, reason: reason_words(&error), by_server: false }
        }
        other => protocol(target, &reason_words(&other)),
    }
}

fn protocol(target: &Target, problem: &str) -> SshError {
    SshError::Protocol { host: target.host.clone(), problem: problem.to_owned() }
}
