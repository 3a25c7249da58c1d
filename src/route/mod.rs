//! How bytes reach the engine.

mod answer;
mod choice;
mod connector;
mod executor;
mod link_wait;
mod passage;
mod pool;
mod upstream;
mod watched;
mod way;

pub use answer::Answer;
pub use choice::{PassedOver, Route, Taken, Wish};
pub use connector::HungUp;
pub use executor::TrackedExecutor;
pub use link_wait::{LinkDown, link_was_lost};
pub use passage::{Guide, NoRoute};
pub use pool::UpstreamBody;
pub use upstream::{EngineAuth, SendError, Upstream};
pub use watched::Watched;
pub use way::Way;
