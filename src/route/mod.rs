//! How bytes reach the engine.

mod connector;
mod executor;
mod upstream;

pub use connector::HungUp;
pub use executor::TrackedExecutor;
pub use upstream::{EngineAuth, SendError, Upstream, UpstreamBody};
