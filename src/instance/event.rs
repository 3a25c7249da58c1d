//! What an instance is told, and what it answers with.

use super::{Held, Hold, Party, Refusal, Waiter};
use crate::backend::Diagnosis;
use crate::id::JobId;
use crate::launch::{Allowance, LeftBehind};

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request of this party wants the engine, and waits.
    Acquire(Waiter, Party, Hold),
    /// A request wants the engine only if it is ready now.
    TryAcquire(Waiter, Hold),
    /// A waiting request's client left.
    Abandon(Waiter),
    /// So many requests hold the current life now.
    Held(Held),
    /// Others want what the numbered life has: it ends if it is idle.
    Yield {
        /// Which life.
        life: u64,
        /// Whether a busy one lets nobody else in, and ends once it is idle.
        drain: bool,
    },
    /// Somebody wants the engine started, and does not wait.
    Nudge,
    /// A person wants the engine started, whatever happened before, and does not wait.
    Start,
    /// An earlier process left a life behind: it is found, and used again or seen to its end.
    Resume(LeftBehind),
    /// What the last start failed for was mended: the next one need not wait.
    Reset,
    /// Only a person can bring the link to the host back, for this cause; or none is needed any more.
    Login(Option<Diagnosis>),
    /// No way leads to the current life's engine any more, for this cause; or one does again.
    Unreachable(Option<Diagnosis>),
    /// The current life moved on.
    Life(LifeEvent),
    /// The engine was asked whether it still works on something.
    Busy(bool),
    /// A person wants the engine ended: tell those who wait for it, finish what is in flight. A later request starts it again.
    Stop,
    /// The next life is to be another: finish what is in flight and end the engine; who waits, waits for the next one.
    Replace,
    /// Admit no more, finish what is in flight, end the engine.
    Close,
    /// Do not wait for what is in flight, nor for the engine to end by itself.
    Hurry,
    /// Time passed.
    Tick,
}

/// What the current life reports.
#[derive(Clone, Debug)]
pub enum LifeEvent {
    /// The job waits in the queue.
    Queued {
        /// Its number.
        job: Option<JobId>,
        /// Slurm's reason.
        reason: Option<String>,
        /// When Slurm expects to start it.
        expected_start: Option<String>,
    },
    /// The keeper runs, and starts the engine.
    Starting {
        /// The job's number, where there is a job.
        job: Option<JobId>,
        /// The machine.
        node: String,
    },
    /// When Slurm ends the job; nothing where it does not.
    Walltime(Option<Allowance>),
    /// Whether Slurm lets the job stand still.
    Paused(bool),
    /// The engine answers through the route that requests will take.
    Ready,
    /// The engine or its job ended, or could not be started; what is left of it is being ended.
    Ended(Diagnosis),
    /// Nothing is left, and that was verified.
    Gone,
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start a life with this number, or find the one that was left behind.
    Launch(u64),
    /// End the current life, verify it gone, report that.
    End,
    /// Break off what it still answers: it is ended while it lives, and what it says from now on is no proper end.
    HangUp,
    /// End it by force.
    Kill,
    /// Give this waiter a permit of the current life.
    Grant(Waiter, Hold),
    /// Tell this one, who did not want to wait, that there is no permit now.
    Decline(Waiter),
    /// Tell this waiter why not.
    Refuse(Waiter, Refusal),
    /// Ask the engine whether it still works on something.
    AskBusy,
}
