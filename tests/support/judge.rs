//! A request for a chat, and how its answer ended: whole, told to be cut or refused, or falsely so.

use serde_json::{Value, json};

use super::client::{Client, EventStream};

/// Tokens of a stream; the engine takes 50 ms for each.
const STREAM_TOKENS: usize = 30;

/// Tokens of a plain answer.
const PLAIN_TOKENS: usize = 4;

/// The options of an engine for such requests.
pub(crate) const ENGINE: [&str; 4] = ["--token-delay", "50", "--tokens", "30"];

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As it should.
    Whole,
    /// A stream, with its API's error event and no `[DONE]`.
    CutWithEvent(String),
    /// A status that says so, or a body that was broken off.
    Refused(String),
    /// It looks whole, and is not.
    False(String),
    /// Not even the head of an answer came.
    Unanswered(String),
}

/// Asks once, and judges the answer's end.
pub(crate) async fn judged(client: &Client, stream: bool) -> End {
    judged_of(client, "test-model", stream).await
}

/// The same of one of several models.
pub(crate) async fn judged_of(client: &Client, model: &str, stream: bool) -> End {
    let tokens = if stream { STREAM_TOKENS } else { PLAIN_TOKENS };
    let body = json!({
        "model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream, "max_tokens": tokens
    });
    let answer = match client.ask("/v1/chat/completions", &body).await {
        Ok(answer) => answer,
        Err(error) => return End::Unanswered(error.to_string()),
    };
    if answer.status() != 200 {
        let (status, answer) = (answer.status(), answer.whole().await);
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = json.pointer("/error/code").and_then(Value::as_str);
        return match code {
            Some(code) if answer.complete => End::Refused(format!("{} {code}", status.as_u16())),
            _ => End::False(format!("{status} without an error: {}", answer.text())),
        };
    }
    if stream { judge_stream(answer).await } else { judge_plain(answer).await }
}

async fn judge_plain(answer: EventStream) -> End {
    let answer = answer.whole().await;
    if !answer.complete {
        return End::Refused("broken off".to_owned());
    }
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let tokens = json.pointer("/usage/completion_tokens").and_then(Value::as_u64);
    let right = tokens == Some(PLAIN_TOKENS as u64);
    if right { End::Whole } else { End::False(format!("a plain answer of {:?}", answer.text())) }
}

async fn judge_stream(answer: EventStream) -> End {
    let (events, complete) = answer.events().await;
    let data = |event: &String| event.strip_prefix("data: ").map(str::to_owned);
    let data: Vec<String> = events.iter().filter_map(data).collect();
    let is_token = |text: &&String| text.contains("\"content\"");
    let tokens = data.iter().filter(is_token).count();
    let done = data.iter().any(|text| text == "[DONE]");
    let error = data.iter().find(|text| text.contains("\"error\""));
    match (done, error) {
        (true, None) if tokens == STREAM_TOKENS && complete => End::Whole,
        (false, Some(error)) => {
            let error: Value = serde_json::from_str(error).unwrap_or_default();
            End::CutWithEvent(error.pointer("/error/code").and_then(Value::as_str).unwrap_or("none").to_owned())
        }
        (false, None) if !complete => End::Refused("broken off".to_owned()),
        (_, _) => End::False(format!("a stream of {tokens} tokens, complete {complete}: {:?}", data.last())),
    }
}
