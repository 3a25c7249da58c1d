//! The command line: one file per verb, and one that turns errors into words and an exit code.

mod announce;
mod entry;
mod report;
mod serve;
mod serve_args;
mod settings;
mod signals;
mod surroundings;

pub use entry::{Cli, main};
pub use report::{Exit, Report};
pub use serve_args::ServeArgs;
