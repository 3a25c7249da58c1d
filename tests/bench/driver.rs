//! The driver of the benchmarks: it asks `bench-engine`, straight or through what is measured, and prints one JSON object.
//!
//! `{"urls":[{"url":…,…},…]}`, one entry for each `--url` in their order; all times are nanoseconds:
//!
//! - `requests`: `count`, `errors`, `latency_ns` {p50, p90, p99}, `rate` (a second; null where several URLs take turns), and for
//!   all but the first `difference_ns` {p10, p50, p90}: of the paired differences against the first.
//! - `streams`: `streams`, `tokens`, `open_ns` (to the first token of all), `delay_ns` {p50, p90, p99, max} of the tokens that were
//!   written after all streams were open, `measured` (how many those are), `slowest_stream_ns` (the largest of the streams'
//!   medians), `seconds`, `finished`, `broken`, and `faults` with what was seen of those.
//! - `bulk`: `bytes`, `seconds`, `mib_per_s`, `finished`, `broken`, `faults`.
//!
//! A base URL is `http://HOST:PORT[/PREFIX]`; the paths of the engine come after it. Two are no measurements of their own: `relay` carries TCP
//! connections and delays what they carry; `channel` is this program's SSH client alone, from nothing to an answer.
#![expect(clippy::expect_used, reason = "a driver that cannot go on may as well end")]
#![expect(clippy::print_stdout, reason = "its figures are its output")]

mod bulk;
mod channel;
mod faults;
mod figures;
mod machine;
mod relay;
mod requests;
mod response;
mod streams;
mod wire;

use clap::{Parser, Subcommand};
use serde_json::json;

use crate::wire::Target;

/// Measures the way to bench-engine.
#[derive(Debug, Parser)]
#[command(name = "bench-driver")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Small requests, one after the other on each connection
    Requests(requests::Args),
    /// Streams of tokens, all at once
    Streams(streams::Args),
    /// Many bytes, up or down
    Bulk(bulk::Args),
    /// Carry TCP connections, and delay what they carry
    Relay(relay::Args),
    /// Open one stream by SSH with this program's own client, from nothing
    Channel(channel::Args),
}

/// Where to ask, and as whom.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Asked {
    /// A base URL; several are asked in turn
    #[arg(long = "url", required = true, value_name = "URL")]
    urls: Vec<Target>,
    /// Sent as a Bearer token
    #[arg(long)]
    key: Option<String>,
    /// The model to ask for
    #[arg(long, default_value = "bench")]
    model: String,
    /// Whatever has not ended after so many seconds is broken
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    limit: u64,
}

// One thread: it takes least from whoever shares the machine with it.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    machine::raise_descriptors();
    let urls = match Args::parse().verb {
        Verb::Requests(args) => requests::run(&args).await,
        Verb::Streams(args) => streams::run(&args).await,
        Verb::Bulk(args) => bulk::run(&args).await,
        Verb::Relay(args) => return relay::run(&args).await,
        Verb::Channel(args) => return channel::run(&args).await,
    };
    println!("{}", json!({ "urls": urls }));
}
