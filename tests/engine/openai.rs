//! OpenAI's own API: models, chat, completions, embeddings.

use std::convert::Infallible;
use std::process;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream, StreamExt as _};
use serde_json::{Value, json};

use crate::app::{App, Refusal, now_ms};

/// How long an engine that breaks off leaves what it said before to reach the network.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(50);

/// `GET /v1/models`.
pub(crate) async fn models(State(app): State<App>) -> Json<Value> {
    let model = |id: &String| json!({"id": id, "object": "model", "created": 0, "owned_by": "test-engine"});
    Json(json!({"object": "list", "data": app.args().model.iter().map(model).collect::<Vec<_>>()}))
}

/// `POST /v1/chat/completions`.
pub(crate) async fn chat(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let ask = Ask::read(&app, &body)?;
    if ask.stream {
        return Ok(event_stream(app, ask, "chat.completion.chunk"));
    }
    let text = ask.whole_text(&app).await;
    let message = json!({"role": "assistant", "content": text});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    Ok(ask.answer("chat.completion", &choice))
}

/// `POST /v1/completions`.
pub(crate) async fn completions(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let ask = Ask::read(&app, &body)?;
    if ask.stream {
        return Ok(event_stream(app, ask, "text_completion"));
    }
    let text = ask.whole_text(&app).await;
    Ok(ask.answer("text_completion", &json!({"index": 0, "text": text, "finish_reason": "stop"})))
}

/// `POST /v1/embeddings`: three numbers for each input, equal for equal inputs.
pub(crate) async fn embeddings(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let ask = Ask::read(&app, &body)?;
    let inputs = match ask.body.get("input") {
        Some(Value::Array(inputs)) => inputs.clone(),
        Some(input) => vec![input.clone()],
        None => return Err(Refusal::new(StatusCode::BAD_REQUEST, "input is missing")),
    };
    let embed = |(index, input): (usize, &Value)| {
        let length = input.as_str().map_or(0, str::len);
        json!({"object": "embedding", "index": index, "embedding": [length, 0.5, -1.0]})
    };
    let data: Vec<Value> = inputs.iter().enumerate().map(embed).collect();
    let usage = json!({"prompt_tokens": 1, "total_tokens": 1});
    Ok(Json(json!({"object": "list", "model": ask.model, "data": data, "usage": usage})).into_response())
}

/// What a client asked for.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) body: Value,
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) tokens: u64,
}

impl Ask {
    /// Reads a body; a model that the engine does not serve is a 404, as with vLLM.
    pub(crate) fn read(app: &App, body: &[u8]) -> Result<Self, Refusal> {
        let body: Value =
            serde_json::from_slice(body).map_err(|fault| Refusal::new(StatusCode::BAD_REQUEST, fault.to_string()))?;
        let model = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !app.args().model.contains(&model) {
            return Err(Refusal::new(StatusCode::NOT_FOUND, format!("The model `{model}` does not exist.")));
        }
        let limit = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
        let limit = limit.iter().find_map(|name| body.get(name)?.as_u64()).unwrap_or(u64::MAX);
        let stream = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
        Ok(Self { tokens: app.args().tokens.min(limit), model, stream, body })
    }

    /// The whole answer's text, after the time that its tokens take.
    pub(crate) async fn whole_text(&self, app: &App) -> String {
        for n in 0..self.tokens {
            generate(app, n).await;
        }
        (0..self.tokens).map(token).collect()
    }

    fn answer(&self, object: &str, choice: &Value) -> Response {
        let usage = json!({"prompt_tokens": 1, "completion_tokens": self.tokens, "total_tokens": self.tokens + 1});
        let body = json!({"id": "test-1", "object": object, "created": now_ms() / 1000, "model": self.model,
                          "choices": [choice], "usage": usage});
        Json(body).into_response()
    }

    /// One piece of a stream: its index and when it was sent are in `engine`.
    fn chunk(&self, object: &str, n: u64, text: Option<&str>) -> Value {
        let finish = if text.is_none() { Value::from("stop") } else { Value::Null };
        let choice = if object == "text_completion" {
            json!({"index": 0, "text": text.unwrap_or_default(), "finish_reason": finish})
        } else {
            json!({"index": 0, "delta": delta(n, text), "finish_reason": finish})
        };
        json!({"id": "test-1", "object": object, "created": now_ms() / 1000, "model": self.model,
               "choices": [choice], "engine": {"index": n, "sent_ms": now_ms()}})
    }
}

/// A piece of a chat's answer; the first one says who speaks.
fn delta(n: u64, text: Option<&str>) -> Value {
    match text {
        None => json!({}),
        Some(text) if n == 0 => json!({"role": "assistant", "content": text}),
        Some(text) => json!({"content": text}),
    }
}

/// One server-sent event.
#[derive(Debug)]
pub(crate) struct Event {
    name: Option<&'static str>,
    data: Value,
}

impl Event {
    /// An event without a name, as OpenAI's first APIs send.
    pub(crate) fn data(data: Value) -> Self {
        Self { name: None, data }
    }

    /// An event with a name, which its data repeat as `type`.
    pub(crate) fn named(name: &'static str, mut data: Value) -> Self {
        if let Some(object) = data.as_object_mut() {
            object.insert("type".to_owned(), name.into());
        }
        Self { name: Some(name), data }
    }

    /// The event as it is written.
    pub(crate) fn text(&self) -> String {
        let name = self.name.map(|name| format!("event: {name}\n")).unwrap_or_default();
        format!("{name}data: {}\n\n", self.data)
    }
}

/// The text of token `n`.
pub(crate) fn token(n: u64) -> String {
    format!("tok{n} ")
}

/// Takes the time that token `n` takes, or dies instead.
async fn generate(app: &App, n: u64) {
    if app.args().die_after_tokens.is_some_and(|last| n >= last) {
        if app.counters().dying.fetch_add(1, Ordering::SeqCst) + 1 < app.args().die_together {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(LAST_WORDS).await;
        crate::report::say("test-engine: dying in the middle of an answer");
        process::exit(i32::from(app.args().exit));
    }
    if !app.args().token_delay.is_zero() {
        tokio::time::sleep(app.args().token_delay).await;
    }
}

/// The tokens of an answer, each at its time.
pub(crate) fn tokens(app: App, count: u64) -> impl Stream<Item = (u64, String)> {
    stream::iter(0..count).then(move |n| {
        let app = app.clone();
        async move {
            generate(&app, n).await;
            (n, token(n))
        }
    })
}

fn event_stream(app: App, ask: Ask, object: &'static str) -> Response {
    let count = ask.tokens;
    let event = move |ask: &Ask, n, text: Option<&str>| Event::data(ask.chunk(object, n, text));
    let with_usage = ask.body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true));
    let mut end = event(&ask, count, None).text();
    if with_usage {
        let usage = json!({"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1});
        end += &Event::data(json!({"id": "test-1", "model": ask.model, "choices": [], "usage": usage})).text();
    }
    end += "data: [DONE]\n\n";
    let leaving = app.leaving().clone().cancelled_owned();
    let body = tokens(app, count).take_until(leaving).map(move |(n, text)| event(&ask, n, Some(&text)).text());
    events_response(body.chain(stream::iter([end])))
}

/// A response of server-sent events.
pub(crate) fn events_response(events: impl Stream<Item = String> + Send + 'static) -> Response {
    let body = Body::from_stream(events.map(Ok::<_, Infallible>));
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response()
}
