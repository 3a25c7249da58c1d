//! From arguments as they are written, in a file, an environment and a request, to the words that an engine is given.

mod json;
mod leave;
mod merge;
#[cfg(test)]
mod merge_test;
mod problem;
mod written;

pub use leave::CallerLeave;
pub use merge::{ArgumentLayer, ArgumentSource, MergedArguments, merge_arguments};
pub use problem::{ArgumentError, ArgumentWarning, HeldBack};
