//! What is answered here while there is no engine.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use serde_json::{Value, json};

use super::body::{ResponseBody, empty, full};
use super::choose::one_model;
use super::error::Fault;
use super::routes::Asleep;
use crate::instance::Snapshot;

/// The answer to a request for information.
pub(super) fn answer(
    asleep: Asleep,
    path: &str,
    names: &[String],
    now: &Snapshot,
) -> Result<Response<ResponseBody>, Fault> {
    let phase = now.phase.word();
    Ok(match asleep {
        Asleep::Alive => Response::new(empty()),
        Asleep::Greeting => text(format!("llm-proxy is running; the engine is {phase}\n")),
        Asleep::Version => json_of(&json!({ "version": null })),
        Asleep::Load => json_of(&json!({ "server_load": 0 })),
        Asleep::Sleeping => json_of(&json!({ "is_sleeping": true })),
        Asleep::Nothing => json_of(&json!({})),
        Asleep::NotScaling => json_of(&json!({ "is_scaling_elastic_ep": false })),
        Asleep::OllamaTags => ollama_tags(names),
        Asleep::OllamaLoaded => json_of(&json!({ "models": [] })),
        Asleep::OllamaVersion => ollama_version(),
        Asleep::Metrics | Asleep::Missing => return Err(Fault::UnknownRoute { phase, path: path.to_owned() }),
        Asleep::Unavailable => return Err(not_woken(now, false)),
    })
}

/// The list of models, or one of them, from the names that are known.
pub(super) fn models(path: &str, names: &[String], now: &Snapshot) -> Result<Response<ResponseBody>, Fault> {
    match one_model(path) {
        None => Ok(list(names)),
        Some(wanted) if names.contains(&wanted) => Ok(json_of(&model(&wanted))),
        // Only the engine could say.
        Some(_) if names.is_empty() => Err(not_woken(now, false)),
        Some(wanted) => Err(Fault::NoSuchModel { model: wanted, known: names.join(", ") }),
    }
}

/// The list of all models.
pub(super) fn list(names: &[String]) -> Response<ResponseBody> {
    let list: Vec<Value> = names.iter().map(|name| model(name)).collect();
    json_of(&json!({ "object": "list", "data": list }))
}

/// Ollama's list of models.
pub(super) fn ollama_tags(names: &[String]) -> Response<ResponseBody> {
    let models: Vec<Value> = names.iter().map(|name| json!({ "name": name, "model": name })).collect();
    json_of(&json!({ "models": models }))
}

/// Ollama's version, unknown.
pub(super) fn ollama_version() -> Response<ResponseBody> {
    json_of(&json!({ "version": "0.0.0" }))
}

/// The refusal of what does not wake the engine.
pub(super) fn not_woken(now: &Snapshot, conflict: bool) -> Fault {
    let remedy = "send an inference request first, or run `llm-proxy start`";
    Fault::Asleep { phase: now.phase.word(), remedy, conflict }
}

fn model(name: &str) -> Value {
    // When it was created nobody knows; clients want a number.
    json!({ "id": name, "object": "model", "created": 0, "owned_by": "llm-proxy" })
}

pub(super) fn text(text: String) -> Response<ResponseBody> {
    let mut response = Response::new(full(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// One of our own types.
pub(super) fn json(value: &impl serde::Serialize) -> Response<ResponseBody> {
    // Our own types are all JSON.
    json_of(&serde_json::to_value(value).unwrap_or_default())
}

pub(super) fn json_of(value: &Value) -> Response<ResponseBody> {
    let mut response = Response::new(full(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
