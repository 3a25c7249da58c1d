//! What a life tells, and what it can be told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::LinkState;
use crate::backend::{Diagnosis, Loading};
use crate::id::{GpuIndex, JobId};
use crate::route::{Taken, Upstream};

/// A life moved on.
#[derive(Clone, Debug)]
pub enum News {
    /// The job waits in the queue, or a life on this machine for what others have of it.
    Queued {
        /// Its number, once Slurm gave one.
        job: Option<JobId>,
        /// Slurm's reason, such as `Priority`; ours begins with [`WAITS_FOR`](super::WAITS_FOR).
        reason: Option<String>,
        /// When Slurm expects to start it, in Slurm's words.
        expected_start: Option<String>,
    },
    /// The job has its node, or the keeper runs there: the engine is being started.
    Starting {
        /// The job's number, where there is a job.
        job: Option<JobId>,
        /// The machine.
        node: String,
    },
    /// These GPUs of this machine are its own from now on.
    Gpus(Vec<GpuIndex>),
    /// The starting engine's log told of its progress.
    Loading(Loading),
    /// The engine's own socket listens, and there is a way to it. It may not answer yet.
    Listening(Arc<Upstream>, Taken),
    /// The way that was taken led nowhere any more, and was given up for this one.
    Routed(Taken),
    /// No way leads to the engine any more; it lives, and one is looked for.
    Unreachable(Diagnosis),
    /// When Slurm ends the job; nothing where it does not.
    Walltime(Option<Allowance>),
    /// Whether Slurm lets the job stand still, with all that runs in it.
    Paused(bool),
    /// Without another word of ours, the engine ends itself then.
    Lease(Instant),
    /// Whether the host can be talked to.
    Link(LinkState),
    /// The engine or its job ended, or could not be started; what is left is being ended.
    Ended(Diagnosis),
    /// What could not be ended, by name: told before [`News::Gone`], where there is any.
    Left(Vec<String>),
    /// Nothing is left, but for what was named, and that was verified. The last news of a life.
    Gone,
}

/// For how long Slurm lets a job run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// From now.
    pub left: Duration,
    /// In all.
    pub limit: Duration,
}

/// What a life can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End the engine in order, and verify it gone.
    End,
    /// End it by force, and verify it gone.
    Kill,
}

/// Where a life's news go, under the number that the instance gave it.
#[derive(Clone, Debug)]
pub struct NewsSender {
    number: u64,
    sender: mpsc::Sender<(u64, News)>,
}

impl NewsSender {
    /// News of the life with this number.
    #[must_use]
    pub fn new(number: u64, sender: mpsc::Sender<(u64, News)>) -> Self {
        Self { number, sender }
    }

    /// Tells it.
    pub async fn send(&self, news: News) {
        // Nobody listens only where the instance itself was given up, and then there is nobody to tell.
        drop(self.sender.send((self.number, news)).await);
    }
}

/// As many orders as are ever given: an end and a kill. A second of either may be lost.
const ORDERS: usize = 4;

/// Where a life takes its orders from.
#[derive(Clone, Debug)]
pub struct Orders {
    orders: mpsc::Sender<Order>,
    look: Arc<Notify>,
}

impl Orders {
    pub(super) fn new() -> (Self, mpsc::Receiver<Order>, Arc<Notify>) {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let look = Arc::new(Notify::new());
        (Self { orders, look: Arc::clone(&look) }, ordered, look)
    }

    /// Gives an order. There is room for every one, and a life that has ended needs none.
    pub fn give(&self, order: Order) {
        let _ = self.orders.try_send(order);
    }

    /// Has the life looked at from outside now, and not only when it is time: its keeper may not be able to say how it is.
    pub fn look(&self) {
        self.look.notify_one();
    }
}

/// What becomes of a life that an earlier process left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftBehind {
    /// It is used again.
    GoesOn,
    /// It was being ended, and is seen to its end.
    WasEnding,
    /// It runs something else than what is wanted now, and is ended.
    OtherPlan,
}

/// Starts lives.
pub trait Launcher: Send + Sync + 'static {
    /// Starts a life, whose news go to `news`; the last of them is [`News::Gone`].
    fn launch(&self, news: NewsSender) -> Orders;

    /// The life that an earlier process left behind, if the next launch is to find that one instead of starting another.
    fn left_behind(&self) -> Option<LeftBehind> {
        None
    }
}
