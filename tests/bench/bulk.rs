//! Many bytes, up or down.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Asked;
use crate::faults::Outcomes;
use crate::figures::{rate, seconds};
use crate::machine::now_ns;
use crate::wire::{Target, Wire};

/// Read or written at once.
const PIECE: usize = 256 * 1024;

/// Bytes: for each URL all streams at once, one URL after the other.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// How many at once
    #[arg(long)]
    streams: u64,
    /// Of each stream
    #[arg(long)]
    bytes: u64,
    /// Which way
    #[arg(long, value_enum)]
    direction: Direction,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Direction {
    Up,
    Down,
}

pub(crate) async fn run(args: &Args) -> Vec<Value> {
    let mut told = Vec::new();
    for url in &args.asked.urls {
        told.push(one(args, url).await);
    }
    told
}

async fn one(args: &Args, url: &Target) -> Value {
    let started = now_ns();
    let mut tasks = JoinSet::new();
    for _ in 0..args.streams {
        let (args, url) = (args.clone(), url.clone());
        tasks.spawn(async move {
            let carried = timeout(Duration::from_secs(args.asked.limit), carry(&args, &url)).await;
            carried.unwrap_or_else(|_| Err("it did not end in time".to_owned()))
        });
    }
    let mut outcomes = Outcomes::default();
    for outcome in tasks.join_all().await {
        outcomes.count(outcome);
    }
    let took = now_ns() - started;
    let bytes = outcomes.finished() * args.bytes;
    json!({
        "url": url.to_string(),
        "bytes": bytes,
        "seconds": seconds(took),
        "mib_per_s": rate(bytes, took) / 1_048_576.0,
        "finished": outcomes.finished(),
        "broken": outcomes.broken(),
        "faults": outcomes.faults(),
    })
}

async fn carry(args: &Args, url: &Target) -> Result<(), String> {
    match args.direction {
        Direction::Up => up(args, url).await,
        Direction::Down => down(args, url).await,
    }
}

async fn down(args: &Args, url: &Target) -> Result<(), String> {
    let mut wire = Wire::connect(url, PIECE).await?;
    let path = format!("/v1/bulk?bytes={}", args.bytes);
    wire.send(url.head(&args.asked, ("GET", &path), "").as_bytes()).await?;
    let mut bytes = 0;
    wire.whole(&mut |piece| bytes += piece.len() as u64).await?;
    if bytes == args.bytes { Ok(()) } else { Err(format!("{bytes} bytes")) }
}

async fn up(args: &Args, url: &Target) -> Result<(), String> {
    let mut wire = Wire::connect(url, PIECE).await?;
    let more = format!("Content-Type: application/octet-stream\r\nContent-Length: {}\r\n", args.bytes);
    wire.send(url.head(&args.asked, ("POST", "/v1/bulk"), &more).as_bytes()).await?;
    let piece = vec![0; PIECE];
    let mut left = args.bytes;
    while left > 0 {
        let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        wire.send(piece.get(..most).unwrap_or_default()).await?;
        left -= most as u64;
    }
    let mut answer = Vec::new();
    wire.whole(&mut |piece| answer.extend_from_slice(piece)).await?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|error| format!("the answer: {error}"))?;
    match answer.get("bytes").and_then(Value::as_u64) {
        Some(bytes) if bytes == args.bytes => Ok(()),
        other => Err(format!("arrived: {other:?}")),
    }
}
