//! Requests all the time: several streams and plain ones, each of whose ends is judged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Client, Deadline, EventStream, eventually};

/// Tokens of a stream; the engine takes 50 ms for each.
const STREAM_TOKENS: usize = 30;

/// Tokens of a plain answer.
const PLAIN_TOKENS: usize = 4;

const STREAMS: usize = 4;
const PLAIN: usize = 3;

/// One more request each time this long is over, however long those before it take.
const NEWCOMER_EVERY: Duration = Duration::from_secs(2);

/// Between two requests of one who asks.
const BREATH: Duration = Duration::from_millis(100);

/// Longer than the proxy lets anybody wait for anything here.
const PATIENCE: Duration = Duration::from_mins(4);

/// Who took this much longer than the engine needs has waited.
const WAITED: Duration = Duration::from_secs(2);

/// The options of an engine for this load.
pub(crate) const ENGINE: [&str; 4] = ["--token-delay", "50", "--tokens", "30"];

/// One request, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) sent: Instant,
    pub(crate) done: Instant,
    pub(crate) end: End,
}

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
}

impl Told {
    pub(crate) fn has_waited(&self) -> bool {
        self.end == End::Whole && self.done - self.sent > WAITED + Duration::from_millis(50) * 30
    }
}

/// Asks until it is told to stop.
#[derive(Debug, Default)]
pub(crate) struct Load {
    told: std::sync::Mutex<Vec<Told>>,
    stop: AtomicBool,
}

impl Load {
    /// Runs until [`stop`](Self::stop), and then until everything that was asked has ended.
    pub(crate) async fn run(&self, client: &Client) {
        let streams = (0..STREAMS).map(|_| self.ask(client, true));
        let plain = (0..PLAIN).map(|_| self.ask(client, false));
        tokio::join!(join_all(streams), join_all(plain), self.newcomers(client));
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().expect("no one panics with it").clone()
    }

    /// When the first answer came that came whole, to the end, after `moment`.
    pub(crate) async fn answered_after(&self, moment: Instant, deadline: Deadline) -> Duration {
        let first = async || {
            let told = self.told();
            let whole = told.iter().filter(|told| told.end == End::Whole && told.done > moment);
            whole.map(|told| told.done - moment).min()
        };
        eventually(deadline, "a request is answered again", first).await
    }

    async fn ask(&self, client: &Client, stream: bool) {
        while !self.stop.load(Ordering::SeqCst) {
            self.once(client, stream).await;
            sleep(BREATH).await;
        }
    }

    /// Requests that come while others wait.
    async fn newcomers(&self, client: &Client) {
        let (mut asked, mut stream) = (FuturesUnordered::new(), false);
        let mut due = tokio::time::interval(NEWCOMER_EVERY);
        while !self.stop.load(Ordering::SeqCst) {
            tokio::select! {
                _ = due.tick() => {
                    asked.push(self.once(client, stream));
                    stream = !stream;
                }
                Some(()) = asked.next() => {}
            }
        }
        while asked.next().await.is_some() {}
    }

    async fn once(&self, client: &Client, stream: bool) {
        let sent = Instant::now();
        let end = timeout(PATIENCE, one(client, stream)).await;
        let end = end.unwrap_or_else(|_| panic!("no end of an answer within {PATIENCE:?}"));
        self.told.lock().expect("no one panics with it").push(Told { sent, done: Instant::now(), end });
    }
}

async fn one(client: &Client, stream: bool) -> End {
    let tokens = if stream { STREAM_TOKENS } else { PLAIN_TOKENS };
    let body = json!({
        "model": "test-model", "messages": [{"role": "user", "content": "hi"}], "stream": stream, "max_tokens": tokens
    });
    let answer = client.stream("/v1/chat/completions", &body).await;
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
