//! The command line: one file per verb, and one that turns errors into words and an exit code.

mod announce;
mod demo;
mod demo_args;
mod demo_engine;
mod engine_log;
mod entry;
mod first_try;
mod milestones;
mod report;
mod serve;
mod serve_args;
mod settings;
mod signals;
mod status_line;
mod surroundings;
mod terminal;

pub use demo_args::{DemoArgs, DemoEngineArgs};
pub use entry::{Cli, main};
pub use report::{Exit, Report};
pub use serve_args::ServeArgs;
