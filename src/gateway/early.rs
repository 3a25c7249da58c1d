//! Which held requests may get their headers before there is an answer, and in what form.

use std::time::Duration;

use http::request::Parts;
use http::{Method, Version};

use super::headers::X_PROGRESS;
use super::routes::without_slash;
use super::scan::Found;
use super::settings::Patience;

/// The APIs whose streams we can speak in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Chat,
    Completions,
    Responses,
    Messages,
}

/// What goes ahead of the engine's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Early {
    /// Server-sent events, with comments; of the API given, real events that say nothing as well.
    Events(Option<Api>),
    /// JSON, which may begin with white space.
    Json,
}

/// Streams of server-sent events, if the body says `"stream": true`, and JSON otherwise.
const APIS: [(&str, Api); 6] = [
    ("/v1/chat/completions", Api::Chat),
    ("/chat/completions", Api::Chat),
    ("/v1/completions", Api::Completions),
    ("/v1/responses", Api::Responses),
    ("/responses", Api::Responses),
    ("/v1/messages", Api::Messages),
];

/// Always JSON, or an error. Not here: what may be audio, bytes, lines of JSON, or an event stream of its own kind.
const JSON: [&str; 12] = [
    "/v1/embeddings",
    "/embeddings",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/v1/score",
    "/score",
    "/classify",
    "/v1/classify",
    "/tokenize",
    "/detokenize",
    "/v1/messages/count_tokens",
];

impl Early {
    /// What may go ahead of the answer to a request with this head and body.
    pub(super) fn of(head: &Parts, found: Option<&Found>) -> Option<Self> {
        let (found, path) = (found?, without_slash(head.uri.path()));
        if head.method != Method::POST {
            return None;
        }
        let delta = head.headers.get(X_PROGRESS).is_some_and(|form| form == "delta");
        let api = APIS.iter().find(|(known, _)| *known == path).map(|(_, api)| *api);
        match api {
            Some(api) if found.stream == Some(true) => Some(Self::Events(delta.then_some(api))),
            // A client of HTTP/1.0 could not tell an end before its time.
            Some(_) if head.version >= Version::HTTP_11 => Some(Self::Json),
            None if JSON.contains(&path) && is_text(found) && head.version >= Version::HTTP_11 => Some(Self::Json),
            Some(_) | None => None,
        }
    }

    /// How long a request waits before this goes out; nothing: for ever.
    pub(super) fn after(&self, patience: &Patience) -> Option<Duration> {
        match self {
            Self::Events(_) => patience.stream_headers_after,
            Self::Json => patience.body_headers_after,
        }
    }
}

/// vLLM answers with bytes where it is asked to.
fn is_text(found: &Found) -> bool {
    found.encoding_format.as_deref().is_none_or(|format| matches!(format, "float" | "base64"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use http::Request;
    use test_case::test_case;

    use super::*;
    use crate::gateway::Scanner;

    #[test_case("POST", "/v1/chat/completions", r#"{"stream":true}"# => Some(Early::Events(None)))]
    #[test_case("POST", "/v1/chat/completions/", r#"{"stream":true}"# => Some(Early::Events(None)); "with a slash")]
    #[test_case("POST", "/v1/chat/completions", r#"{"stream":false}"# => Some(Early::Json); "chat, not streamed")]
    #[test_case("POST", "/v1/messages", r#"{"model":"m"}"# => Some(Early::Json); "messages, not streamed")]
    #[test_case("POST", "/v1/responses", r#"{"stream":true}"# => Some(Early::Events(None)); "responses")]
    #[test_case("POST", "/v1/chat/completions", "[]" => None; "no object")]
    #[test_case("GET", "/v1/chat/completions", r#"{"stream":true}"# => None; "no post")]
    #[test_case("POST", "/v1/embeddings", r#"{"input":"x"}"# => Some(Early::Json); "embeddings")]
    #[test_case("POST", "/v1/embeddings", r#"{"encoding_format":"base64"}"# => Some(Early::Json); "base64 is text")]
    #[test_case("POST", "/v1/embeddings", r#"{"encoding_format":"bytes"}"# => None; "bytes are none")]
    #[test_case("POST", "/v1/audio/speech", r#"{"input":"x"}"# => None; "audio")]
    #[test_case("POST", "/api/chat", r#"{"model":"m"}"# => None; "lines of json")]
    #[test_case("POST", "/generate", r#"{"stream":true}"# => None; "a stream of its own kind")]
    fn what_goes_ahead(method: &str, path: &str, body: &str) -> Option<Early> {
        let mut scanner = Scanner::default();
        scanner.feed(body.as_bytes());
        let (head, ()) = Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        Early::of(&head, scanner.finish().as_ref())
    }

    #[test]
    fn an_old_client_gets_no_json_ahead() {
        let request = Request::post("/v1/chat/completions").version(Version::HTTP_10);
        let request = request.header(X_PROGRESS, "delta").body(()).unwrap();
        let (head, ()) = request.into_parts();
        assert_eq!(Early::of(&head, Some(&Found::default())), None);
        let streamed = Found { stream: Some(true), ..Found::default() };
        assert_eq!(Early::of(&head, Some(&streamed)), Some(Early::Events(Some(Api::Chat))));
    }
}
