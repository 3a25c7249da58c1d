//! How bytes reach the engine.

mod choice;
mod connector;
mod executor;
mod link_wait;
mod passage;
mod upstream;
mod way;

pub use choice::{PassedOver, Route, Taken, Wish};
pub use connector::HungUp;
pub use executor::TrackedExecutor;
pub use link_wait::{LinkDown, link_was_lost};
pub use passage::{Guide, NoRoute};
pub use upstream::{EngineAuth, SendError, Upstream, UpstreamBody};
pub use way::Way;
