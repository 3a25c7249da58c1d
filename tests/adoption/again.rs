//! The next proxy of the same name goes on where the killed one was.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use crate::support::scene::{
    chat, engine_processes, queued_proxy, slurm_proxy, soon, wait_for_state, wait_until_nothing_is_left,
};
use crate::support::{Cluster, Deadline, Home, HostName, Proxy, eventually};

/// Kills it without a chance to do anything.
async fn kill(proxy: Proxy) {
    proxy.stop("KILL", soon()).await;
}

async fn ends_well(proxy: Proxy) {
    let lines = proxy.lines();
    assert!(proxy.stop("INT", soon()).await.success(), "{:?}", lines.so_far());
}

/// What `until` says, while a client waits for its answer.
async fn while_asking<T>(proxy: &Proxy, until: impl Future<Output = T>) -> T {
    let body = chat(false);
    let asked = proxy.client().post("/v1/chat/completions", &body);
    tokio::select! {
        met = until => met,
        answer = asked => panic!("answered with {}: {}", answer.status, answer.text()),
    }
}

/// The engine's process, as it says itself.
async fn engine_pid(proxy: &Proxy) -> u64 {
    let stats = timeout(Duration::from_secs(30), proxy.client().get("/stats")).await.expect("in time").ok();
    stats.get("pid").and_then(Value::as_u64).expect("a pid")
}

#[tokio::test]
async fn a_running_engine_is_used_again_at_once() {
    let cluster = Cluster::up();
    let first = slurm_proxy(&cluster, &[], &[]).start().await;
    first.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let (home, jobs, pid) = (first.home(), cluster.jobs(), engine_pid(&first).await);
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    kill(first).await;

    let second = slurm_proxy(&cluster, &[], &[]).home(&home).start().await;
    wait_for_state(&second, "ready", 20).await;
    second.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert_eq!((cluster.jobs(), engine_pid(&second).await), (jobs, pid), "the same job and the same process");
    let said = second.lines().so_far().join("\n");
    assert!(said.contains("was left behind by an earlier run: it is used again"), "{said}");
    // What was read before the kill is not there twice.
    let log = kept(&home, "engine.log");
    let starts = log.lines().filter(|line| line.contains("listening on")).count();
    assert_eq!(starts, 1, "{log}");
    ends_well(second).await;
    wait_until_nothing_is_left(&cluster, 20).await;
}

/// What stands in this file of the one instance's state folder.
fn kept(home: &Home, file: &str) -> String {
    let folders = std::fs::read_dir(home.path().join("state/llm-proxy")).expect("the state");
    let file = folders.flatten().map(|folder| folder.path().join(file)).find(|file| file.exists());
    std::fs::read_to_string(file.expect("the file")).expect("a file that can be read")
}

#[tokio::test]
async fn an_engine_that_starts_is_waited_for() {
    let cluster = Cluster::up();
    let engine = ["--load-delay", "9"];
    let first = slurm_proxy(&cluster, &[], &engine).start().await;
    let starts = async || {
        let runs = engine_processes(&cluster).iter().any(|line| line.contains("test-engine"));
        runs.then(|| cluster.jobs())
    };
    let jobs = while_asking(&first, eventually(soon(), "the engine is starting", starts)).await;
    let home = first.home();
    kill(first).await;
    let second = slurm_proxy(&cluster, &[], &engine).home(&home).start().await;
    second.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert_eq!(cluster.jobs(), jobs);
    ends_well(second).await;
    wait_until_nothing_is_left(&cluster, 20).await;
}

#[tokio::test]
async fn a_queued_job_keeps_its_place() {
    let cluster = Cluster::up();
    let first = queued_proxy(&cluster).start().await;
    let queued = async || (cluster.jobs().len() == 1).then(|| cluster.jobs());
    let jobs = while_asking(&first, eventually(soon(), "the job is queued", queued)).await;
    let home = first.home();
    kill(first).await;

    let second = queued_proxy(&cluster).home(&home).start().await;
    while_asking(&second, second.wait_for_line("queued", soon())).await;
    assert_eq!(cluster.jobs(), jobs, "the same job");
    let opened = cluster.on(HostName::Login, &["scontrol", "update", "PartitionName=closed", "State=UP"]);
    assert!(opened.status.success(), "{opened:?}");
    let body = chat(false);
    let asked = second.client().post("/v1/chat/completions", &body);
    timeout(Duration::from_mins(1), asked).await.expect("in time").ok();
    ends_well(second).await;
    wait_until_nothing_is_left(&cluster, 20).await;
}

#[tokio::test]
async fn one_that_was_being_ended_is_seen_to_its_end() {
    let cluster = Cluster::up();
    let (options, engine) = (["--stop-timeout", "8s"], ["--ignore-terms", "99"]);
    let first = slurm_proxy(&cluster, &options, &engine).start().await;
    first.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let home = first.home();
    first.signal("INT");
    first.wait_for_line("ending the engine", soon()).await;
    let written = async || kept(&home, "life.json").contains("\"ending\": true").then_some(());
    eventually(soon(), "the order is on disk", written).await;
    kill(first).await;
    assert_eq!(cluster.jobs().len(), 1);

    let second = slurm_proxy(&cluster, &options, &engine).home(&home).start().await;
    wait_for_state(&second, "stopped", 40).await;
    wait_until_nothing_is_left(&cluster, 20).await;
    ends_well(second).await;
}

