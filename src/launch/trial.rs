//! What came of each route, where none is to be taken.

use tokio::sync::oneshot;

use crate::host::HostError;
use crate::route::{Route, Way};

/// A route that was tried.
#[derive(Debug)]
pub struct Trial {
    /// The route.
    pub route: Route,
    /// The way to the engine that it is, or why it is none.
    pub way: Result<Way, HostError>,
}

/// Where all trials go at once, in the order in which a search for a way would have them.
pub type Trials = oneshot::Sender<Vec<Trial>>;
