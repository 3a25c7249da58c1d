//! One engine that the proxy looks after, from declared to stopped.

mod actor;
mod entrance;
mod event;
mod handle;
mod line;
mod paused;
mod person;
mod policy;
mod progress;
mod readiness;
mod requests;
mod silence;
mod state;
mod walltime;
mod yielding;

pub use actor::{Parts, Replacement, start};
pub use entrance::{Entrance, Held, Permit};
pub use event::{Effect, Event, LifeEvent};
pub use handle::{Command, Handle, Hold, Phase, Refusal, Snapshot, Waiter};
pub use line::{Joined, Line, Party};
pub use policy::Policy;
pub use progress::PAUSED;
pub use readiness::Questions;
pub use state::{Check, Life, State};
pub use walltime::Walltime;
