//! Starts the lives of one instance, each in a task of its own.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::life::Life;
use super::{Launcher, NewsSender, Orders, Place, Plan, Trials};

/// Starts lives by one plan.
pub struct Lives {
    place: Arc<Place>,
    plan: Arc<Plan>,
    tasks: TaskTracker,
}

impl Lives {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(place: Place, plan: Plan, tasks: TaskTracker) -> Self {
        Self { place: Arc::new(place), plan: Arc::new(plan), tasks }
    }

    /// Starts a life of which no route is taken: each that the plan allows is tried, and what came of it goes to `trials`.
    #[must_use]
    pub fn try_routes(&self, news: NewsSender, trials: Trials) -> Orders {
        self.start(news, Some(trials))
    }

    fn start(&self, news: NewsSender, trials: Option<Trials>) -> Orders {
        // An end and a kill are all that is ever ordered; a second of either may be lost.
        let (orders, ordered) = mpsc::channel(4);
        let (place, plan) = (Arc::clone(&self.place), Arc::clone(&self.plan));
        self.tasks.spawn(Life::live(place, plan, news, self.tasks.clone(), ordered, trials));
        orders
    }
}

impl Launcher for Lives {
    fn launch(&self, news: NewsSender) -> Orders {
        self.start(news, None)
    }
}
