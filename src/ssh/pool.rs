//! The connections to one host: made when first needed, shared by all, and made anew when they end.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::cool_down::CoolDown;
use super::outlet::OutletRules;
use super::spool::{DiskBudget, SpoolRules};
use super::target::Target;
use super::{Link, SshError, SshLimits};

/// The connections to one host.
pub(super) struct Pool {
    target: Target,
    limits: SshLimits,
    outlets: OutletRules,
    tasks: TaskTracker,
    link: watch::Sender<Link>,
    closing: CancellationToken,
    /// Held for moments only, and never while a stream moves.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connections: Vec<Arc<Connection>>,
    /// The attempt that is under way: everybody who needs a connection waits for the same one, and all are told the same,
    /// so that a wrong key is shown once and not a hundred times.
    attempt: Option<watch::Receiver<Attempt>>,
    /// Where the last connection led: several machines may stand behind one name.
    address: Option<SocketAddr>,
    cool_down: CoolDown,
}

/// What a place is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A stream, which fits wherever a place is free.
    Stream,
    /// A command, which also needs one of the server's sessions.
    Command,
}

/// How an attempt came out, once it has.
type Attempt = Option<Result<(), SshError>>;

impl Pool {
    pub(super) fn new(target: Target, limits: SshLimits, tasks: TaskTracker) -> Arc<Self> {
        let outlets = OutletRules {
            memory: limits.stream_memory,
            spool: SpoolRules {
                bound: limits.stream_disk,
                dir: limits.disk_dir.clone(),
                budget: Arc::new(DiskBudget::new(limits.total_disk)),
                tasks: tasks.clone(),
            },
        };
        let link = watch::Sender::new(Link::Disconnected { cause: None });
        Arc::new(Self {
            target,
            limits,
            outlets,
            tasks,
            link,
            closing: CancellationToken::new(),
            state: Mutex::default(),
        })
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// How many connections there may be.
    pub(super) fn most_connections(&self) -> usize {
        self.limits.connections
    }

    /// A place for one channel, on a connection that stands or on one that is made for it.
    ///
    /// # Errors
    /// No connection can be made, or all are full.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        purpose: Purpose,
    ) -> Result<(Arc<Connection>, OwnedSemaphorePermit), SshError> {
        loop {
            let mut attempt = match self.place_or_attempt(purpose)? {
                Place::Free(connection, slot) => return Ok((connection, slot)),
                Place::Soon(attempt) => attempt,
            };
            // A place on the new connection may be gone by the time we look; then there is another attempt.
            match attempt.wait_for(Option::is_some).await.map(|result| result.clone()) {
                Ok(Some(Err(error))) => return Err(error),
                Ok(Some(Ok(())) | None) => {}
                Err(_) => return Err(self.closed()),
            }
        }
    }

    /// Ends all connections and lets no more be made.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        let connections = std::mem::take(&mut self.state().connections);
        join_all(connections.iter().map(|connection| connection.disconnect())).await;
        self.link.send_replace(Link::Disconnected { cause: None });
    }

    fn place_or_attempt(self: &Arc<Self>, purpose: Purpose) -> Result<Place, SshError> {
        if self.closing.is_cancelled() {
            return Err(self.closed());
        }
        let mut state = self.state();
        state.tidy();
        for connection in &state.connections {
            let fits = purpose == Purpose::Stream || connection.sessions.have_room();
            if fits && let Some(slot) = connection.reserve() {
                return Ok(Place::Free(Arc::clone(connection), slot));
            }
        }
        if let Some(attempt) = &state.attempt {
            return Ok(Place::Soon(attempt.clone()));
        }
        if let Some(error) = state.cool_down.answer() {
            return Err(error);
        }
        // A worn connection that is not empty yet takes no more channels, and must not keep a fresh one from being made.
        let counted = state.connections.iter().filter(|connection| !connection.is_worn()).count();
        if counted >= self.limits.connections {
            return Err(SshError::TooManyChannels { host: self.target.host.clone(), connections: counted });
        }
        let (result, attempt) = watch::channel(None);
        state.attempt = Some(attempt.clone());
        // In a task of its own: whoever asked first may leave, and the others still wait for it.
        self.tasks.spawn(Arc::clone(self).attempt(result));
        Ok(Place::Soon(attempt))
    }

    async fn attempt(self: Arc<Self>, result: watch::Sender<Attempt>) {
        let known_address = self.state().address;
        let connect = Connection::connect(&self.target, known_address, &self.limits, &self.outlets, &self.tasks);
        let made = tokio::select! {
            made = connect => made,
            () = self.closing.cancelled() => Err(self.closed()),
        };
        let told = match made {
            Ok(connection) => {
                self.add(connection);
                Ok(())
            }
            Err(error) => {
                tracing::debug!(host = %self.target.host, %error, "no SSH connection");
                {
                    let mut state = self.state();
                    state.attempt = None;
                    state.cool_down.failed(&error, &self.limits);
                }
                self.say_disconnected(error.clone());
                Err(error)
            }
        };
        result.send_replace(Some(told));
    }

    fn add(self: &Arc<Self>, connection: Connection) {
        tracing::debug!(host = %self.target.host, address = %connection.address, "an SSH connection stands");
        let mut ending = connection.ending();
        {
            let mut state = self.state();
            state.attempt = None;
            state.address = Some(connection.address);
            if !self.closing.is_cancelled() {
                state.connections.push(Arc::new(connection));
                self.link.send_replace(Link::Connected);
            }
        }
        let pool: Weak<Self> = Arc::downgrade(self);
        self.tasks.spawn(async move {
            let ended = ending.wait_for(Option::is_some).await.map(|ending| ending.clone());
            if let (Ok(Some(error)), Some(pool)) = (ended, pool.upgrade()) {
                tracing::debug!(host = %pool.target.host, %error, "an SSH connection ended");
                pool.say_disconnected(error);
            }
        });
    }

    /// Tells those who watch, unless another connection stands or we closed it all ourselves.
    fn say_disconnected(&self, error: SshError) {
        let mut state = self.state();
        state.tidy();
        if state.connections.is_empty() && !self.closing.is_cancelled() {
            self.link.send_replace(Link::Disconnected { cause: Some(error) });
        }
    }

    fn closed(&self) -> SshError {
        SshError::Closed { host: self.target.host.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Place {
    Free(Arc<Connection>, OwnedSemaphorePermit),
    Soon(watch::Receiver<Attempt>),
}

impl State {
    /// Gives up connections that ended, worn ones that are empty, and empty ones behind one that has room to spare: login hosts count a user's processes.
    fn tidy(&mut self) {
        self.connections.retain(|connection| !connection.is_closed());
        self.connections.retain(|connection| !(connection.is_worn() && connection.used() == 0));
        let mut room_to_spare = false;
        self.connections.retain(|connection| {
            let kept = connection.used() > 0 || !room_to_spare;
            room_to_spare |= kept && connection.has_room_to_spare();
            kept
        });
    }
}
