//! What is told inside an answer whose headers went ahead: the status is spent, and so the words must do.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use serde_json::Value;

use super::body::{BoxError, ResponseBody};
use super::dialect::{Dialect, Words};
use super::early::Early;
use super::error::Fault;
use super::headers::media_type;

/// What is read of an engine's refusal, in bytes and in time: enough for its message.
const REFUSAL_LIMIT: usize = 64 * 1024;
const REFUSAL_TIME: Duration = Duration::from_secs(10);

/// An answer that fits under the headers which went ahead, with its first frame.
#[derive(Debug)]
pub(super) struct Begun {
    /// Nothing: the answer is empty.
    pub(super) first: Option<Result<Frame<Bytes>, BoxError>>,
    pub(super) rest: ResponseBody,
}

/// Why there is no such answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Late {
    message: String,
    openai: &'static str,
    anthropic: &'static str,
    code: String,
    param: Option<&'static str>,
}

impl Late {
    fn words(&self) -> Words<'_> {
        let Self { message, openai, anthropic, code, param } = self;
        Words { message, openai, anthropic, code, param: *param }
    }

    /// The event that ends a stream with this.
    pub(super) fn event(&self, dialect: Dialect) -> Bytes {
        dialect.event(&self.words())
    }

    /// The JSON that says this, and that must not look like the end of a whole answer.
    pub(super) fn body(&self, dialect: Dialect) -> Bytes {
        Bytes::from(dialect.body(&self.words()).to_string())
    }
}

impl From<Fault> for Late {
    fn from(fault: Fault) -> Self {
        fault.told(|words| Self {
            message: words.message.to_owned(),
            openai: words.openai,
            anthropic: words.anthropic,
            code: words.code.to_owned(),
            param: words.param,
        })
    }
}

/// Waits for the first frame of an answer that fits, or reads what the engine says instead.
pub(super) async fn begin(response: Response<ResponseBody>, early: &Early) -> Result<Begun, Late> {
    let (head, mut body) = response.into_parts();
    let wanted: &[u8] = match early {
        Early::Events(_) => b"text/event-stream",
        Early::Json => b"application/json",
    };
    let plain = !head.headers.contains_key(CONTENT_ENCODING);
    if head.status.is_success() && plain && media_type(&head.headers).eq_ignore_ascii_case(wanted) {
        return Ok(Begun { first: body.frame().await, rest: body });
    }
    let said = if plain { read(&mut body).await } else { Bytes::new() };
    Err(refused(head.status, &head.headers, &said))
}

async fn read(body: &mut ResponseBody) -> Bytes {
    let mut said = BytesMut::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let data = frame.into_data().unwrap_or_default();
            let room = REFUSAL_LIMIT.saturating_sub(said.len());
            said.extend(data.iter().take(room));
            if data.len() >= room {
                return;
            }
        }
    };
    // What came until then is told.
    drop(tokio::time::timeout(REFUSAL_TIME, reading).await);
    said.freeze()
}

/// What the engine refused, in its own words where it has some.
fn refused(status: StatusCode, headers: &HeaderMap, said: &[u8]) -> Late {
    if status.is_success() {
        let kind = headers
            .get(CONTENT_TYPE)
            .map_or("no content type".into(), |kind| format!("`{}`", String::from_utf8_lossy(kind.as_bytes())));
        let message = format!(
            "the engine answered with {kind}, after the headers of another kind of answer had gone ahead; ask again, now \
             that it runs"
        );
        return Late::server(message, "unexpected_answer".to_owned());
    }
    let text = serde_json::from_slice(said).ok().and_then(|said: Value| message_of(&said));
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(said).trim().to_owned());
    let text = if text.is_empty() { "it did not say why".to_owned() } else { text };
    let message = format!("the engine answered {}: {text}", status.as_u16());
    let code = status.as_u16().to_string();
    if status.is_client_error() {
        Late { openai: "invalid_request_error", anthropic: "invalid_request_error", ..Late::server(message, code) }
    } else {
        Late::server(message, code)
    }
}

impl Late {
    fn server(message: String, code: String) -> Self {
        Self { message, openai: "server_error", anthropic: "api_error", code, param: None }
    }
}

/// The message of an error, wherever the engines put it.
fn message_of(said: &Value) -> Option<String> {
    let places = ["/error/message", "/error", "/message", "/detail"];
    let found = places.iter().filter_map(|place| said.pointer(place)).find(|found| !found.is_object());
    found.map(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use test_case::test_case;

    use super::*;

    #[test_case(r#"{"error":{"message":"too long","code":400}}"# => "the engine answered 400: too long")]
    #[test_case(r#"{"object":"error","message":"too long"}"# => "the engine answered 400: too long"; "old vllm")]
    #[test_case(r#"{"detail":"Not Found"}"# => "the engine answered 400: Not Found"; "fastapi")]
    #[test_case(r#"{"detail":[{"loc":["body"]}]}"# => r#"the engine answered 400: [{"loc":["body"]}]"#; "pydantic")]
    #[test_case(r#"{"error":"too long"}"# => "the engine answered 400: too long"; "ollama")]
    #[test_case("plain words\n" => "the engine answered 400: plain words"; "plain")]
    #[test_case("" => "the engine answered 400: it did not say why"; "silent")]
    fn a_refusal_keeps_its_words(said: &str) -> String {
        let late = refused(StatusCode::BAD_REQUEST, &HeaderMap::new(), said.as_bytes());
        assert_eq!((late.openai, late.code.as_str()), ("invalid_request_error", "400"));
        late.message
    }

    #[test]
    fn an_answer_of_another_kind_is_no_answer() {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("audio/wav"))]);
        let late = refused(StatusCode::OK, &headers, b"");
        assert!(late.message.starts_with("the engine answered with `audio/wav`"), "{}", late.message);
    }
}
