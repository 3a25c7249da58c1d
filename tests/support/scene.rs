//! A cluster with a proxy on its laptop, and what tests ask of the two.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Cluster, Deadline, HostName, Proxy, ProxyBuilder, eventually};

/// What `--srun-args` says in tests: little memory, one GPU.
pub(crate) const SRUN_ARGS: &str = "--mem=1G --gres=gpu:1";

/// A proxy on the laptop that asks Slurm for the small engine, with these options and arguments of the engine.
pub(crate) fn slurm_proxy<'a>(cluster: &'a Cluster, options: &[&str], engine: &[&str]) -> ProxyBuilder<'a> {
    Proxy::builder()
        .on_laptop(cluster)
        .options(["--use-slurm", "--srun-args", SRUN_ARGS])
        .options(options.iter().copied())
        .command([cluster.engine().display().to_string()])
        .command(engine.iter().copied())
}

/// The same in a partition that is closed, so that the job waits.
pub(crate) fn queued_proxy(cluster: &Cluster) -> ProxyBuilder<'_> {
    let options = ["--use-slurm", "--srun-args", "--mem=1G --partition=closed"];
    Proxy::builder().on_laptop(cluster).options(options).command([cluster.engine().display().to_string()])
}

/// A chat request.
pub(crate) fn chat(stream: bool) -> Value {
    json!({"model": "test-model", "messages": [{"role": "user", "content": "hi"}], "stream": stream})
}

/// The state word of the proxy's one instance.
pub(crate) async fn state(proxy: &Proxy) -> String {
    let health = proxy.client().get("/health").await.ok();
    let state = health.pointer("/detail/0/state").and_then(Value::as_str);
    state.unwrap_or_else(|| panic!("no state in {health}")).to_owned()
}

/// Waits until the instance is in this state.
pub(crate) async fn wait_for_state(proxy: &Proxy, wanted: &str, seconds: u64) {
    let what = format!("the instance is {wanted}");
    eventually(Deadline::in_seconds(seconds), &what, async || (state(proxy).await == wanted).then_some(())).await;
}

/// Everything ends in order.
pub(crate) async fn ends_well(proxy: Proxy) {
    let lines = proxy.lines();
    assert!(proxy.stop("TERM", Deadline::in_seconds(30)).await.success(), "{}", lines.so_far().join("\n"));
}

/// Waits until Slurm knows no job any more, and no process of the engine is left on any host.
pub(crate) async fn wait_until_nothing_is_left(cluster: &Cluster, seconds: u64) {
    let gone = async || (cluster.jobs().is_empty() && engine_processes(cluster).is_empty()).then_some(());
    eventually(Deadline::in_seconds(seconds), "no job and no process of the engine is left", gone).await;
}

/// The living processes of the cluster's user that belong to an engine or its keeper, wherever they run.
pub(crate) fn engine_processes(cluster: &Cluster) -> Vec<String> {
    let output = cluster.on(HostName::Login, &["ps", "-u", cluster.user(), "-o", "pid=,stat=,args="]);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours = |line: &&str| ["test-engine", "server.py", "/bin/sh -s", "srun"].iter().any(|word| line.contains(word));
    lines.lines().filter(ours).filter(|line| !line.contains(" Z")).map(str::to_owned).collect()
}

/// The process id of this cluster's `slurmctld`.
pub(crate) fn controller(cluster: &Cluster) -> String {
    let list = "for p in $(pgrep slurmctld); do echo $p $(ip netns identify $p); done";
    let output = cluster.on(HostName::Login, &["sh", "-c", list]);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours = |line: &str| {
        let (pid, space) = line.split_once(' ')?;
        let prefix = space.strip_suffix("-login")?;
        (cluster.user() == format!("{prefix}-alice")).then(|| pid.to_owned())
    };
    lines.lines().find_map(ours).expect("a slurmctld of ours")
}

/// The folders of lives that are left in the user's home on the cluster.
pub(crate) fn life_folders(cluster: &Cluster) -> Vec<String> {
    let lives = cluster.home().join(".local/state/llm-proxy/lives");
    let entries = std::fs::read_dir(lives).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Half a minute: for what takes a second or two on two busy cores.
pub(crate) fn soon() -> Deadline {
    Duration::from_secs(30).into()
}
