//! One SSH connection: verified, authenticated, and warm.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use russh::client::Handle;
use russh::{ChannelMsg, Disconnect};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::{Authenticated, Authentication};
use super::config::Target;
use super::handler::{ClientHandler, Ending, reason_words};
use super::handshake::{protocol, shake_hands};
use super::network::NetworkWatch;
use super::opening::Refusals;
use super::outlet::OutletRules;
use super::pump::Share;
use super::reach::{Bridge, Reached, reach};
use super::sessions::{OpenSession, Sessions};
use super::settings;
use super::slot::Slot;
use super::trust::{KnownHosts, Learned};
use super::{Entrance, Person, SshClient, SshError, SshLimits};
use crate::vault::Vault;

/// How long the warming command may take, with all that the login shell does first. A login shell that hangs must not keep streams from opening.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a server may take to catch up with what we sent.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a server may say nothing at all before it says that it lives, after this machine slept or moved.
const PROOF_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a farewell may take to be handed over.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// All that a connection is made from.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) target: &'a Target,
    /// The client whose connections lead there, where it is not reached from this machine.
    pub(super) within: Option<&'a SshClient>,
    /// Where the last one led.
    pub(super) known_address: Option<SocketAddr>,
    pub(super) limits: &'a SshLimits,
    pub(super) outlets: &'a Arc<OutletRules>,
    pub(super) tasks: &'a TaskTracker,
    /// Who is asked what only a person knows.
    pub(super) person: &'a Person,
    /// What the user asked to be kept.
    pub(super) vault: &'a Vault,
    /// The keys of this run.
    pub(super) learned: &'a Learned,
    /// Told whenever a channel gives its place back.
    pub(super) freed: &'a Arc<Notify>,
}

/// One SSH connection.
pub(super) struct Connection {
    pub(super) handle: Handle<ClientHandler>,
    pub(super) refusals: Refusals,
    pub(super) tasks: TaskTracker,
    pub(super) outlets: Arc<OutletRules>,
    pub(super) sessions: Sessions,
    /// Where it leads, if it is known.
    pub(super) address: Option<SocketAddr>,
    /// Whether a person had to answer something, so that another one cannot be made without.
    pub(super) by_person: bool,
    /// How the server let us in.
    pub(super) entrance: Entrance,
    host: String,
    ending: watch::Receiver<Ending>,
    slots: Arc<Semaphore>,
    slot_count: usize,
    used_at_all: AtomicBool,
    freed: Arc<Notify>,
    /// Cancelled when the warming command has ended.
    warm: CancellationToken,
    /// Ends it at once, whatever is under way.
    cut: CancellationToken,
    /// How many bytes have arrived.
    heard: Arc<AtomicU64>,
    closed_first: Arc<AtomicUsize>,
    most_closed_first: usize,
}

impl Connection {
    /// Connects, over `bridge` where another server is in between, verifies, authenticates and warms up.
    ///
    /// # Errors
    /// Whatever of these does not work.
    pub(super) async fn connect(plan: Plan<'_>, bridge: &mut Bridge) -> Result<Self, SshError> {
        let Plan { target, limits, tasks, person, .. } = plan;
        let (reading, learned) = (target.clone(), plan.learned.clone());
        let known_hosts = tasks.spawn_blocking(move || KnownHosts::load(&reading, &learned)).await;
        let known_hosts = known_hosts.map_err(|error| protocol(target, &error.to_string()))??;
        let config = settings::client_config(target, known_hosts.algorithms())?;
        // russh goes on by itself where nobody waits for it any more; then it must not.
        let cut = CancellationToken::new();
        let unfinished = cut.clone().drop_guard();
        let Reached { transport, address, beneath } = reach(plan, bridge, &cut).await?;
        let heard = transport.heard();
        let (mut handler, ending, refused) = ClientHandler::new(&target.host, known_hosts.reached(address));
        let banners = handler.greeted();
        let shaken = shake_hands(target, transport, config, handler, limits.handshake_timeout).await;
        let mut handle = match shaken {
            Ok(handle) => handle,
            Err(error) => return Err(beneath.explain(&target.host, error).await),
        };
        let ended = ending.clone();
        let authentication = Authentication {
            handle: &mut handle,
            target,
            ending: ended,
            tasks,
            person,
            vault: plan.vault,
            learned: plan.learned,
            banners,
        };
        let Authenticated { by_person, entrance } = authentication.run().await?;
        let mut connection = Self {
            handle,
            refusals: Refusals::new(refused),
            tasks: tasks.clone(),
            outlets: Arc::clone(plan.outlets),
            sessions: Sessions::default(),
            address,
            by_person,
            entrance,
            host: target.host.clone(),
            ending,
            slots: Arc::new(Semaphore::new(limits.channels_per_connection)),
            slot_count: limits.channels_per_connection,
            used_at_all: AtomicBool::new(false),
            freed: Arc::clone(plan.freed),
            warm: CancellationToken::new(),
            cut,
            heard,
            closed_first: Arc::default(),
            most_closed_first: limits.closes_per_connection,
        };
        connection.by_person |= beneath.by_person();
        connection.warm_up().await;
        unfinished.disarm();
        // Some servers let everybody in, and only then find that they may not stay.
        if connection.is_closed() { Err(connection.failure(&russh::Error::Disconnect)) } else { Ok(connection) }
    }

