//! What everyone but the owning task holds of an instance: a way to say what they want, and to look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::actor::Replacement;
use super::{Entrance, Life, Party, Permit, State};
use crate::backend::{Diagnosis, Loading};
use crate::id::{GpuIndex, InstanceName, JobId};
use crate::launch::LinkState;
use crate::route::Taken;

/// What a request is to the idle clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hold {
    /// Inference: the idle clock starts when the last of these ends.
    Inference,
    /// Anything else that the engine answers: delays a stop, and does not move the clock.
    Helper,
}

/// Why a request is not served. The gateway makes HTTP of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The engine could not be started; the next start is tried after the time given.
    Failed {
        /// Why, and what to do.
        diagnosis: Diagnosis,
        /// When a new request would start it afresh.
        retry_after: Duration,
    },
    /// As many requests wait as may.
    TooManyWaiting {
        /// The bound.
        limit: usize,
    },
    /// A person had the engine stopped.
    Stopped,
    /// The proxy is being stopped.
    ShuttingDown,
}

/// One who waits for the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Waiter(pub u64);

/// What the owning task is told.
#[derive(Debug)]
pub enum Command {
    /// Wants the engine: starts it, waits for it.
    Acquire {
        /// Who.
        waiter: Waiter,
        /// Whose turn is taken.
        party: Party,
        /// What for.
        hold: Hold,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<Permit, Refusal>>,
    },
    /// Wants the engine only if it is ready now.
    TryAcquire {
        /// Who.
        waiter: Waiter,
        /// What for.
        hold: Hold,
        /// Where the permit goes; dropped where there is none.
        answer: oneshot::Sender<Result<Permit, Refusal>>,
    },
    /// Left before the answer came.
    Abandon(Waiter),
    /// A permit of the numbered life was dropped while its entrance was shut.
    Release(u64, Hold),
    /// Requests entered or left by the open entrance. This is not told again before the owner has looked.
    Moved,
    /// Others want what the numbered life has: it ends if it is idle. With `drain` it lets nobody else in, and ends once it is.
    Yield {
        /// Which life.
        life: u64,
        /// Whether a busy one yields, too.
        drain: bool,
    },
    /// Wants the engine started, and does not wait.
    Nudge,
    /// A person wants the engine started, whatever happened before, and does not wait.
    Start,
    /// A person wants the engine ended; with `hurry`, by force.
    Stop {
        /// Whether to wait for nothing.
        hurry: bool,
    },
    /// What the last start failed for was mended: the next one need not wait.
    Reset,
    /// The next life is to be another.
    Replace(Box<Replacement>),
    /// Admit no more, finish what is in flight, end the engine; with `hurry`, by force.
    Close {
        /// Whether to wait for nothing.
        hurry: bool,
    },
}

/// Where the instance stands, for those who look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No life.
    Stopped,
    /// An earlier process left an engine behind, and it is looked for.
    Recovering,
    /// Slurm, or the host, is being asked.
    Submitting,
    /// The job waits in Slurm's queue; or the engine for what others of ours have of this machine.
    Queued {
        /// Slurm's reason, such as `Priority` or `Resources`; ours begins with [`WAITS_FOR`](crate::launch::WAITS_FOR).
        reason: Option<String>,
        /// When Slurm expects to start it, in its own words.
        expected_start: Option<String>,
    },
    /// The engine is starting.
    Starting,
    /// The engine answers.
    Ready,
    /// The engine goes on, and no way leads to it any more: one is looked for.
    Unreachable(Diagnosis),
    /// No more is admitted; what is in flight is finished.
    Draining,
    /// The engine is being ended, and if it failed, why.
    Stopping(Option<Diagnosis>),
    /// The last start failed.
    Failed(Diagnosis),
}

impl Phase {
    /// Where this state stands, for those who look.
    pub(super) fn of(state: &State) -> Self {
        match &state.life {
            Life::Stopped => Self::Stopped,
            Life::Recovering { .. } => Self::Recovering,
            Life::Submitting { .. } => Self::Submitting,
            Life::Queued { reason, expected_start, .. } => {
                Self::Queued { reason: reason.clone(), expected_start: expected_start.clone() }
            }
            Life::Starting { .. } => Self::Starting,
            Life::Ready { .. } => match &state.unreachable {
                Some(diagnosis) => Self::Unreachable(diagnosis.clone()),
                None => Self::Ready,
            },
            Life::Draining { .. } => Self::Draining,
            Life::Stopping { failure, .. } => Self::Stopping(failure.clone()),
            Life::Failed { diagnosis, .. } => Self::Failed(diagnosis.clone()),
        }
    }
}

