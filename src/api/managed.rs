//! What the management API answers.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Status;

/// An instance: what `llm-proxy status --json` tells, and its name where programs look for an id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Instance {
    /// Where it stands.
    #[serde(flatten)]
    pub status: Status,
    /// Its name.
    pub id: String,
    /// The first of its model's names.
    pub model: Option<String>,
    /// The same.
    pub model_name: Option<String>,
    /// Its name, where instances are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Its name, where launches are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_id: Option<String>,
}

/// All instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InstanceList {
    /// Each of them.
    pub instances: Vec<Instance>,
}

/// A part of an engine's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogPage {
    /// The byte that it begins at.
    pub offset: u64,
    /// Where the next part begins.
    pub next_offset: u64,
    /// Where the log ends now.
    pub end: u64,
    /// Bytes that were asked for and had been thrown away.
    pub missed: u64,
    /// What the engine wrote, each line with its stream before it.
    pub log: String,
}

/// How the proxy is. Answers at once, also to those who are not let in.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Health {
    /// `ok`.
    pub status: &'static str,
    /// How many instances there are.
    pub instances: usize,
    /// How many engines run.
    pub processes: usize,
    /// Where each instance stands, for those who are let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Vec<Value>>,
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErrorAnswer {
    /// As `OpenAI`'s SDKs read it.
    pub error: ErrorWords,
}

/// What an error says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErrorWords {
    /// What failed, and what to do.
    pub message: String,
    /// Of what kind it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which parameter was wrong.
    pub param: Option<String>,
    /// A word for it.
    pub code: String,
}
