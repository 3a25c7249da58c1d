//! The other dialects that vLLM speaks: Anthropic's messages, OpenAI's responses.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use crate::app::{App, Refusal, now_ms};
use crate::openai::{Ask, Event, events_response, tokens};

/// `POST /v1/messages`.
pub(crate) async fn messages(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let ask = Ask::read(&app, &body)?;
    let usage = json!({"input_tokens": 1, "output_tokens": ask.tokens});
    let head = json!({"id": "msg-1", "type": "message", "role": "assistant", "model": ask.model, "content": [],
                      "stop_reason": null, "stop_sequence": null, "usage": usage});
    if !ask.stream {
        let mut message = head;
        let text = ask.whole_text(&app).await;
        if let Some(message) = message.as_object_mut() {
            message.insert("content".to_owned(), json!([{"type": "text", "text": text}]));
            message.insert("stop_reason".to_owned(), "end_turn".into());
        }
        return Ok(Json(message).into_response());
    }
    let start = Event::named("message_start", json!({"message": head})).text()
        + &Event::named("content_block_start", json!({"index": 0, "content_block": {"type": "text", "text": ""}}))
            .text();
    let delta = |(n, text): (u64, String)| {
        let delta = json!({"type": "text_delta", "text": text});
        let engine = json!({"index": n, "sent_ms": now_ms()});
        Event::named("content_block_delta", json!({"index": 0, "delta": delta, "engine": engine})).text()
    };
    let end_turn = json!({"stop_reason": "end_turn", "stop_sequence": null});
    let end = Event::named("content_block_stop", json!({"index": 0})).text()
        + &Event::named("message_delta", json!({"delta": end_turn, "usage": usage})).text()
        + &Event::named("message_stop", json!({})).text();
    let deltas = tokens(app, ask.tokens).map(delta);
    Ok(events_response(stream::iter([start]).chain(deltas).chain(stream::iter([end]))))
}

/// `POST /v1/responses`.
pub(crate) async fn responses(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let ask = Ask::read(&app, &body)?;
    if !ask.stream {
        let text = ask.whole_text(&app).await;
        return Ok(Json(response(&ask, "completed", &json!([item(Some(&text))]))).into_response());
    }
    let whole: String = (0..ask.tokens).map(crate::openai::token).collect();
    let place = || json!({"item_id": "msg-1", "output_index": 0, "content_index": 0});
    let start = [
        ("response.created", json!({"response": response(&ask, "in_progress", &json!([]))})),
        ("response.output_item.added", json!({"output_index": 0, "item": item(None)})),
        ("response.content_part.added", with(place(), "part", part(""))),
    ];
    let end = [
        ("response.output_text.done", with(place(), "text", whole.clone().into())),
        ("response.content_part.done", with(place(), "part", part(&whole))),
        ("response.output_item.done", json!({"output_index": 0, "item": item(Some(&whole))})),
        ("response.completed", json!({"response": response(&ask, "completed", &json!([item(Some(&whole))]))})),
    ];
    let delta = move |(n, text): (u64, String)| {
        let engine = json!({"index": n, "sent_ms": now_ms()});
        ("response.output_text.delta", with(with(place(), "delta", text.into()), "engine", engine))
    };
    let events = stream::iter(start).chain(tokens(app, ask.tokens).map(delta)).chain(stream::iter(end));
    let numbered =
        events.enumerate().map(|(n, (name, data))| Event::named(name, with(data, "sequence_number", n.into())));
    Ok(events_response(numbered.map(|event| event.text())))
}

fn response(ask: &Ask, status: &str, output: &Value) -> Value {
    let usage = json!({"input_tokens": 1, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": ask.tokens,
                       "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": ask.tokens + 1});
    let usage = if status == "completed" { usage } else { Value::Null };
    json!({"id": "resp-1", "object": "response", "created_at": now_ms() / 1000, "model": ask.model, "status": status,
           "output": output, "error": null, "incomplete_details": null, "instructions": null, "metadata": {},
           "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "temperature": 1.0, "top_p": 1.0, "usage": usage})
}

/// The one message of an answer, with its text once there is one.
fn item(text: Option<&str>) -> Value {
    let status = if text.is_some() { "completed" } else { "in_progress" };
    let content: Vec<Value> = text.map(part).into_iter().collect();
    json!({"id": "msg-1", "type": "message", "role": "assistant", "status": status, "content": content})
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

fn with(mut data: Value, name: &str, value: Value) -> Value {
    if let Some(object) = data.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
    data
}
