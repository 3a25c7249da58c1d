//! What a caller of the management API wants to be served.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An instance that is wanted. What is not named here is refused by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The model's name at the hub, or its path where the engine runs.
    #[serde(alias = "model_name")]
    pub model: String,
    /// What the instance is to be called; none: after its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The kind of engine: `vllm` or `sglang`; none: as the operator has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Arguments of the engine, as a mapping or a list, as far as the operator lets callers set them.
    #[serde(default, alias = "params", skip_serializing_if = "Option::is_none")]
    pub args: Option<Value>,
    /// Ended after so many seconds with nothing in flight; none: 600; 0: never.
    #[serde(default, alias = "idle_timeout", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// The GPUs of this machine that it is to have for itself, by their numbers in `nvidia-smi`; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Vec<u32>>,
    /// How it is profiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<WantedProfile>,
}

/// How a caller wants an engine profiled. Where the traces go is the operator's affair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedProfile {
    /// Whether at all.
    pub enabled: bool,
    /// `nsys`, `pytorch` or `amd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
}

impl Wanted {
    /// Whether nothing but the model is named: the instance that serves it will do, whatever its settings.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        let Self { model: _, name, backend, args, timeout, gpus, profile } = self;
        name.is_none()
            && backend.is_none()
            && args.is_none()
            && timeout.is_none()
            && gpus.is_none()
            && profile.is_none()
    }
}
