//! What a client asks for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::LogStream;

/// The version of the protocol. One that does not know another's says so.
pub const VERSION: u32 = 1;

/// The first line of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// See [`VERSION`].
    pub version: u32,
    /// What is asked for.
    pub ask: Ask,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Where the instance stands: one status.
    Status,
    /// Start the engine: done at once, or with `wait` once it is ready; until then a status for each step.
    Start {
        /// Whether to wait until it is ready.
        wait: bool,
    },
    /// End the engine: done when it is verified gone; until then a status for each step.
    Stop {
        /// By force, without waiting for what is in flight.
        hurry: bool,
        /// And end the proxy itself.
        serve: bool,
    },
    /// The engine's log, line by line.
    Logs {
        /// Go on as it grows.
        follow: bool,
        /// Begin with this many lines of what is there; none: with all.
        tail: Option<usize>,
        /// Only what the engine wrote there; none: all.
        #[serde(default)]
        stream: Option<LogStream>,
    },
    /// Profile the engine with `PyTorch`'s profiler: done when the traces are there; until then progress.
    Profile {
        /// For so long, in milliseconds.
        length_ms: u64,
        /// The folder that is to hold the traces: the whole path of one that is not there, or is empty.
        into: PathBuf,
    },
    /// Connect to the host, with a person who answers its questions.
    Login {
        /// Keep what turns out to be right in the system's keyring; one-time codes never.
        remember: bool,
    },
}

impl Request {
    /// A request in this version's words.
    #[must_use]
    pub fn new(ask: Ask) -> Self {
        Self { version: VERSION, ask }
    }
}
