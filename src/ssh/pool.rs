//! The connections to one host: made when first needed, shared by all, and made anew when they end.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt::{Attempt, Outcome};
use super::config::Target;
use super::connection::Connection;
use super::cool_down::CoolDown;
use super::outlet::OutletRules;
use super::slot::Slot;
use super::spool::{DiskBudget, SpoolRules};
use super::trust::Learned;
use super::{Link, Person, SshClient, SshError, SshLimits};
use crate::vault::Vault;

/// The connections to one host.
pub(super) struct Pool {
    pub(super) target: Target,
    /// The client whose connections lead there, where it is not reached from this machine.
    pub(super) within: Option<SshClient>,
    pub(super) limits: SshLimits,
    pub(super) outlets: Arc<OutletRules>,
    pub(super) tasks: TaskTracker,
    pub(super) link: watch::Sender<Link>,
    pub(super) closing: CancellationToken,
    /// What the user asked to be kept.
    pub(super) vault: Vault,
    /// What was learned of servers in this run.
    pub(super) learned: Learned,
    /// Told whenever there may be a place where there was none.
    pub(super) freed: Arc<Notify>,
    /// Held for moments only, and never while a stream moves.
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) connections: Vec<Arc<Connection>>,
    /// The attempt that is under way: everybody who needs a connection waits for the same one, and all are told the same,
    /// so that a wrong key is shown once and not a hundred times.
    pub(super) attempt: Option<Attempt>,
    /// How many attempts there have been.
    pub(super) attempts: u64,
    /// Where the last connection led: several machines may stand behind one name.
    pub(super) address: Option<SocketAddr>,
    pub(super) cool_down: CoolDown,
}

/// What a place is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A stream, which fits wherever a place is free.
    Stream,
    /// A command, which also needs one of the server's sessions.
    Command,
}