#[tokio::test]
async fn one_of_another_plan_is_ended_before_the_next_is_started() {
    let cluster = Cluster::up();
    let first = slurm_proxy(&cluster, &[], &[]).start().await;
    first.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let (home, jobs) = (first.home(), cluster.jobs());
    kill(first).await;

    let second = slurm_proxy(&cluster, &[], &["--tokens", "3"]).home(&home).start().await;
    second.wait_for_line("with other settings: it is ended before", soon()).await;
    second.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert!(cluster.jobs().len() == 1 && cluster.jobs() != jobs, "{:?}", cluster.jobs());
    ends_well(second).await;
    wait_until_nothing_is_left(&cluster, 20).await;
}

#[tokio::test]
async fn one_that_ended_meanwhile_is_forgotten() {
    let cluster = Cluster::up();
    let first = slurm_proxy(&cluster, &["--lease", "3s"], &[]).start().await;
    first.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let home = first.home();
    kill(first).await;
    wait_until_nothing_is_left(&cluster, 40).await;
    let second = slurm_proxy(&cluster, &["--lease", "3s"], &[]).home(&home).start().await;
    wait_for_state(&second, "stopped", 20).await;
    second.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert_eq!(cluster.jobs().len(), 1);
    ends_well(second).await;
}

#[tokio::test]
async fn a_process_on_this_machine_is_found_again() {
    let proxy = || Proxy::builder().command([env!("CARGO_BIN_EXE_llm-proxy"), "demo-engine", "--port", "{port}"]);
    let first = proxy().start().await;
    first.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let home = first.home();
    kill(first).await;
    let second = proxy().home(&home).start().await;
    wait_for_state(&second, "ready", 20).await;
    second.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let said = second.lines().so_far().join("\n");
    assert!(!said.contains("a request came: starting"), "{said}");
    ends_well(second).await;
}

/// Its keeper heeds the words of the second proxy, or its lease would run out.
#[tokio::test]
async fn the_lease_goes_on() {
    let cluster = Cluster::up();
    let first = slurm_proxy(&cluster, &["--lease", "6s"], &[]).start().await;
    first.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let (home, jobs) = (first.home(), cluster.jobs());
    kill(first).await;
    let second = slurm_proxy(&cluster, &["--lease", "6s"], &[]).home(&home).start().await;
    wait_for_state(&second, "ready", 20).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    second.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert_eq!(cluster.jobs(), jobs);
    ends_well(second).await;
    let gone = async || cluster.jobs().is_empty().then_some(());
    eventually(Deadline::in_seconds(20), "no job is left", gone).await;
}

/// What the killed proxy sent last may reach the host after the next one has looked there: a job comes of it, which nobody
/// wants any more. Once it was seen and ended, no other is waited for.
#[tokio::test]
async fn one_that_comes_after_the_next_looked_is_ended_and_not_waited_for_again() {
    let cluster = Cluster::up();
    let first = slurm_proxy(&cluster, &["--name", "late"], &[]).start().await;
    first.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let home = first.home();
    kill(first).await;
    // As the next one finds it, where the word to start it is still on its way.
    let path = home.path().join("state/llm-proxy/late/life.json");
    let record = std::fs::read(&path).expect("a record");
    let mut record: Value = serde_json::from_slice(&record).expect("JSON");
    for fact in ["job", "node"] {
        *record.get_mut(fact).expect("a fact") = Value::Null;
    }
    std::fs::write(&path, record.to_string()).expect("a record");
    std::fs::remove_dir_all(cluster.home().join(".local/state/llm-proxy/lives")).expect("the folder of lives");
    shim_squeue(&cluster);

    let second = slurm_proxy(&cluster, &["--name", "late"], &[]).home(&home).start().await;
    wait_for_state(&second, "stopped", 40).await;
    let seen = !cluster.home().join("unseen").exists();
    assert!(seen, "Slurm was not asked");
    wait_until_nothing_is_left(&cluster, 20).await;
    ends_well(second).await;
}

/// A `squeue` before the host's own that sees no job the first time.
fn shim_squeue(cluster: &Cluster) {
    let shims = cluster.home().join("shims");
    std::fs::create_dir_all(&shims).expect("a folder in a home");
    let script = "#!/bin/sh\nif rm ~/unseen 2>/dev/null; then exit 0; fi\nexec /usr/bin/squeue \"$@\"\n";
    std::fs::write(shims.join("squeue"), script).expect("a file in a home");
    std::fs::set_permissions(shims.join("squeue"), std::fs::Permissions::from_mode(0o755)).expect("our own file");
    // Written by root, and removed by the user whose home it is.
    std::fs::write(cluster.home().join("unseen"), "").expect("a file in a home");
    std::fs::write(cluster.home().join(".bashrc"), "export PATH=~/shims:$PATH\n").expect("a file in a home");
}
