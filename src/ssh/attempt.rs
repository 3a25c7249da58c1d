//! An attempt to connect: everybody who needs a connection waits for the same one.

use std::sync::{Arc, Weak};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::arrival::arrive;
use super::connection::{Connection, Plan};
use super::pool::{Pool, State};
use super::{Link, Person, SshError};

/// An attempt that is under way.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) number: u64,
    pub(super) outcome: watch::Receiver<Outcome>,
    /// Whether a person is asked on the way.
    pub(super) by_person: bool,
    /// Cancelled when another takes its place.
    pub(super) replaced: CancellationToken,
}

/// How an attempt came out, once it has; one that was replaced sends those who wait for it to look again.
pub(super) type Outcome = Option<Result<(), SshError>>;

impl Pool {
    /// Begins an attempt, in a task of its own: whoever asked first may leave, and the others still wait for it.
    pub(super) fn begin(self: &Arc<Self>, state: &mut State, person: Person) -> watch::Receiver<Outcome> {
        let (result, outcome) = watch::channel(None);
        state.attempts += 1;
        let attempt = Attempt {
            number: state.attempts,
            outcome: outcome.clone(),
            by_person: person.is_there(),
            replaced: CancellationToken::new(),
        };
        state.attempt = Some(attempt.clone());
        self.tasks.spawn(Arc::clone(self).attempt(attempt, result, person));
        outcome
    }

    async fn attempt(self: Arc<Self>, attempt: Attempt, result: watch::Sender<Outcome>, person: Person) {
        let made = tokio::select! {
            made = self.connect(&person) => Some(made),
            () = self.closing.cancelled() => Some(Err(self.closed())),
            () = attempt.replaced.cancelled() => None,
        };
        let told = match made {
            Some(Ok(connection)) => {
                self.add(connection, &attempt);
                Ok(())
            }
            Some(Err(error)) if !attempt.replaced.is_cancelled() => {
                tracing::debug!(host = %self.target.host, %error, "no SSH connection");
                let error = {
                    let mut state = self.state();
                    state.attempt.take_if(|current| current.number == attempt.number);
                    state.cool_down.failed(&error, &self.limits)
                };
                self.say_disconnected(error.clone());
                Err(error)
            }
            Some(Err(_)) | None => Ok(()),
        };
        result.send_replace(Some(told));
        self.freed.notify_waiters();
    }

    async fn connect(&self, person: &Person) -> Result<Connection, SshError> {
        arrive(Plan {
            target: &self.target,
            within: self.within.as_ref(),
            known_address: self.address(),
            limits: &self.limits,
            outlets: &self.outlets,
            tasks: &self.tasks,
            person,
            vault: &self.vault,
            learned: &self.learned,
            freed: &self.freed,
        })
        .await
    }

    fn add(self: &Arc<Self>, connection: Connection, attempt: &Attempt) {
        tracing::debug!(host = %self.target.host, address = ?connection.address, "an SSH connection stands");
        let mut ending = connection.ending();
        let address = connection.address;
        let connection = Arc::new(connection);
        let vigil = Connection::vigil(Arc::downgrade(&connection), address);
        {
            let mut state = self.state();
            state.attempt.take_if(|current| current.number == attempt.number);
            state.cool_down.connected();
            // Behind another host, or a command, nobody tells us.
            state.address = address.or(state.address);
            if !self.closing.is_cancelled() {
                state.connections.push(connection);
                self.link.send_replace(Link::Connected);
            }
        }
        let pool: Weak<Self> = Arc::downgrade(self);
        self.tasks.spawn(async move {
            let ended = ending.wait_for(Option::is_some);
            let ended = tokio::select! {
                ended = ended => ended.map(|ending| ending.clone()),
                never = vigil => match never {},
            };
            if let (Ok(Some(error)), Some(pool)) = (ended, pool.upgrade()) {
                tracing::debug!(host = %pool.target.host, %error, "an SSH connection ended");
                pool.say_disconnected(error);
            }
        });
    }
}
