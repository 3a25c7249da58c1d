//! Starts the lives of one instance, each in a task of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::life::{Beginning, Life};
use super::{Gate, Held, Launcher, LeftBehind, News, NewsSender, Order, Orders, Place, Plan, Record, Trials};

/// Starts lives by one plan.
pub struct Lives {
    place: Arc<Place>,
    plan: Arc<Plan>,
    /// What an earlier process did not see to its end: the first life is that one.
    left_behind: Mutex<Option<(Record, Held)>>,
    /// Lets each begin, where it is on this machine.
    gate: Option<Arc<dyn Gate>>,
    tasks: TaskTracker,
}

impl Lives {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(place: Place, plan: Plan, tasks: TaskTracker) -> Self {
        Self { place: Arc::new(place), plan: Arc::new(plan), left_behind: Mutex::default(), gate: None, tasks }
    }

    /// Each of which begins when this lets it.
    #[must_use]
    pub fn behind(self, gate: Option<Arc<dyn Gate>>) -> Self {
        Self { gate, ..self }
    }

    /// With a life that an earlier process left behind, if there is one, and what it has of this machine: the first to be
    /// launched is that one.
    #[must_use]
    pub fn left_with(self, left_behind: Option<(Record, Held)>) -> Self {
        Self { left_behind: Mutex::new(left_behind), ..self }
    }

    fn recorded(&self) -> MutexGuard<'_, Option<(Record, Held)>> {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a life of which no route is taken: each that the plan allows is tried, and what came of it goes to `trials`.
    #[must_use]
    pub fn try_routes(&self, news: NewsSender, trials: Trials) -> Orders {
        self.start(news, Some(Beginning::Trial(trials)))
    }

    /// Where nothing is given to begin with, a new one is asked for once it is let in.
    fn start(&self, news: NewsSender, beginning: Option<Beginning>) -> Orders {
        let (orders, mut ordered, look) = Orders::new();
        let (place, plan, gate) = (Arc::clone(&self.place), Arc::clone(&self.plan), self.gate.clone());
        let tasks = self.tasks.clone();
        self.tasks.spawn(async move {
            let beginning = match beginning {
                Some(beginning) => Some(beginning),
                None => enter(gate, &plan, &news, &mut ordered).await.map(Beginning::New),
            };
            match beginning {
                Some(beginning) => Life::live(place, plan, beginning, news, tasks, ordered, look).await,
                // It never was.
                None => news.send(News::Gone).await,
            }
        });
        orders
    }
}

/// Returns with what the life has, once it may begin. Nothing where it never may, or is to end before.
async fn enter(
    gate: Option<Arc<dyn Gate>>,
    plan: &Plan,
    news: &NewsSender,
    ordered: &mut mpsc::Receiver<Order>,
) -> Option<Held> {
    let Some(gate) = gate else { return Some(Held::default()) };
    let entered = tokio::select! {
        entered = gate.enter(&plan.needs, news) => entered,
        _ = ordered.recv() => return None,
    };
    match entered {
        Ok(held) => Some(held),
        Err(diagnosis) => {
            news.send(News::Ended(diagnosis)).await;
            None
        }
    }
}

impl Launcher for Lives {
    fn launch(&self, news: NewsSender) -> Orders {
        let left_behind = self.recorded().take();
        self.start(news, left_behind.map(|(record, held)| Beginning::LeftBehind(Box::new(record), held)))
    }

    fn left_behind(&self) -> Option<LeftBehind> {
        self.recorded().as_ref().map(|(record, _)| LeftBehind::of(record, &self.plan))
    }
}
