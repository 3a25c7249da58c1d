//! One streamed chat completion, asked of our own front as any client would.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, Response};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::settings::MODEL;

/// The route that is asked.
pub(super) const PATH: &str = "/v1/chat/completions";

/// The longest line of a stream, and the longest refusal, in bytes: our own engine's are far shorter.
const LONGEST: usize = 1 << 20;

/// What came.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// When the request was sent.
    pub asked: Instant,
    /// When the first token came.
    pub first_token: Instant,
    /// When the stream had come to its proper end.
    pub done: Instant,
    /// How many tokens came.
    pub tokens: usize,
}

/// There was no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The connection to our own front.
    #[error("the proxy cannot be asked: {0}")]
    Connect(#[from] std::io::Error),
    /// HTTP.
    #[error("the proxy did not answer: {0}")]
    Http(#[from] hyper::Error),
    /// A request that cannot be made.
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    /// A refusal, or an error in the stream, in the proxy's own words.
    #[error("{0}")]
    Refused(String),
    /// The stream ended before its end.
    #[error("the answer broke off after {tokens} tokens")]
    BrokeOff {
        /// How many had come.
        tokens: usize,
    },
}

fn body(content: &str) -> String {
    // Written out, for a person reads it, too: the model first.
    let content = Value::from(content);
    format!(r#"{{"model":"{MODEL}","stream":true,"messages":[{{"role":"user","content":{content}}}]}}"#)
}

/// Asks, and hands on each token as it comes.
///
/// # Errors
/// See [`AskError`].
pub async fn ask(address: SocketAddr, content: &str, on_token: impl FnMut(&str)) -> Result<Told, AskError> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(PATH)
        .header(HOST, address.to_string())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body(content))))?;
    let asked = Instant::now();
    let talk = async move {
        let response = sender.send_request(request).await?;
        Reading::new(asked, on_token).read(response).await
    };
    // What the connection fails at, the request or its answer fails at, too.
    let (told, _) = tokio::join!(talk, connection);
    told
}

/// A stream of events that is being read.
struct Reading<F> {
    asked: Instant,
    on_token: F,
    line: Vec<u8>,
    first_token: Option<Instant>,
    tokens: usize,
    done: bool,
}

impl<F: FnMut(&str)> Reading<F> {
    fn new(asked: Instant, on_token: F) -> Self {
        Self { asked, on_token, line: Vec::new(), first_token: None, tokens: 0, done: false }
    }

    async fn read(mut self, response: Response<Incoming>) -> Result<Told, AskError> {
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            let whole = Limited::new(body, LONGEST).collect().await.map(Collected::to_bytes).unwrap_or_default();
            let words = serde_json::from_slice(&whole).ok().and_then(|json: Value| message(&json));
            return Err(AskError::Refused(words.unwrap_or_else(|| format!("the proxy answered {status}"))));
        }
        while let Some(frame) = body.frame().await {
            for byte in frame?.data_ref().into_iter().flatten() {
                match byte {
                    b'\n' => {
                        let line = std::mem::take(&mut self.line);
                        self.take(&String::from_utf8_lossy(&line))?;
                    }
                    _ if self.line.len() < LONGEST => self.line.push(*byte),
                    _ => {}
                }
            }
        }
        match self.first_token {
            Some(first_token) if self.done => {
                Ok(Told { asked: self.asked, first_token, done: Instant::now(), tokens: self.tokens })
            }
            _ => Err(AskError::BrokeOff { tokens: self.tokens }),
        }
    }

    /// A line; those that are no data are signs of life.
    fn take(&mut self, line: &str) -> Result<(), AskError> {
        let Some(data) = line.trim_end().strip_prefix("data: ") else { return Ok(()) };
        if data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let Ok(event) = serde_json::from_str::<Value>(data) else { return Ok(()) };
        if let Some(words) = message(&event) {
            return Err(AskError::Refused(words));
        }
        let token = event.pointer("/choices/0/delta/content").and_then(Value::as_str);
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            self.first_token.get_or_insert_with(Instant::now);
            self.tokens += 1;
            (self.on_token)(token);
        }
        Ok(())
    }
}

fn message(json: &Value) -> Option<String> {
    json.pointer("/error/message").and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn comments_and_empty_deltas_are_no_tokens() {
        let mut text = String::new();
        let mut reading = Reading::new(Instant::now(), |token: &str| text.push_str(token));
        for line in [
            ": llm-proxy queued (Resources)",
            "",
            r#"data: {"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"data: {"choices":[{"delta":{"content":"a "}}]}"#,
            r#"data: {"choices":[{"delta":{"content":"b"}}]}"#,
            r#"data: {"choices":[],"usage":{}}"#,
            "data: [DONE]",
        ] {
            reading.take(line).unwrap();
        }
        assert_eq!((reading.tokens, reading.done), (2, true));
        assert_eq!(text, "a b");
    }

    #[test]
    fn an_error_in_the_stream_is_an_error() {
        let mut reading = Reading::new(Instant::now(), |_: &str| {});
        let error = reading.take(r#"data: {"error":{"message":"it broke"}}"#).unwrap_err();
        assert_eq!(error.to_string(), "it broke");
    }
}
