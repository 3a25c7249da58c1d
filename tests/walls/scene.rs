//! What these tests ask of the cluster and of the proxy.

use serde_json::Value;

use crate::support::scene::chat;
use crate::support::{Answer, Cluster, Deadline, Home, HostName, Proxy, ProxyBuilder, eventually};

/// A proxy on the laptop that gives `srun` these words more.
pub(crate) fn proxy_with<'a>(cluster: &'a Cluster, srun: &str, options: &[&str], engine: &[&str]) -> ProxyBuilder<'a> {
    Proxy::builder()
        .on_laptop(cluster)
        .options(["--use-slurm".to_owned(), "--srun-args".to_owned(), format!("--mem=1G --gres=gpu:1 {srun}")])
        .options(options.iter().copied())
        .command([cluster.engine().display().to_string()])
        .command(engine.iter().copied())
}

/// What `llm-proxy status --json` says of the one instance.
pub(crate) fn status(home: &Home) -> Value {
    let output = Proxy::builder().home(home).run(["status", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    said.pointer("/0").or_else(|| said.pointer("/instances/0")).unwrap_or_else(|| panic!("no instance: {said}")).clone()
}

/// How many seconds are left until a point in time of `status`, if it is told.
pub(crate) fn seconds_until(status: &Value, name: &str) -> Option<i64> {
    let at: jiff::Timestamp = status.get(name)?.as_str()?.parse().expect("a point in time");
    Some(at.duration_since(jiff::Timestamp::now()).as_secs())
}

/// The code of an answer that is an error.
pub(crate) fn code(answer: &Answer) -> String {
    let said = answer.json();
    let code = said.pointer("/error/code").and_then(Value::as_str);
    code.unwrap_or_else(|| panic!("no error's code in {said}")).to_owned()
}

/// The code of what the last start failed for.
pub(crate) fn problem(home: &Home) -> Option<String> {
    status(home).pointer("/problem/code").and_then(Value::as_str).map(str::to_owned)
}

/// The one job's number.
pub(crate) fn job(cluster: &Cluster) -> String {
    match cluster.jobs().as_slice() {
        [job] => job.split_whitespace().next().expect("a number").to_owned(),
        jobs => panic!("not one job: {jobs:?}"),
    }
}

/// What an operator of the cluster does with `scontrol`.
pub(crate) fn scontrol(cluster: &Cluster, words: &[&str]) -> std::process::Output {
    let argv: Vec<&str> = ["scontrol"].into_iter().chain(words.iter().copied()).collect();
    cluster.on(HostName::Login, &argv)
}

/// The same, which must be done.
pub(crate) fn operate(cluster: &Cluster, words: &[&str]) {
    let done = scontrol(cluster, words);
    assert!(done.status.success(), "{words:?}: {done:?}");
}

/// Sends a signal to every process of the engine itself, wherever it runs.
pub(crate) fn signal_engine(cluster: &Cluster, signal: &str) {
    let signal = format!("pkill -{signal} -u {} -f '^[^ ]*/test-engine'", cluster.user());
    let sent = cluster.on(HostName::Login, &["sh", "-c", &signal]);
    assert!(sent.status.success(), "{sent:?}");
}

/// One plain answer.
pub(crate) async fn ask(proxy: &Proxy) -> Answer {
    let body = chat(false);
    let asked = proxy.client().post("/v1/chat/completions", &body);
    tokio::time::timeout(std::time::Duration::from_mins(3), asked).await.expect("answered within its limit")
}

/// Asks again and again until it is answered.
pub(crate) async fn until_served(proxy: &Proxy, seconds: u64) {
    let served = async || (ask(proxy).await.status == 200).then_some(());
    eventually(Deadline::in_seconds(seconds), "it is started afresh", served).await;
}

/// The proxy ends in order, and leaves nothing.
pub(crate) async fn ends_well(proxy: Proxy, cluster: &Cluster) {
    let lines = proxy.lines();
    assert!(proxy.stop("INT", Deadline::in_seconds(60)).await.success(), "{:?}", lines.so_far());
    crate::support::scene::wait_until_nothing_is_left(cluster, 20).await;
}

/// Waits until so many jobs have ever been asked for; `scontrol` remembers them for a while.
pub(crate) fn jobs_ever(cluster: &Cluster) -> usize {
    let jobs = cluster.say(HostName::Login, &["scontrol", "show", "job", "--oneliner"]);
    jobs.lines().filter(|line| line.contains("JobId=")).count()
}

/// Waits until `status` says this.
pub(crate) async fn until_status<T>(home: &Home, what: &str, seconds: u64, says: impl Fn(&Value) -> Option<T>) -> T {
    eventually(Deadline::in_seconds(seconds), what, async || says(&status(home))).await
}
