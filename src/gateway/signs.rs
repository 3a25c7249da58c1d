//! Signs of life for one who waits: what each client takes for nothing, and people read.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::early::{Api, Early};
use crate::instance::Snapshot;

/// The least time between two signs, however fast things change.
const LEAST: Duration = Duration::from_secs(1);

/// When each sign of life is due, and its bytes.
#[derive(Debug)]
pub(super) struct Signs {
    form: Form,
    seen: watch::Receiver<Snapshot>,
    every: Option<Duration>,
    said: Option<(String, Instant)>,
}

#[derive(Debug)]
enum Form {
    /// A comment, which SDKs pass over (WHATWG HTML, section 9.2.6), and after it an event of the API that says nothing.
    Event(String),
    /// A space, which may stand before any JSON.
    Space,
}

impl Signs {
    /// Signs of the kind that goes ahead of an answer, as often as `every`; nothing: never. `model` and `id` are for
    /// clients that ask for real events.
    pub(super) fn new(
        early: &Early,
        model: &str,
        id: &str,
        seen: watch::Receiver<Snapshot>,
        every: Option<Duration>,
    ) -> Self {
        let form = match early {
            Early::Events(api) => Form::Event(api.map(|api| nothing(api, model, id)).unwrap_or_default()),
            Early::Json => Form::Space,
        };
        Self { form, seen, every, said: None }
    }

    /// Waits until the next sign is due: at once, when what is waited for moved on, and when it was quiet for long.
    pub(super) async fn next(&mut self) -> Bytes {
        let Some(every) = self.every else { return std::future::pending().await };
        let Some((said, at)) = self.said.clone() else { return self.say() };
        match &self.form {
            Form::Space => tokio::time::sleep_until(at + every).await,
            Form::Event(_) => {
                tokio::time::sleep_until(at + every.min(LEAST)).await;
                let news = async { self.seen.wait_for(|now| words(now) != said).await.is_ok() };
                // Where nobody publishes any more, the wait is about to end, and the clock goes on until then.
                if tokio::time::timeout_at(at + every, news).await == Ok(false) {
                    tokio::time::sleep_until(at + every).await;
                }
            }
        }
        self.say()
    }

    fn say(&mut self) -> Bytes {
        let words = words(&self.seen.borrow_and_update());
        let bytes = match &self.form {
            Form::Event(nothing) => Bytes::from(format!(": llm-proxy {words}\n\n{nothing}")),
            Form::Space => Bytes::from_static(b" "),
        };
        self.said = Some((words, Instant::now()));
        bytes
    }
}

/// Where the instance stands, on one line: parts of it are foreign words.
fn words(now: &Snapshot) -> String {
    now.progress().replace(char::is_control, " ")
}

/// An event of the API that adds nothing to an answer.
fn nothing(api: Api, model: &str, id: &str) -> String {
    let chunk = |object: &str, choice: Value| {
        // The engine's own chunks follow under their own id; when it is created nobody knows yet.
        let chunk = json!({ "id": id, "object": object, "created": 0, "model": model, "choices": [choice] });
        format!("data: {chunk}\n\n")
    };
    match api {
        Api::Chat => chunk(
            "chat.completion.chunk",
            // Without a role: openai-python's helper for streams joins those of all chunks to one word.
            json!({ "index": 0, "delta": { "content": "" }, "finish_reason": null }),
        ),
        Api::Completions => {
            chunk("text_completion", json!({ "index": 0, "text": "", "logprobs": null, "finish_reason": null }))
        }
        // This API's own sign of life, which may come at any time.
        Api::Messages => "event: ping\ndata: {\"type\": \"ping\"}\n\n".to_owned(),
        // Its events are numbered and begin with `response.created`, which is the engine's to say: a client that
        // assembles the answer would break over anything before it.
        Api::Responses => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;
    use crate::instance::Phase;

    fn queued(reason: &str) -> Snapshot {
        let phase = Phase::Queued { reason: Some(reason.to_owned()), expected_start: None };
        Snapshot { phase, ..Snapshot::default() }
    }

    async fn text(signs: &mut Signs) -> String {
        String::from_utf8(signs.next().await.to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn comments_come_at_once_on_a_change_and_after_a_quiet_time() {
        let (publish, seen) = watch::channel(queued("Priority"));
        let started = Instant::now();
        let mut signs = Signs::new(&Early::Events(None), "m", "i", seen, Some(Duration::from_secs(15)));
        assert_eq!(text(&mut signs).await, ": llm-proxy queued (Priority)\n\n");
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert_eq!(text(&mut signs).await, ": llm-proxy queued (Priority)\n\n");
        assert_eq!(started.elapsed().as_secs(), 15);
        publish.send_replace(queued("Resources"));
        assert_eq!(text(&mut signs).await, ": llm-proxy queued (Resources)\n\n");
        assert_eq!(started.elapsed().as_secs(), 16, "no more than one a second");
        publish.send_modify(|now| now.waiting += 1);
        assert_eq!(text(&mut signs).await, ": llm-proxy queued (Resources)\n\n");
        assert_eq!(started.elapsed().as_secs(), 31, "what is not said is no change");
        drop(publish);
        assert_eq!(text(&mut signs).await, ": llm-proxy queued (Resources)\n\n");
        assert_eq!(started.elapsed().as_secs(), 46);
    }

    #[tokio::test(start_paused = true)]
    async fn foreign_words_stay_on_their_line() {
        let (_publish, seen) = watch::channel(queued("a\r\n\ndata: x\u{1b}[2J"));
        let mut signs = Signs::new(&Early::Events(None), "m", "i", seen, Some(Duration::from_secs(15)));
        assert_eq!(text(&mut signs).await, ": llm-proxy queued (a   data: x [2J)\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn white_space_comes_by_the_clock_alone() {
        let (publish, seen) = watch::channel(queued("Priority"));
        let started = Instant::now();
        let mut signs = Signs::new(&Early::Json, "m", "i", seen, Some(Duration::from_secs(15)));
        assert_eq!(text(&mut signs).await, " ");
        publish.send_replace(queued("Resources"));
        assert_eq!(text(&mut signs).await, " ");
        assert_eq!(started.elapsed().as_secs(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn never_is_never() {
        let (_publish, seen) = watch::channel(queued("Priority"));
        let mut signs = Signs::new(&Early::Json, "m", "i", seen, None);
        assert!(tokio::time::timeout(Duration::from_hours(24), signs.next()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn real_events_are_those_of_their_api() {
        for (api, wanted) in [
            (Api::Chat, Some("chat.completion.chunk")),
            (Api::Completions, Some("text_completion")),
            (Api::Messages, Some("ping")),
            (Api::Responses, None),
        ] {
            let (_publish, seen) = watch::channel(queued("Priority"));
            let early = Early::Events(Some(api));
            let mut signs = Signs::new(&early, "a \"model\"", "i", seen, Some(Duration::from_secs(15)));
            let sign = text(&mut signs).await;
            let data = sign.lines().find_map(|line| line.strip_prefix("data: "));
            let data: Option<Value> = data.map(|data| serde_json::from_str(data).unwrap());
            let name = data.as_ref().and_then(|data| data.get("object").or(data.get("type")));
            assert_eq!(name.and_then(Value::as_str), wanted, "{sign}");
            assert_eq!(sign.contains("event:"), api == Api::Messages, "{sign}");
            assert!(!sign.contains("id: ") && !sign.contains("retry:"), "{sign}");
        }
    }
}
