//! The shapes in which the APIs tell of an error, as an answer and inside a stream.

use bytes::Bytes;
use serde_json::{Value, json};

/// Whose shapes a path's clients understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `OpenAI`'s, and everybody's who has no own.
    OpenAi,
    /// `OpenAI`'s Responses: errors as above, but named events in streams.
    Responses,
    /// Anthropic's Messages.
    Anthropic,
}

/// One error, in no dialect yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    /// For people: what failed and what to do.
    pub(super) message: &'a str,
    /// `OpenAI`'s kind of error.
    pub(super) openai: &'static str,
    /// Anthropic's kind of error.
    pub(super) anthropic: &'static str,
    /// A stable word for programs.
    pub(super) code: &'a str,
    /// The parameter at fault, if it is one.
    pub(super) param: Option<&'static str>,
}

impl Dialect {
    /// The dialect of a path.
    pub(super) fn of(path: &str) -> Self {
        if within(path, "/v1/messages") {
            Self::Anthropic
        } else if within(path, "/v1/responses") || within(path, "/responses") {
            Self::Responses
        } else {
            Self::OpenAi
        }
    }

    /// The body of an error's answer.
    pub(super) fn body(self, words: &Words<'_>) -> Value {
        match self {
            Self::OpenAi | Self::Responses => json!({ "error": openai(words) }),
            Self::Anthropic => anthropic(words),
        }
    }

    /// The event that ends a stream whose engine broke off. It begins with an end of line and an empty line: the
    /// stream may have broken in the middle of an event.
    pub(super) fn event(self, words: &Words<'_>) -> Bytes {
        let text = match self {
            Self::OpenAi => format!("\n\ndata: {}\n\n", json!({ "error": openai(words) })),
            Self::Anthropic => format!("\n\nevent: error\ndata: {}\n\n", anthropic(words)),
            Self::Responses => {
                // Clients of the API read the outer fields; openai-python raises on the inner `error` alone.
                let event = json!({
                    "type": "error", "code": words.code, "message": words.message, "param": words.param,
                    "sequence_number": 0, "error": openai(words),
                });
                format!("\n\nevent: error\ndata: {event}\n\n")
            }
        };
        Bytes::from(text)
    }
}

fn within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn openai(words: &Words<'_>) -> Value {
    json!({ "message": words.message, "type": words.openai, "param": words.param, "code": words.code })
}

fn anthropic(words: &Words<'_>) -> Value {
    json!({ "type": "error", "error": { "type": words.anthropic, "message": words.message } })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "a test may fail loudly")]

    use super::*;

    const WORDS: Words<'static> =
        Words { message: "m\n\nx", openai: "server_error", anthropic: "api_error", code: "c", param: None };

    #[test]
    fn paths_have_their_apis_dialect() {
        assert_eq!(Dialect::of("/v1/messages"), Dialect::Anthropic);
        assert_eq!(Dialect::of("/v1/messages/count_tokens"), Dialect::Anthropic);
        assert_eq!(Dialect::of("/v1/messagesx"), Dialect::OpenAi);
        assert_eq!(Dialect::of("/v1/responses/r1"), Dialect::Responses);
        assert_eq!(Dialect::of("/v1/chat/completions"), Dialect::OpenAi);
    }

    #[test]
    fn an_event_is_one_event_whatever_the_message() {
        for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Responses] {
            let event = String::from_utf8(dialect.event(&WORDS).to_vec()).expect("text");
            let inner = event.strip_prefix("\n\n").and_then(|event| event.strip_suffix("\n\n")).expect("framed");
            assert!(!inner.contains("\n\n"), "{event}");
            let data = inner.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
            let data: Value = serde_json::from_str(data).expect("json");
            let message = data.pointer("/error/message").and_then(Value::as_str);
            assert_eq!(message, Some("m\n\nx"));
            assert_eq!(inner.starts_with("event: error\n"), dialect != Dialect::OpenAi);
        }
    }
}