/// What can be seen of an instance at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of the current life, or of the last.
    pub life: u64,
    /// Where it stands.
    pub phase: Phase,
    /// Its job, once Slurm gave one.
    pub job: Option<JobId>,
    /// The machine it runs on, once that is known.
    pub node: Option<String>,
    /// Requests that hold the engine.
    pub in_flight: usize,
    /// Those of them that are inference.
    pub inference: usize,
    /// Requests that wait for it.
    pub waiting: usize,
    /// Whether the host can be talked to.
    pub link: LinkState,
    /// Whether Slurm lets its job stand still.
    pub paused: bool,
    /// Since when it is in this kind of phase.
    pub since: Instant,
    /// What a starting engine last told of its own progress.
    pub loading: Option<Loading>,
    /// How bytes reach its engine, once a way was found.
    pub route: Option<Taken>,
    /// When it is ended for idleness if nobody asks for anything; none while something is in flight.
    pub idle_stop: Option<Instant>,
    /// When Slurm ends its job, where it does.
    pub walltime_end: Option<Instant>,
    /// When its engine ends itself, if it hears nothing more from this program.
    pub lease_end: Option<Instant>,
    /// The GPUs of this machine that are its own.
    pub gpus: Vec<GpuIndex>,
    /// Since when a ready engine has had nothing to do; none while something is in flight.
    pub idle_since: Option<Instant>,
    /// Since when the current life answers.
    pub ready_since: Option<Instant>,
    /// Whether it is never ended for idleness, and so never yields either.
    pub stays: bool,
    /// What of its lives until now could not be ended, by name.
    pub left: Vec<String>,
}

impl Snapshot {
    /// Whether this is the other, but for requests that came or went.
    #[must_use]
    pub fn is_but_for_requests(&self, other: &Self) -> bool {
        // All of them, so that none that is added is forgotten here.
        let Self {
            life,
            phase,
            job,
            node,
            link,
            paused,
            since,
            loading,
            route,
            walltime_end,
            lease_end,
            left,
            in_flight: _,
            inference: _,
            waiting: _,
            idle_stop: _,
            idle_since: _,
            gpus,
            ready_since,
            stays,
        } = self;
        let instance = (life, phase, job, node, link, paused);
        let engine = (since, loading, route, walltime_end, lease_end, left);
        let place = (gpus, ready_since, stays);
        place == (&other.gpus, &other.ready_since, &other.stays)
            && instance == (&other.life, &other.phase, &other.job, &other.node, &other.link, &other.paused)
            && engine
                == (&other.since, &other.loading, &other.route, &other.walltime_end, &other.lease_end, &other.left)
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            life: 0,
            phase: Phase::Stopped,
            job: None,
            node: None,
            in_flight: 0,
            inference: 0,
            waiting: 0,
            link: LinkState::default(),
            paused: false,
            since: Instant::now(),
            loading: None,
            route: None,
            idle_stop: None,
            walltime_end: None,
            lease_end: None,
            gpus: Vec::new(),
            idle_since: None,
            ready_since: None,
            stays: false,
            left: Vec::new(),
        }
    }
}

/// A way to one instance, cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    name: Arc<InstanceName>,
    // Unbounded, but each request sends at most three commands and has at most one waiter, so it holds no more than
    // the open requests do; the owner never blocks, and a drop cannot wait.
    commands: mpsc::UnboundedSender<Command>,
    snapshots: watch::Receiver<Snapshot>,
    entrance: watch::Receiver<Option<Arc<Entrance>>>,
    next_waiter: Arc<AtomicU64>,
}

impl Handle {
    /// A handle whose commands somebody receives, whose snapshots somebody publishes, and the entrance of the current life.
    #[must_use]
    pub fn new(
        name: InstanceName,
        commands: mpsc::UnboundedSender<Command>,
        snapshots: watch::Receiver<Snapshot>,
        entrance: watch::Receiver<Option<Arc<Entrance>>>,
    ) -> Self {
        Self { name: Arc::new(name), commands, snapshots, entrance, next_waiter: Arc::default() }
    }

