//! What the tiny engine says, and the forms of the OpenAI API in which it says it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::settings::MODEL;

/// Its one answer.
const ANSWER: &str = "This is a demonstration: no model wrote this, and no GPU was used. A tiny engine inside llm-proxy says \
                      the same to everybody. But it came the whole way: the proxy's own SSH client, srun, a queue, a job, \
                      and a stream back inside SSH.";

/// Which of the two inference routes was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Text,
}

/// What of a request matters here.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asking {
    #[serde(default)]
    pub(super) stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default)]
    max_completion_tokens: Option<usize>,
    #[serde(default)]
    messages: Option<Value>,
    #[serde(default)]
    prompt: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// An answer, word by word.
#[derive(Debug)]
pub(super) struct Answer {
    form: Form,
    /// Words with the space before them.
    tokens: Vec<String>,
    finish: &'static str,
    prompt_tokens: usize,
    include_usage: bool,
    id: String,
}

impl Answer {
    pub(super) fn new(form: Form, asking: &Asking, number: u64) -> Self {
        let all: Vec<String> = ANSWER.split_inclusive(' ').map(str::to_owned).collect();
        let limit = asking.max_completion_tokens.or(asking.max_tokens).unwrap_or(usize::MAX);
        let finish = if limit < all.len() { "length" } else { "stop" };
        let prompt = asking.messages.as_ref().or(asking.prompt.as_ref()).map(Value::to_string).unwrap_or_default();
        Self {
            form,
            tokens: all.into_iter().take(limit).collect(),
            finish,
            prompt_tokens: prompt.split_whitespace().count(),
            include_usage: asking.stream_options.as_ref().is_some_and(|options| options.include_usage),
            id: format!("demo-{number}"),
        }
    }

    /// The answer as one JSON.
    pub(super) fn whole(&self) -> Value {
        let text = self.tokens.concat();
        let choice = match self.form {
            Form::Chat => json!({"message": {"role": "assistant", "content": text}}),
            Form::Text => json!({"text": text}),
        };
        self.envelope("chat.completion", Some((choice, Some(self.finish))), true)
    }

    /// The events of a stream, in order; each but the first and the last few carries a token.
    pub(super) fn events(&self) -> Vec<String> {
        let chunk = |choice: Value, finish| self.envelope("chat.completion.chunk", Some((choice, finish)), false);
        let mut events: Vec<Value> = match self.form {
            Form::Chat => {
                let first = json!({"delta": {"role": "assistant", "content": ""}});
                let tokens = self.tokens.iter().map(|token| json!({"delta": {"content": token}}));
                std::iter::once(first).chain(tokens).map(|choice| chunk(choice, None)).collect()
            }
            Form::Text => self.tokens.iter().map(|token| chunk(json!({"text": token}), None)).collect(),
        };
        let last = match self.form {
            Form::Chat => json!({"delta": {}}),
            Form::Text => json!({"text": ""}),
        };
        events.push(chunk(last, Some(self.finish)));
        if self.include_usage {
            events.push(self.envelope("chat.completion.chunk", None, true));
        }
        let lines = events.iter().map(|event| format!("data: {event}\n\n"));
        lines.chain(std::iter::once("data: [DONE]\n\n".to_owned())).collect()
    }

    /// What is around a choice, with why it ended if it did.
    fn envelope(&self, chat_object: &str, choice: Option<(Value, Option<&str>)>, with_usage: bool) -> Value {
        let choices: Vec<Value> = choice
            .into_iter()
            .map(|(mut choice, finish)| {
                put(&mut choice, "index", json!(0));
                put(&mut choice, "finish_reason", json!(finish));
                choice
            })
            .collect();
        let object = match self.form {
            Form::Chat => chat_object,
            Form::Text => "text_completion",
        };
        let mut envelope = json!({"id": self.id, "object": object, "created": 0, "model": MODEL, "choices": choices});
        if with_usage {
            let (prompt, completion) = (self.prompt_tokens, self.tokens.len());
            let usage = json!({
                "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion
            });
            put(&mut envelope, "usage", usage);
        }
        envelope
    }
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(name.to_owned(), value);
    }
}

/// The list of models.
pub(super) fn models() -> Value {
    json!({"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "llm-proxy demo"}]})
}

/// A refusal.
pub(super) fn error(message: &str, kind: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    fn asking(text: &str) -> Asking {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn it_says_plainly_that_it_is_no_model() {
        assert!(ANSWER.contains("no model wrote this") && ANSWER.contains("no GPU"));
        assert!(!ANSWER.contains("  "), "{ANSWER}");
    }

    #[test]
    fn a_stream_carries_the_same_as_the_whole() {
        for form in [Form::Chat, Form::Text] {
            let answer = Answer::new(form, &asking(r#"{"stream_options": {"include_usage": true}}"#), 1);
            let events = answer.events();
            assert_eq!(events.last().map(String::as_str), Some("data: [DONE]\n\n"));
            let parsed: Vec<Value> = events
                .iter()
                .filter_map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap().trim()).ok())
                .collect();
            let text: String = parsed
                .iter()
                .filter_map(|event| {
                    let choice = &event["choices"][0];
                    choice["delta"]["content"].as_str().or(choice["text"].as_str())
                })
                .collect();
            assert_eq!(text, ANSWER);
            assert_eq!(parsed.last().unwrap()["usage"], answer.whole()["usage"]);
            assert_eq!(parsed.get(parsed.len() - 2).unwrap()["choices"][0]["finish_reason"], "stop");
        }
    }

    #[test]
    fn fewer_tokens_are_given_where_fewer_are_asked_for() {
        for text in [r#"{"max_tokens": 3}"#, r#"{"max_completion_tokens": 3, "max_tokens": 9}"#] {
            let whole = Answer::new(Form::Chat, &asking(text), 1).whole();
            assert_eq!(whole["choices"][0]["message"]["content"], "This is a ");
            assert_eq!(whole["choices"][0]["finish_reason"], "length");
            assert_eq!(whole["usage"]["completion_tokens"], 3);
        }
    }
}
