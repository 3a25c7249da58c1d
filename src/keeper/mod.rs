//! The keeper: the small `sh` program that every launcher starts in the engine's place, and the scripts around it.
//!
//! Port, identity, log, exit code, stop and lease all live where the engine runs, so one thing there looks after them.

mod account;
mod profiled;
mod report;
mod runner;
mod script;
mod text;
mod traces;
mod words;

pub use account::{Gpu, PortState, Seen};
pub use profiled::{Profiled, Wrapper};
pub use report::{Framed, Report, RunnerFault, framed};
pub use runner::{Folder, Runner, Sweep, command, relay, sweep};
pub use script::{Chdir, KeeperPlan, MODEL as MODEL_FUNCTIONS, says_places};
pub use text::{Nonce, Script, ScriptError};
pub use traces::{TraceStep, traces};
pub use words::ControlWord;
