//! What `GET /events` tells.

use schemars::JsonSchema;
use serde::Serialize;

use super::State;

/// Where an instance stands, in an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InstanceState {
    /// Its name.
    pub name: String,
    /// Its state, in a word of the outside world.
    pub state: State,
    /// The fine word for it, such as `queued`.
    pub phase: &'static str,
    /// What goes on, in a few words.
    pub words: String,
    /// The link to its host: `connected`, `reconnecting` or `needs-login`.
    pub link: &'static str,
}

/// What the event `gone` says: there is no such instance any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InstanceGone {
    /// What it was called.
    pub name: String,
}

/// What the event `now` says, the first of a stream: where all stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AllNow {
    /// All instances.
    pub instances: Vec<InstanceState>,
}

/// What the event `gap` says: something is missing, and where all stand after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EventGap {
    /// What is missing, in words.
    pub missing: String,
    /// All instances.
    pub instances: Vec<InstanceState>,
}
