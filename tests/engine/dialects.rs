//! The other dialects that vLLM speaks: Anthropic's messages, OpenAI's responses.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};
use serde_json::json;

use crate::app::{App, Refusal, now_ms};
use crate::openai::{Ask, Event, events_response, tokens};

/// `POST /v1/messages`.
pub(crate) async fn messages(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let ask = Ask::read(&app, &body)?;
    let usage = json!({"input_tokens": 1, "output_tokens": ask.tokens});
    let head = json!({"id": "msg-1", "type": "message", "role": "assistant", "model": ask.model, "content": [],
                      "stop_reason": null, "usage": usage});
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
    let end = Event::named("content_block_stop", json!({"index": 0})).text()
        + &Event::named("message_delta", json!({"delta": {"stop_reason": "end_turn"}, "usage": usage})).text()
        + &Event::named("message_stop", json!({})).text();
    let deltas = tokens(app, ask.tokens).map(delta);
    Ok(events_response(stream::iter([start]).chain(deltas).chain(stream::iter([end]))))
}

/// `POST /v1/responses`.
pub(crate) async fn responses(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let ask = Ask::read(&app, &body)?;
    let response = |status: &str, output: serde_json::Value| {
        json!({"id": "resp-1", "object": "response", "created_at": now_ms() / 1000, "model": ask.model,
               "status": status, "output": output})
    };
    let output = |text: String| {
        json!([{"id": "msg-1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}]}])
    };
    if !ask.stream {
        let text = ask.whole_text(&app).await;
        return Ok(Json(response("completed", output(text))).into_response());
    }
    let whole: String = (0..ask.tokens).map(crate::openai::token).collect();
    let start = Event::named("response.created", json!({"response": response("in_progress", json!([]))})).text();
    let end = Event::named("response.completed", json!({"response": response("completed", output(whole))})).text();
    let delta = |(n, text): (u64, String)| {
        let engine = json!({"index": n, "sent_ms": now_ms()});
        let data = json!({"item_id": "msg-1", "output_index": 0, "content_index": 0, "delta": text, "engine": engine});
        Event::named("response.output_text.delta", data).text()
    };
    let deltas = tokens(app, ask.tokens).map(delta);
    Ok(events_response(stream::iter([start]).chain(deltas).chain(stream::iter([end]))))
}
