//! Why a server could not be made, started or stopped.

use std::net::IpAddr;

use crate::app::AppError;
use crate::backend::{CommandError, DescribedError, Diagnosis, ProfilingError};
use crate::config::{ChoiceError, ConfigError, EnvironmentError, KeyError, VariableError};
use crate::gateway::AccessKeyError;

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
    /// Arguments of a job that it cannot have, a line each.
    #[error("{}", .0.join("\n"))]
    Job(Vec<String>),
    /// The configuration file: all that is wrong with it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The place of the access key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// One of the named access keys.
    #[error(transparent)]
    AccessKey(#[from] AccessKeyError),
    /// It would be open to others without a key.
    #[error("{0} is open to others, and there is no access key; give one, or listen on 127.0.0.1")]
    Open(IpAddr),
    /// How it is profiled.
    #[error(transparent)]
    Profiling(#[from] ProfilingError),
    /// A variable of this process's environment.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// Which of a file's servers is meant.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// The command that a file describes.
    #[error(transparent)]
    Described(#[from] DescribedError),
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
