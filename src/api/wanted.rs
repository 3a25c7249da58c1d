//! What a caller of the management API wants to be served.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An instance that is wanted. What is not named here is refused by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = other_names, extend("examples" = [{ "model": "org/Tiny-1B" }]))]
pub struct Wanted {
    /// The model's name at the hub, or its path where the engine runs.
    #[serde(alias = "model_name")]
    #[schemars(length(min = 1))]
    pub model: String,
    /// What the instance is to be called; none: after its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The kind of engine: `vllm` or `sglang`; none: as the operator has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["vllm", "sglang", null]))]
    pub backend: Option<String>,
    /// Arguments of the engine, as a mapping or a list, as far as the operator lets callers set them.
    #[serde(default, alias = "params", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("type" = ["array", "object", "null"]))]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedProfile {
    /// Whether at all.
    pub enabled: bool,
    /// `nsys`, `pytorch` or `amd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["nsys", "pytorch", "amd", null]))]
    pub tool: Option<String>,
}

/// Says in the schema under which other names fields are read, which its maker does not know.
fn other_names(schema: &mut Schema) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (name, other) in [("model", "model_name"), ("args", "params"), ("timeout", "idle_timeout")] {
        if let Some(of) = properties.get(name).cloned() {
            properties.insert(other.to_owned(), of);
        }
    }
    schema.remove("required");
    let either = |names: [&str; 2]| names.map(|name| json!({ "required": [name] }));
    let not_both = |names: [&str; 2]| json!({ "not": { "required": names } });
    schema.insert("oneOf".to_owned(), json!(either(["model", "model_name"])));
    schema.insert("allOf".to_owned(), json!([not_both(["args", "params"]), not_both(["timeout", "idle_timeout"])]));
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
