//! vLLM's own profiler, asked for while it runs, and its traces opened on the user's machine.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::scene::{chat, stop, vllm};
use super::support::{Cluster, Deadline, Proxy};

/// It may start beside whatever else the machine has to do.
const STARTED: u64 = 400;

/// It stops only once all traces are written.
const WRITTEN: u64 = 120;

/// The events of a trace, which `gzip` opens.
fn events(file: &std::path::Path) -> usize {
    let output = Command::new("gzip").arg("-dc").arg(file).output().expect("gzip can be run");
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    let trace: Value = serde_json::from_slice(&output.stdout).expect("the whole trace");
    trace["traceEvents"].as_array().expect("events").len()
}

#[tokio::test]
#[ignore = "takes minutes: scripts/test --engines"]
async fn traces_of_vllm_come_to_the_laptop() {
    let cluster = Cluster::up();
    // Only the node has its /tmp.
    let options = ["--profile", "pytorch", "--profile-output-dir", "/tmp/its-profiles"];
    let lighter = ["--profile-arg", "--profiler-config.torch_profiler_with_stack=false"];
    let proxy = vllm(&cluster, &[options.as_slice(), &lighter].concat(), &[]).start().await;
    let home = proxy.home();
    let client = proxy.client();
    let body = chat(false, 4);
    let first = client.post("/v1/chat/completions", &body);
    tokio::time::timeout_at(Deadline::in_seconds(STARTED).at(), first).await.expect("vLLM comes up").ok();

    let words = ["profile", "tiny", "--for", "3", "-o", "trace"];
    let mut asking = Proxy::builder().home(&home).spawn_verb(words);
    asking.stderr().wait_for("profiled for 3 s", Deadline::in_seconds(60)).await;
    client.post("/v1/chat/completions", &chat(false, 8)).await.ok();
    let status = asking.wait(Deadline::in_seconds(WRITTEN)).await;
    let told = asking.stderr().so_far();
    assert!(status.success(), "{told:#?}");

    let folder = fs::read_dir(home.path().join("trace")).expect("the traces");
    let files: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
    let traces = files.iter().filter(|file| file.to_string_lossy().ends_with(".pt.trace.json.gz"));
    let counted: Vec<usize> = traces.map(|file| events(file)).collect();
    eprintln!("events of {files:#?}: {counted:?}\n{told:#?}");
    assert!(counted.iter().any(|events| *events > 100), "the worker ran the model: {counted:?}");
    stop(&cluster, proxy, 1).await;
}