    /// What the instance is called.
    #[must_use]
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// Where the instance stands now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshots.borrow().clone()
    }

    /// Snapshots as they change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.snapshots.clone()
    }

    /// Returns when the instance has ended: it is down, verified gone, and nobody obeys any more. Whoever waits is not woken by
    /// each request, as a watcher is.
    pub async fn closed(&self) {
        self.commands.closed().await;
    }

    /// Wakes the engine if need be, and waits until it is ready. Dropping the future stops waiting.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn acquire(&self, hold: Hold) -> Result<Permit, Refusal> {
        self.acquire_for(Party::default(), hold).await
    }

    /// The same, in the turn of this party: where requests wait for a full engine, each party has one after the other.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn acquire_for(&self, party: Party, hold: Hold) -> Result<Permit, Refusal> {
        if let Some(permit) = self.enter(hold) {
            return Ok(permit);
        }
        let waiter = self.waiter();
        let (answer, answered) = oneshot::channel();
        let mut leaving = Leaving { waiter: Some(waiter), commands: &self.commands };
        if self.commands.send(Command::Acquire { waiter, party, hold, answer }).is_err() {
            return Err(Refusal::ShuttingDown);
        }
        let answer = answered.await.unwrap_or(Err(Refusal::ShuttingDown));
        leaving.waiter = None;
        answer
    }

    /// A permit if the engine is ready now; never wakes it, never waits.
    pub async fn try_acquire(&self, hold: Hold) -> Option<Permit> {
        if let Some(permit) = self.enter(hold) {
            return Some(permit);
        }
        let waiter = self.waiter();
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::TryAcquire { waiter, hold, answer }).ok()?;
        answered.await.ok()?.ok()
    }

    /// By the open entrance, where there is one.
    fn enter(&self, hold: Hold) -> Option<Permit> {
        self.entrance.borrow().as_ref()?.enter(hold)
    }

    /// Requests that hold it now, or wait for it.
    #[must_use]
    pub fn load(&self) -> usize {
        let (in_flight, waiting) = {
            let seen = self.snapshots.borrow();
            (seen.in_flight, seen.waiting)
        };
        let held = self.entrance.borrow().as_ref().map(|entrance| entrance.held());
        held.map_or(in_flight, |held| held.inference + held.helpers) + waiting
    }

    /// Whether what is sent now is on its way at once: the host can be talked to, and Slurm lets the job run.
    #[must_use]
    pub fn is_within_reach(&self) -> bool {
        let seen = self.snapshots.borrow();
        seen.link.is_up() && !seen.paused
    }

    fn waiter(&self) -> Waiter {
        Waiter(self.next_waiter.fetch_add(1, Ordering::Relaxed))
    }

    /// Begins the end: no more is admitted, and the engine is ended. A second call with `hurry` does not wait.
    pub fn close(&self, hurry: bool) {
        // Nobody listens where the instance has already ended.
        drop(self.commands.send(Command::Close { hurry }));
    }

    /// Starts the engine for a caller who does not wait for it.
    pub fn nudge(&self) {
        // Nobody listens any more only where the proxy is stopping, and then no start is wanted.
        drop(self.commands.send(Command::Nudge));
    }

    /// Starts the engine for a person: no back-off is waited for, and nobody need wait for the start to go on.
    pub fn start(&self) {
        drop(self.commands.send(Command::Start));
    }

    /// Has the numbered life yield to others who want what it has, if it is idle when it hears of it. With `drain` a busy one lets
    /// nobody else in, and yields once it is idle. Who waits for it waits for the next life.
    pub fn yields(&self, life: u64, drain: bool) {
        drop(self.commands.send(Command::Yield { life, drain }));
    }

    /// Ends the engine for a person; a later request starts it again. A second call with `hurry` does not wait.
    pub fn stop(&self, hurry: bool) {
        drop(self.commands.send(Command::Stop { hurry }));
    }

    /// Makes another engine of it from the next life on. One that runs finishes what is in flight, and is ended; who comes
    /// meanwhile waits for the next.
    pub fn replace(&self, by: Replacement) {
        drop(self.commands.send(Command::Replace(Box::new(by))));
    }

    /// What the last start failed for was mended: the next one need not wait.
    pub fn reset(&self) {
        drop(self.commands.send(Command::Reset));
    }
}

struct Leaving<'a> {
    waiter: Option<Waiter>,
    commands: &'a mpsc::UnboundedSender<Command>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            drop(self.commands.send(Command::Abandon(waiter)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_come_and_go_are_told_from_what_else_changes() {
        let before = Snapshot { phase: Phase::Ready, ..Snapshot::default() };
        let busy = Snapshot { in_flight: 2, waiting: 1, idle_stop: Some(before.since), ..before.clone() };
        assert!(busy.is_but_for_requests(&before) && before.is_but_for_requests(&busy));
        assert!(!Snapshot { phase: Phase::Draining, ..busy.clone() }.is_but_for_requests(&before));
        assert!(!Snapshot { paused: true, ..busy }.is_but_for_requests(&before));
    }
}
