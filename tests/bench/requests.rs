//! Small requests, one after the other on each of some connections.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Asked;
use crate::figures::{Figures, rate, signed};
use crate::machine::now_ns;
use crate::wire::{Target, Wire};

/// More than the answer to a small request.
const ROOM: usize = 16 * 1024;

/// Small requests: each connection asks, and asks again when it was answered.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("length").required(true).args(["count", "seconds"])))]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// To each of the URLs
    #[arg(long, default_value_t = 1)]
    connections: u64,
    /// So many requests to each URL
    #[arg(long)]
    count: Option<u64>,
    /// For so many seconds
    #[arg(long)]
    seconds: Option<f64>,
}

/// One round: how long each URL took, if it answered.
type Round = Vec<Option<u64>>;

pub(crate) async fn run(args: &Args) -> Vec<Value> {
    let shared = Arc::new(args.clone());
    let started = now_ns();
    let mut tasks = JoinSet::new();
    for number in 0..args.connections {
        tasks.spawn(connection(Arc::clone(&shared), number, started));
    }
    let rounds: Vec<Round> = tasks.join_all().await.into_iter().flatten().collect();
    let took = now_ns() - started;
    args.asked.urls.iter().enumerate().map(|(index, url)| told(args, &rounds, index, url, took)).collect()
}

fn told(args: &Args, rounds: &[Round], index: usize, url: &Target, took: u64) -> Value {
    let of = |round: &Round, index: usize| round.get(index).copied().flatten().map(signed);
    let times = Figures::of(rounds.iter().filter_map(|round| of(round, index)));
    let mut told = json!({
        "url": url.to_string(),
        "count": times.len(),
        "errors": rounds.len() - times.len(),
        "latency_ns": times.object(&[50, 90, 99]),
        "rate": (args.asked.urls.len() == 1).then(|| rate(times.len() as u64, took)),
    });
    if index > 0
        && let Some(told) = told.as_object_mut()
    {
        let pairs = rounds.iter().filter_map(|round| Some(of(round, index)? - of(round, 0)?));
        told.insert("difference_ns".to_owned(), Figures::of(pairs).object(&[10, 50, 90]));
    }
    told
}

async fn connection(args: Arc<Args>, number: u64, started: u64) -> Vec<Round> {
    let words = "What is the answer to everything, and why?";
    let body = json!({"model": args.asked.model, "messages": [{"role": "user", "content": words}], "max_tokens": 1, "stream": false});
    let urls = &args.asked.urls;
    let requests: Vec<Vec<u8>> = urls.iter().map(|url| url.chat(&args.asked, &body)).collect();
    let mut wires: Vec<Option<Wire>> = urls.iter().map(|_| None).collect();
    // What does not divide goes to the first connections.
    let count = args.count.map(|count| (count + args.connections - 1 - number) / args.connections);
    let length = args.seconds.map(Duration::from_secs_f64);
    let mut rounds = Vec::new();
    loop {
        let done = rounds.len() as u64;
        if count.is_some_and(|count| done >= count)
            || length.is_some_and(|length| Duration::from_nanos(now_ns() - started) >= length)
        {
            return rounds;
        }
        let mut round: Round = vec![None; urls.len()];
        for turn in 0..urls.len() {
            // The order is swapped each round: who comes first meets a colder cache.
            let index = if done.is_multiple_of(2) { turn } else { urls.len() - 1 - turn };
            let (Some(url), Some(request), Some(wire), Some(took)) =
                (urls.get(index), requests.get(index), wires.get_mut(index), round.get_mut(index))
            else {
                continue;
            };
            let once = timeout(Duration::from_secs(args.asked.limit), ask(url, request, wire)).await;
            *took = once.unwrap_or_else(|_| Err("late".to_owned())).ok();
            if took.is_none() {
                *wire = None;
            }
        }
        rounds.push(round);
    }
}

/// How long an answer took on a connection that stands.
async fn ask(url: &Target, request: &[u8], wire: &mut Option<Wire>) -> Result<u64, String> {
    if wire.is_none() {
        *wire = Some(Wire::connect(url, ROOM).await?);
    }
    let Some(wire) = wire else { return Err("no connection".to_owned()) };
    let started = now_ns();
    wire.send(request).await?;
    wire.whole(&mut |_| {}).await?;
    Ok(now_ns() - started)
}
