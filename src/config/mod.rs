//! What a user writes, made into values, with errors that name the fault and never a secret.

mod arguments;
mod duration;
mod env_file;
mod variable;

pub use arguments::{ArgValue, WrittenArg};
pub use duration::{DurationError, format_duration, parse_duration};
pub use env_file::{EnvFileError, read_env_file};
pub use variable::{Variable, VariableError};
