//! The command of an engine that a file describes.

use std::fmt::Write as _;

use super::resolve::Instance;
use super::{ArgValue, BackendName, WrittenArg};

impl Instance {
    /// What is run: the file's own command or the usual one of its kind, and its arguments behind.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        let model = self.server.model.as_ref().map(|model| model.value.clone());
        let usual = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).chain(model.clone()).collect();
        let command: Vec<String> = match (&self.server.command, self.server.backend_name()) {
            (Some(command), _) => command.value.clone(),
            (None, BackendName::Vllm) => usual(&["vllm", "serve"]),
            (None, BackendName::Sglang) => usual(&["python3", "-m", "sglang.launch_server", "--model-path"]),
            (None, BackendName::Custom) => Vec::new(),
        };
        command.into_iter().chain(words(&self.arguments)).collect()
    }
}

/// The words of all layers. Of a key that several have, the last is taken, where it stands.
fn words(layers: &[Vec<WrittenArg>]) -> Vec<String> {
    let mut kept: Vec<(Option<String>, &ArgValue)> = Vec::new();
    for argument in layers.iter().flatten() {
        let flag = argument.key.as_deref().map(flag);
        if flag.is_some() {
            kept.retain(|(earlier, _)| *earlier != flag);
        }
        kept.push((flag, &argument.value));
    }
    kept.into_iter().flat_map(|(flag, value)| words_of(flag, value)).collect()
}

/// `tensor_parallel_size` and `--tensor-parallel-size` are one.
fn flag(key: &str) -> String {
    let name = key.trim_start_matches('-').replace('_', "-");
    let is_short = key.starts_with('-') && !key.starts_with("--");
    if is_short { format!("-{name}") } else { format!("--{name}") }
}

fn words_of(flag: Option<String>, value: &ArgValue) -> Vec<String> {
    let Some(flag) = flag else { return single(value).into_iter().collect() };
    match value {
        ArgValue::Null | ArgValue::Bool(false) => Vec::new(),
        ArgValue::Bool(true) => vec![flag],
        ArgValue::List(values) => values.iter().flat_map(|value| words_of(Some(flag.clone()), value)).collect(),
        ArgValue::Number(_) | ArgValue::Text(_) | ArgValue::Map(_) => {
            std::iter::once(flag).chain(single(value)).collect()
        }
    }
}

fn single(value: &ArgValue) -> Option<String> {
    match value {
        ArgValue::Null => None,
        ArgValue::Number(text) | ArgValue::Text(text) => Some(text.clone()),
        ArgValue::Bool(_) | ArgValue::List(_) | ArgValue::Map(_) => {
            let mut json = String::new();
            write_json(&mut json, value);
            Some(json)
        }
    }
}

/// In the order in which it was written, which serde's maps would not keep.
fn write_json(json: &mut String, value: &ArgValue) {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match value {
        ArgValue::Null => json.push_str("null"),
        ArgValue::Bool(known) => drop(write!(json, "{known}")),
        ArgValue::Number(text) if serde_json::from_str::<serde_json::Number>(text).is_ok() => json.push_str(text),
        ArgValue::Number(text) | ArgValue::Text(text) => json.push_str(&quoted(text)),
        ArgValue::List(values) => {
            json.push('[');
            for (at, value) in values.iter().enumerate() {
                json.push_str(if at == 0 { "" } else { ", " });
                write_json(json, value);
            }
            json.push(']');
        }
        ArgValue::Map(pairs) => {
            json.push('{');
            for (at, (key, value)) in pairs.iter().enumerate() {
                json.push_str(if at == 0 { "" } else { ", " });
                json.push_str(&quoted(key));
                json.push_str(": ");
                write_json(json, value);
            }
            json.push('}');
        }
    }
}
