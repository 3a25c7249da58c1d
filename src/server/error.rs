//! Why a server could not be made, started or stopped.

use crate::app::AppError;
use crate::backend::{CommandError, Diagnosis};
use crate::config::VariableError;

/// A server cannot be made, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Nothing in the model's name or [`Options::name`](super::Options::name) could name it.
    #[error("{0:?} cannot name the server; give it letters or digits")]
    Name(String),
    /// The command cannot be run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A variable of the engine's environment.
    #[error(transparent)]
    Variable(#[from] VariableError),
    /// A folder is not known, or a thread cannot be started.
    #[error("the server cannot be started: {0}")]
    Io(#[from] std::io::Error),
    /// What stands around the engine could not be started: its port is taken, or its folder is another's.
    #[error(transparent)]
    App(#[from] AppError),
    /// The engine did not come up. Nothing is left of it.
    #[error("{}; {}", .0.summary, .0.remedy)]
    Engine(Diagnosis),
    /// It runs already.
    #[error("the server runs already")]
    Runs,
    /// It ended before it was ready.
    #[error("the server ended before it was ready")]
    Ended,
    /// What of it could not be ended, by name.
    #[error("not everything of the server could be ended; left: {}", .0.join(", "))]
    Left(Vec<String>),
}
