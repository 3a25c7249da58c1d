//! Streams of tokens, all at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memchr::memmem;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Asked;
use crate::faults::Outcomes;
use crate::figures::{Figures, seconds, signed};
use crate::machine::now_ns;
use crate::response::Response;
use crate::wire::{Target, Wire};

/// Dozens of tokens.
const ROOM: usize = 16 * 1024;

/// Streams of tokens: for each URL all of them at once, one URL after the other.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// How many streams at once
    #[arg(long)]
    streams: u64,
    /// How many tokens each
    #[arg(long)]
    tokens: u64,
    /// Between two tokens of a stream, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pause_us: u64,
    /// So many more streams are read up to their first token and no further
    #[arg(long, default_value_t = 0)]
    stalled: u64,
    /// How many tokens the engine would send to each of those, as fast as it can
    #[arg(long, default_value_t = 1_000_000)]
    stalled_tokens: u64,
    /// The engine breaks each stream off after so many tokens
    #[arg(long)]
    break_after: Option<u64>,
}

/// What all streams of a run share.
#[derive(Debug, Default)]
struct Run {
    opened: AtomicU64,
    open_at: AtomicU64,
    over: Notify,
}

pub(crate) async fn run(args: &Args) -> Vec<Value> {
    let mut told = Vec::new();
    for url in &args.asked.urls {
        told.push(one(args, url).await);
    }
    told
}

async fn one(args: &Args, url: &Target) -> Value {
    let shared = Arc::new(Run::default());
    let mut stalled = JoinSet::new();
    for _ in 0..args.stalled {
        stalled.spawn(stall(url.clone(), request(args, url, args.stalled_tokens, 0), Arc::clone(&shared)));
    }
    let asked = request(args, url, args.tokens, args.pause_us);
    let started = now_ns();
    let mut tasks = JoinSet::new();
    for _ in 0..args.streams {
        tasks.spawn(stream(args.clone(), url.clone(), asked.clone(), Arc::clone(&shared)));
    }
    let streams = tasks.join_all().await;
    let took = now_ns() - started;
    shared.over.notify_waiters();
    let mut outcomes = Outcomes::default();
    // A stalled stream that could not even begin is a broken one, and no whole one if it could.
    for fault in stalled.join_all().await.into_iter().flatten() {
        outcomes.count::<()>(Err(format!("stalled: {fault}")));
    }
    let finished: Vec<Vec<Seen>> = streams.into_iter().filter_map(|stream| outcomes.count(stream)).collect();
    let open_at = shared.open_at.load(Ordering::Relaxed);
    let steady = |seen: &&Seen| open_at != 0 && seen.at >= open_at;
    let delays = Figures::of(finished.iter().flatten().filter(steady).map(|seen| seen.delay));
    let medians =
        finished.iter().filter_map(|tokens| Figures::of(tokens.iter().filter(steady).map(|seen| seen.delay)).at(50));
    json!({
        "url": url.to_string(),
        "streams": args.streams,
        "tokens": finished.iter().map(Vec::len).sum::<usize>(),
        "open_ns": (open_at != 0).then(|| open_at - started),
        "measured": delays.len(),
        "delay_ns": delays.object(&[50, 90, 99, 100]),
        "slowest_stream_ns": Figures::of(medians).at(100),
        "seconds": seconds(took),
        "finished": outcomes.finished(),
        "broken": outcomes.broken(),
        "faults": outcomes.faults(),
    })
}

fn request(args: &Args, url: &Target, tokens: u64, pause_us: u64) -> Vec<u8> {
    let mut body = json!({
        "model": args.asked.model, "messages": [{"role": "user", "content": "hi"}], "stream": true, "max_tokens": tokens,
        "pause_us": pause_us,
    });
    if let (Some(after), Some(body)) = (args.break_after, body.as_object_mut()) {
        body.insert("break_after".to_owned(), json!(after));
    }
    url.chat(&args.asked, &body)
}

/// Reads up to the first token, and then keeps the connection and reads no more of it. Gives back what went wrong before.
async fn stall(url: Target, request: Vec<u8>, shared: Arc<Run>) -> Option<String> {
    let over = shared.over.notified();
    tokio::pin!(over);
    over.as_mut().enable();
    let begun = async {
        let mut wire = Wire::connect(&url, ROOM).await?;
        wire.send(&request).await?;
        let mut response = Response::new();
        let mut tokens = Tokens::default();
        while tokens.seen.is_empty() {
            if !wire.read(&mut response, &mut |piece| tokens.take(piece, 0)).await? {
                return Err("no token".to_owned());
            }
        }
        Ok(wire)
    };
    match begun.await {
        Ok(wire) => {
            over.await;
            drop(wire);
            None
        }
        Err(fault) => Some(fault),
    }
}

async fn stream(args: Args, url: Target, request: Vec<u8>, shared: Arc<Run>) -> Result<Vec<Seen>, String> {
    let whole = timeout(Duration::from_secs(args.asked.limit), read(&args, &url, &request, &shared)).await;
    whole.unwrap_or_else(|_| Err("it did not end in time".to_owned()))
}

async fn read(args: &Args, url: &Target, request: &[u8], shared: &Run) -> Result<Vec<Seen>, String> {
    let mut wire = Wire::connect(url, ROOM).await?;
    wire.send(request).await?;
    let mut response = Response::new();
    let mut tokens = Tokens::default();
    let mut open = false;
    let mut more = true;
    while more {
        more = wire.read(&mut response, &mut |piece| tokens.take(piece, now_ns())).await?;
        if !open && !tokens.seen.is_empty() {
            open = true;
            if shared.opened.fetch_add(1, Ordering::Relaxed) + 1 == args.streams {
                shared.open_at.store(now_ns(), Ordering::Relaxed);
            }
        }
    }
    match tokens.seen.len() as u64 {
        _ if tokens.failed => Err("it ended with an error".to_owned()),
        _ if !tokens.done => Err("it ended without [DONE]".to_owned()),
        count if count != args.tokens => Err(format!("{count} tokens")),
        _ => Ok(tokens.seen),
    }
}

/// A token: when it was written, and how long it took.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: u64,
    delay: i64,
}

/// Finds the tokens in a body.
#[derive(Debug, Default)]
struct Tokens {
    seen: Vec<Seen>,
    done: bool,
    failed: bool,
    /// Of a line that has not ended.
    begun: Vec<u8>,
}

impl Tokens {
    fn take(&mut self, piece: &[u8], now: u64) {
        // Most pieces are whole events.
        if self.begun.is_empty() && piece.ends_with(b"\n") {
            return self.take_lines(piece, now);
        }
        self.begun.extend_from_slice(piece);
        if let Some(end) = memchr::memrchr(b'\n', &self.begun) {
            let rest = self.begun.split_off(end + 1);
            let lines = std::mem::replace(&mut self.begun, rest);
            self.take_lines(&lines, now);
        }
    }

    fn take_lines(&mut self, lines: &[u8], now: u64) {
        const MARK: &[u8] = b"\"at\":";
        let had = self.seen.len();
        for at in memmem::find_iter(lines, MARK) {
            let digits =
                lines.get(at + MARK.len()..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
            let at = digits.fold(0, |number: u64, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
            self.seen.push(Seen { at, delay: signed(now).saturating_sub(signed(at)) });
        }
        if self.seen.len() == had || lines.ends_with(b"[DONE]\n\n") {
            self.done |= memmem::find(lines, b"[DONE]").is_some();
            self.failed |= memmem::find(lines, b"\"error\"").is_some();
        }
    }
}