    /// A place for one more channel, if there is one.
    pub(super) fn reserve(&self) -> Option<Slot> {
        if self.is_closed() || self.is_worn() {
            return None;
        }
        let permit = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        self.used_at_all.store(true, Ordering::Relaxed);
        Some(Slot::new(permit, Arc::clone(&self.freed)))
    }

    /// Whether it has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.handle.is_closed() || self.ending.borrow().is_some()
    }

    /// Whether it should be given up once it is empty: it carried very many channels, or no command can run there any more.
    /// One that a person had to make never is: the next one would need a person again.
    pub(super) fn is_worn(&self) -> bool {
        if self.by_person {
            return false;
        }
        self.closed_first.load(Ordering::Relaxed) >= self.most_closed_first || self.sessions.are_stuck()
    }

    /// Whether anybody ever had a place on it.
    pub(super) fn was_used(&self) -> bool {
        self.used_at_all.load(Ordering::Relaxed)
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

    /// Whether one more command may be asked for. Where a person would be needed for another connection, one that was full
    /// of what we left behind is asked again: it may have ended.
    pub(super) fn may_run_a_command(&self) -> bool {
        self.sessions.have_room() || (self.by_person && self.sessions.are_stuck())
    }

    /// Whether the server answered; if not, the connection has ended.
    pub(super) async fn ping(&self) -> bool {
        let mut ending = self.ending.clone();
        tokio::select! {
            biased;
            _ended = ending.wait_for(Option::is_some) => false,
            _answered = self.handle.send_ping() => !self.is_closed(),
        }
    }

    /// For as long as the connection stands: asks the server whether it lives wherever that is in doubt, and gives the
    /// connection up where it does not answer.
    pub(super) async fn vigil(connection: Weak<Self>, address: Option<SocketAddr>) -> Infallible {
        let mut network = NetworkWatch::new(address);
        loop {
            network.doubtful().await;
            let Some(connection) = connection.upgrade() else { return std::future::pending().await };
            if !answers(connection.ping(), &connection.heard, PROOF_TIMEOUT).await {
                tracing::debug!(host = %connection.host, "the server does not answer after a sleep or a move");
                connection.cut.cancel();
            }
        }
    }

    /// Takes leave of the server, and ends.
    pub(super) async fn disconnect(&self) {
        let leave = async {
            // Fails only where the connection has ended, and waits only where it is stuck.
            let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
            let _ = self.ending().wait_for(Option::is_some).await;
        };
        let _ = timeout(FAREWELL_TIMEOUT, leave).await;
        self.cut.cancel();
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn share(&self, slot: Slot, session: Option<OpenSession>) -> Share {
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

/// Whether a question was answered, before nothing at all arrived for as long as `silence`: the answer stands behind all
/// that the server sent before, which may be much.
async fn answers(question: impl Future<Output = bool>, heard: &AtomicU64, silence: Duration) -> bool {
    let mut question = pin!(question);
    loop {
        let before = heard.load(Ordering::Relaxed);
        if timeout(silence, &mut question).await.is_ok() {
            return true;
        }
        if heard.load(Ordering::Relaxed) == before {
            return false;
        }
    }
}
