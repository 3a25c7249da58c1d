//! The engine and the driver of the benchmarks: that they measure what they say they do, and that what breaks counts as broken.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::engine_path;

/// The one of these two that is called so.
fn program(name: &str) -> PathBuf {
    let path = engine_path().with_file_name(name);
    assert!(path.exists(), "{} is missing: cargo build --examples", path.display());
    path
}

/// A program that tells where it listens, until this is dropped.
struct Listening {
    child: Child,
    address: String,
}

impl Listening {
    fn start(name: &str, words: &[&str]) -> Self {
        let mut child =
            Command::new(program(name)).args(words).stdout(Stdio::piped()).spawn().expect("the program can be run");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("listening on ").expect("where it listens").to_owned();
        Self { child, address }
    }

    fn engine() -> Self {
        Self::start("bench-engine", &["--listen", "127.0.0.1:0"])
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn drive(words: &[&str]) -> Vec<Value> {
    let output = Command::new(program("bench-driver")).args(words).output().expect("the driver can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    told["urls"].as_array().expect("a list").clone()
}

#[test]
fn requests_take_turns_and_are_compared_in_pairs() {
    let (engine, other) = (Listening::engine(), Listening::engine());
    let urls = ["--url", &engine.url(), "--url", &other.url()];
    let told = drive(&[&["requests", "--connections", "3", "--count", "10"][..], &urls].concat());
    assert_eq!(told.len(), 2);
    for one in &told {
        assert_eq!((one["count"].as_u64(), one["errors"].as_u64()), (Some(10), Some(0)), "{one}");
        let latency = &one["latency_ns"];
        assert!(latency["p50"].as_u64() > Some(0) && latency["p99"].as_u64() >= latency["p50"].as_u64(), "{one}");
    }
    assert!(told[0].get("difference_ns").is_none() && told[1]["difference_ns"]["p50"].is_i64(), "{told:?}");
    let alone = drive(&["requests", "--seconds", "0.1", "--url", &engine.url()]);
    assert!(alone[0]["rate"].as_f64() > Some(1.0), "{alone:?}");
}

#[test]
fn what_nobody_answers_is_an_error() {
    let gone = Listening::engine().url();
    let told = drive(&["requests", "--count", "2", "--url", &gone]);
    assert_eq!((told[0]["count"].as_u64(), told[0]["errors"].as_u64()), (Some(0), Some(2)), "{told:?}");
    let told = drive(&["bulk", "--direction", "down", "--streams", "2", "--bytes", "10", "--url", &gone]);
    assert_eq!(told[0]["broken"], 2, "{told:?}");
}

#[test]
fn streams_are_timed_token_by_token() {
    let engine = Listening::engine();
    let words = ["streams", "--streams", "5", "--tokens", "20", "--pause-us", "5000", "--stalled", "1", "--url"];
    let told = drive(&[&words[..], &[&engine.url()]].concat());
    let one = &told[0];
    assert_eq!(
        (one["finished"].as_u64(), one["broken"].as_u64(), one["tokens"].as_u64()),
        (Some(5), Some(0), Some(100)),
        "{one}"
    );
    // Nineteen pauses of 5 ms.
    assert!(one["seconds"].as_f64() > Some(0.095) && one["open_ns"].as_u64() > Some(0), "{one}");
    assert!(one["measured"].as_u64() >= Some(80), "{one}");
    let delay = &one["delay_ns"];
    assert!(delay["p50"].as_u64() > Some(0) && delay["max"].as_u64() >= delay["p99"].as_u64(), "{one}");
    assert!(one["slowest_stream_ns"].as_u64() >= delay["p50"].as_u64(), "{one}");
}

#[test]
fn a_broken_stream_counts_as_broken() {
    let engine = Listening::engine();
    let words = ["streams", "--streams", "3", "--tokens", "9", "--pause-us", "1000", "--break-after", "4", "--url"];
    let told = drive(&[&words[..], &[&engine.url()]].concat());
    assert_eq!((told[0]["finished"].as_u64(), told[0]["broken"].as_u64()), (Some(0), Some(3)), "{told:?}");
}

#[test]
fn bulk_arrives_whole_and_a_relay_delays_it() {
    let engine = Listening::engine();
    let relay = Listening::start(
        "bench-driver",
        &["relay", "--listen", "127.0.0.1:0", "--to", &engine.address, "--delay-ms", "50"],
    );
    for direction in ["up", "down"] {
        let words = ["bulk", "--direction", direction, "--streams", "4", "--bytes", "3000000", "--url"];
        let told = drive(&[&words[..], &[&engine.url(), "--url", &relay.url()]].concat());
        for one in &told {
            assert_eq!((one["finished"].as_u64(), one["bytes"].as_u64()), (Some(4), Some(12_000_000)), "{one}");
            assert!(one["mib_per_s"].as_f64() > Some(0.0), "{one}");
        }
        // There and back.
        assert!(told[1]["seconds"].as_f64() >= Some(0.1), "{told:?}");
    }
}
