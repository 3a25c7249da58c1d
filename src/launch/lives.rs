//! Starts the lives of one instance, each in a task of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::task::TaskTracker;

use super::life::{Beginning, Life};
use super::{Launcher, LeftBehind, NewsSender, Orders, Place, Plan, Record, Trials};

/// Starts lives by one plan.
pub struct Lives {
    place: Arc<Place>,
    plan: Arc<Plan>,
    /// What an earlier process did not see to its end: the first life is that one.
    left_behind: Mutex<Option<Record>>,
    tasks: TaskTracker,
}

impl Lives {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(place: Place, plan: Plan, tasks: TaskTracker) -> Self {
        Self { place: Arc::new(place), plan: Arc::new(plan), left_behind: Mutex::default(), tasks }
    }

    /// With a life that an earlier process left behind, if there is one: the first to be launched is that one.
    #[must_use]
    pub fn left_with(self, left_behind: Option<Record>) -> Self {
        Self { left_behind: Mutex::new(left_behind), ..self }
    }

    fn recorded(&self) -> MutexGuard<'_, Option<Record>> {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a life of which no route is taken: each that the plan allows is tried, and what came of it goes to `trials`.
    #[must_use]
    pub fn try_routes(&self, news: NewsSender, trials: Trials) -> Orders {
        self.start(news, Beginning::Trial(trials))
    }

    fn start(&self, news: NewsSender, beginning: Beginning) -> Orders {
        let (orders, ordered, look) = Orders::new();
        let (place, plan) = (Arc::clone(&self.place), Arc::clone(&self.plan));
        self.tasks.spawn(Life::live(place, plan, beginning, news, self.tasks.clone(), ordered, look));
        orders
    }
}

impl Launcher for Lives {
    fn launch(&self, news: NewsSender) -> Orders {
        let left_behind = self.recorded().take();
        self.start(news, left_behind.map_or(Beginning::New, |record| Beginning::LeftBehind(Box::new(record))))
    }

    fn left_behind(&self) -> Option<LeftBehind> {
        self.recorded().as_ref().map(|record| LeftBehind::of(record, &self.plan))
    }
}
