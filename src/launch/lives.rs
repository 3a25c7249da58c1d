//! Starts the lives of one instance, each in a task of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::life::Life;
use super::{Launcher, LeftBehind, NewsSender, Orders, Place, Plan, Record};

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
    pub fn new(place: Place, plan: Plan, left_behind: Option<Record>, tasks: TaskTracker) -> Self {
        Self { place: Arc::new(place), plan: Arc::new(plan), left_behind: Mutex::new(left_behind), tasks }
    }

    fn recorded(&self) -> MutexGuard<'_, Option<Record>> {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Launcher for Lives {
    fn launch(&self, news: NewsSender) -> Orders {
        // An end and a kill are all that is ever ordered; a second of either may be lost.
        let (orders, ordered) = mpsc::channel(4);
        let (place, plan) = (Arc::clone(&self.place), Arc::clone(&self.plan));
        self.tasks.spawn(Life::live(place, plan, self.recorded().take(), news, self.tasks.clone(), ordered));
        orders
    }

    fn left_behind(&self) -> Option<LeftBehind> {
        self.recorded().as_ref().map(|record| LeftBehind::of(record, &self.plan))
    }
}
