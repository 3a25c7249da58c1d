//! Where an instance stands, for programs.

use serde::{Deserialize, Serialize};

/// Where an instance stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its state, in a word of the outside world.
    pub state: State,
    /// The fine word for it, such as `queued`; none where no proxy runs.
    pub phase: Option<String>,
    /// Since when it is in this phase (RFC 3339).
    pub since: Option<String>,
    /// The proxy's process.
    pub pid: Option<u32>,
    /// Where the proxy listens.
    pub url: Option<String>,
    /// The login host; none: this machine.
    pub host: Option<String>,
    /// The job's number, where there is a job. Where no proxy runs: one that an earlier proxy left behind.
    pub job: Option<u64>,
    /// The machine that the engine runs on.
    pub node: Option<String>,
    /// Why the job waits, in Slurm's words.
    pub reason: Option<String>,
    /// When Slurm expects to start it, in its words.
    pub expected_start: Option<String>,
    /// How far the start of the engine is.
    pub loading: Option<String>,
    /// How bytes reach the engine.
    pub route: Option<RouteTaken>,
    /// Requests that wait for the engine.
    pub waiting: usize,
    /// Requests that hold it.
    pub in_flight: usize,
    /// When it is ended for idleness, if nobody asks for anything (RFC 3339).
    pub idle_stop: Option<String>,
    /// The link to the login host.
    pub link: Option<Link>,
    /// Why the last start failed.
    pub problem: Option<Problem>,
}

/// The state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// No proxy of this name runs.
    NotRunning,
    /// The proxy listens, and there is no engine.
    Stopped,
    /// The engine is asked for, waits, or starts.
    Bootstrapping,
    /// It answers.
    Ready,
    /// It is being ended.
    Stopping,
    /// The last start failed.
    Failed,
}

/// The link to the login host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// `idle` (nothing was asked of it), `connected`, `reconnecting` or `needs-login`.
    pub state: String,
    /// Since when (RFC 3339), where it is not as it should be.
    pub since: Option<String>,
    /// What is asked for, or why it was lost.
    pub what: Option<String>,
    /// The command that brings it back, where only a person can.
    pub run: Option<String>,
}

/// How bytes reach the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTaken {
    /// `direct`, `nested` or `relay`.
    pub taken: String,
    /// What was tried before it in vain: each route and what was seen.
    pub passed_over: Vec<String>,
}

/// What failed, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A word for it.
    pub code: String,
    /// What failed.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl State {
    /// The word, as programs read it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotRunning => "not-running",
            Self::Stopped => "stopped",
            Self::Bootstrapping => "bootstrapping",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }
}