impl Pool {
    pub(super) fn new(
        target: Target,
        within: Option<SshClient>,
        limits: SshLimits,
        vault: Vault,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        let outlets = Arc::new(OutletRules {
            memory: limits.stream_memory,
            spool: SpoolRules {
                bound: limits.stream_disk,
                dir: limits.disk_dir.clone(),
                budget: Arc::new(DiskBudget::new(limits.total_disk)),
                tasks: tasks.clone(),
            },
        });
        let link = watch::Sender::new(Link::none());
        Arc::new(Self {
            target,
            within,
            limits,
            outlets,
            tasks,
            link,
            closing: CancellationToken::new(),
            vault,
            learned: Learned::default(),
            freed: Arc::default(),
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

    /// A place for one channel, on a connection that stands or on one that is made for it. Where that would need a person,
    /// it waits a while for one that is given back.
    ///
    /// # Errors
    /// No connection can be made, or all are full.
    pub(super) async fn acquire(self: &Arc<Self>, purpose: Purpose) -> Result<(Arc<Connection>, Slot), SshError> {
        let (mut until, asked_until) = (None, Instant::now() + self.limits.person_timeout);
        loop {
            // Made before we look, so that nothing that is freed afterwards is missed.
            let freed = self.freed.notified();
            let (mut outcome, by_person) = match self.place_or_attempt(purpose)? {
                Place::Free(connection, slot) => return Ok((connection, slot)),
                Place::Soon { outcome, by_person } => (outcome, by_person),
                Place::Full(error) => {
                    let until = *until.get_or_insert_with(|| Instant::now() + self.limits.place_timeout);
                    timeout_at(until, freed).await.map_err(|_| error)?;
                    continue;
                }
            };
            // A place on the new connection may be gone by the time we look; then there is another attempt.
            let outcome = async { outcome.wait_for(Option::is_some).await.map(|result| result.clone()) };
            let outcome = if by_person {
                timeout_at(asked_until, outcome).await.map_err(|_| self.person_asked())?
            } else {
                outcome.await
            };
            match outcome {
                // One more connection needs a person; those that stand are as good as before.
                Ok(Some(Err(error))) if error.is_authentication() && self.stands() => {}
                Ok(Some(Err(error))) => return Err(error),
                Ok(Some(Ok(())) | None) => {}
                Err(_) => return Err(self.closed()),
            }
        }
    }

    /// Connects, unless a connection stands, with a person who answers what is asked on the way. An attempt that goes on with
    /// nobody gives way, and what an earlier one was refused for is forgotten: a person may have mended it.
    ///
    /// # Errors
    /// No connection can be made.
    pub(super) async fn connect_with(self: &Arc<Self>, person: &Person) -> Result<(), SshError> {
        loop {
            let (mut outcome, own) = {
                let mut state = self.state();
                state.tidy(&self.limits);
                if self.closing.is_cancelled() {
                    return Err(self.closed());
                }
                state.cool_down.forget();
                if !state.connections.is_empty() {
                    return Ok(());
                }
                match state.attempt.take() {
                    Some(others) if others.by_person => {
                        let outcome = others.outcome.clone();
                        state.attempt = Some(others);
                        (outcome, false)
                    }
                    nobodys => {
                        if let Some(nobodys) = nobodys {
                            nobodys.replaced.cancel();
                        }
                        (self.begin(&mut state, person.clone()), true)
                    }
                }
            };
            let result = outcome.wait_for(Option::is_some).await.map(|result| result.clone());
            match (result, own) {
                (Ok(Some(result)), true) => return result,
                (Ok(_), _) => {}
                (Err(_), _) => return Err(self.closed()),
            }
        }
    }

    /// What failed because there was no network may be tried again at once.
    pub(super) fn network_is_back(&self) {
        self.state().cool_down.forget_what_may_pass();
    }

    /// Where the last connection led.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.state().address
    }

    /// Returns once a server behind one of the connections has answered, or once all are lost, and says which.
    pub(super) async fn ping(&self) -> bool {
        let connections = self.state().connections.clone();
        let mut answers: FuturesUnordered<_> = connections.iter().map(|connection| connection.ping()).collect();
        while let Some(answered) = answers.next().await {
            if answered {
                return true;
            }
        }
        false
    }

    /// Ends all connections and lets no more be made.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        let connections = std::mem::take(&mut self.state().connections);
        join_all(connections.iter().map(|connection| connection.disconnect())).await;
        self.link.send_replace(Link::none());
    }

    fn place_or_attempt(self: &Arc<Self>, purpose: Purpose) -> Result<Place, SshError> {
        if self.closing.is_cancelled() {
            return Err(self.closed());
        }
        let mut state = self.state();
        state.tidy(&self.limits);
        let free = state.connections.iter().find_map(|connection| {
            let fits = purpose == Purpose::Stream || connection.may_run_a_command();
            let slot = if fits { connection.reserve() } else { None };
            slot.map(|slot| (Arc::clone(connection), slot))
        });
        if let Some((connection, slot)) = free {
            state.cool_down.worked();
            return Ok(Place::Free(connection, slot));
        }
        if let Some(attempt) = &state.attempt {
            return Ok(Place::Soon { outcome: attempt.outcome.clone(), by_person: attempt.by_person });
        }
        // A worn connection that is not empty yet takes no more channels, and must not keep a fresh one from being made.
        let counted = state.connections.iter().filter(|connection| !connection.is_worn()).count();
        let full = |needs_person| SshError::TooManyChannels {
            host: self.target.host.clone(),
            connections: counted,
            needs_person,
        };
        let by_person = state.connections.iter().any(|connection| connection.by_person);
        if counted > 0 && (by_person || state.cool_down.needs_a_person()) {
            return Ok(Place::Full(full(true)));
        }
        if let Some(error) = state.cool_down.answer() {
            return Err(error);
        }
        if counted >= self.limits.connections {
            return Err(full(false));
        }
        Ok(Place::Soon { outcome: self.begin(&mut state, Person::nobody()), by_person: false })
    }

    /// Tells those who watch, unless another connection stands or we closed it all ourselves.
    pub(super) fn say_disconnected(&self, error: SshError) {
        let mut state = self.state();
        state.tidy(&self.limits);
        if state.connections.is_empty() && !self.closing.is_cancelled() {
            self.link.send_modify(|link| *link = link.lost(error));
        }
    }

    /// Whether a connection stands.
    fn stands(&self) -> bool {
        let mut state = self.state();
        state.tidy(&self.limits);
        !state.connections.is_empty()
    }

    fn person_asked(&self) -> SshError {
        SshError::PersonAsked { user: self.target.user.clone(), host: self.target.host.clone() }
    }

    pub(super) fn closed(&self) -> SshError {
        SshError::Closed { host: self.target.host.clone() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Place {
    Free(Arc<Connection>, Slot),
    Soon {
        outcome: watch::Receiver<Outcome>,
        by_person: bool,
    },
    /// There is none until one is given back: another connection needs a person.
    Full(SshError),
}

impl State {
    /// Gives up connections that ended, worn ones that are empty, and empty ones behind one that has room to spare: login hosts count a user's processes.
    fn tidy(&mut self, limits: &SshLimits) {
        let cool_down = &mut self.cool_down;
        self.connections.retain(|connection| {
            let ended = connection.is_closed();
            if ended && !connection.was_used() {
                // One that ends at once is a failed attempt: the next one would end like it.
                cool_down.failed(&connection.failure(&russh::Error::Disconnect), limits);
            }
            !ended
        });
        self.connections.retain(|connection| !(connection.is_worn() && connection.used() == 0));
        let mut room_to_spare = false;
        self.connections.retain(|connection| {
            let kept = connection.used() > 0 || !room_to_spare;
            room_to_spare |= kept && connection.has_room_to_spare();
            kept
        });
    }
}
