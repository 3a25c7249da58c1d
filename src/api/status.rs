//! Where an instance stands, for programs.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where an instance stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The names under which its model is known to be served.
    #[serde(default)]
    pub models: Vec<String>,
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
    /// The GPUs of this machine that are its own.
    #[serde(default)]
    pub gpus: Vec<u32>,
    /// Why it waits: a job in Slurm's words, `paused by Slurm` where Slurm lets it stand still; on this machine, who has what it
    /// needs.
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
    /// When Slurm ends its job (RFC 3339), where it does.
    #[serde(default)]
    pub walltime_end: Option<String>,
    /// When its engine ends itself, if it hears nothing more from the proxy (RFC 3339).
    #[serde(default)]
    pub lease_end: Option<String>,
    /// The link to the login host.
    pub link: Option<Link>,
    /// Why the last start failed, or why an engine that lives cannot be reached.
    pub problem: Option<Problem>,
    /// What of its engines until now could not be ended, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

/// The state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// `idle` (nothing was asked of it), `connected`, `reconnecting` or `needs-login`.
    pub state: String,
    /// Since when (RFC 3339), where it is not as it should be.
    pub since: Option<String>,
    /// What is asked for, or why it was lost.
    pub what: Option<String>,
    /// What to do, where only a person can bring it back.
    #[serde(default)]
    pub hint: Option<String>,
    /// The command that does it in the end.
    pub run: Option<String>,
}

/// How bytes reach the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteTaken {
    /// `direct`, `nested` or `relay`.
    pub taken: String,
    /// What was tried before it in vain: each route and what was seen.
    pub passed_over: Vec<String>,
}

/// What failed, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// A word for it.
    pub code: String,
    /// What failed.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl Status {
    /// Where it stands, and nothing else.
    #[must_use]
    pub fn only(name: String, state: State) -> Self {
        Self {
            name,
            models: Vec::new(),
            state,
            phase: None,
            since: None,
            pid: None,
            url: None,
            host: None,
            job: None,
            node: None,
            gpus: Vec::new(),
            reason: None,
            expected_start: None,
            loading: None,
            route: None,
            waiting: 0,
            in_flight: 0,
            idle_stop: None,
            walltime_end: None,
            lease_end: None,
            link: None,
            problem: None,
            left: Vec::new(),
        }
    }
}

impl State {
    const ALL: [Self; 6] =
        [Self::NotRunning, Self::Stopped, Self::Bootstrapping, Self::Ready, Self::Stopping, Self::Failed];

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

impl JsonSchema for State {
    fn schema_name() -> Cow<'static, str> {
        "State".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Self::ALL.map(Self::word) })
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        let named = Self::ALL.into_iter().find(|state| state.word() == word);
        named.ok_or_else(|| de::Error::custom(format_args!("unknown state `{word}`")))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn a_state_is_written_as_its_word() {
        for state in State::ALL {
            let written = serde_json::to_string(&state).unwrap();
            assert_eq!(written, format!("\"{}\"", state.word()));
            assert_eq!(serde_json::from_str::<State>(&written).unwrap(), state);
        }
        assert_eq!(serde_json::to_value(State::NotRunning).unwrap(), "not-running");
        assert!(serde_json::from_str::<State>("\"dancing\"").is_err());
    }
}
