//! A cluster with vLLM behind a proxy on its laptop, and how to see what is left of it.

use serde_json::{Value, json};

use super::support::vllm::ENVIRONMENT;
use super::support::{Client, Cluster, Deadline, HostName, Lines, Proxy, ProxyBuilder, Vllm, eventually};

/// Two minutes: a start takes half of one, on two cores that have nothing else to do.
pub(crate) fn started() -> Deadline {
    Deadline::in_seconds(150)
}

/// A proxy on the laptop that asks Slurm for vLLM, with these options of its own and arguments of vLLM's.
pub(crate) fn vllm<'a>(cluster: &'a Cluster, options: &[&str], more: &[&str]) -> ProxyBuilder<'a> {
    engine(cluster, options).command(Vllm::find().serve()).command(more.iter().copied())
}

/// The same for a command that is still to be given.
pub(crate) fn engine<'a>(cluster: &'a Cluster, options: &[&str]) -> ProxyBuilder<'a> {
    Proxy::builder()
        .on_laptop(cluster)
        .options(["-vv", "--name", "tiny", "--use-slurm", "--srun-args", "--mem=8G --gres=gpu:1 --nodelist=node1"])
        .options(ENVIRONMENT.iter().flat_map(|pair| ["--env", *pair]))
        .options(options.iter().copied())
}

/// More tokens than are made while a test looks.
pub(crate) const LONG: u32 = 15_000;

/// A chat request for so many tokens.
pub(crate) fn chat(stream: bool, tokens: u32) -> Value {
    json!({
        "model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": stream, "max_tokens": tokens,
        "ignore_eos": true,
    })
}

/// The processes of the cluster's user that are vLLM's, its keeper's or its launcher's, as `PID STATE NAME ARGUMENTS`.
pub(crate) fn processes(cluster: &Cluster) -> Vec<String> {
    let output = cluster.on(HostName::Login, &["ps", "-ww", "-u", cluster.user(), "-o", "pid=,stat=,comm=,args="]);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = ["VLLM", "vllm", "transformers", "python", "/bin/sh -s", "srun"];
    let ours = |line: &&str| words.iter().any(|word| line.contains(word)) && !line.contains(" Z");
    lines.lines().map(str::trim).filter(ours).map(str::to_owned).collect()
}

/// The process that says in its own name what it is, such as `VLLM::EngineCore`.
pub(crate) fn process(cluster: &Cluster, name: &str) -> String {
    let processes = processes(cluster);
    let found = processes.iter().find(|line| line.contains(name) && !line.contains("srun"));
    let line = found.unwrap_or_else(|| panic!("no {name} in {processes:#?}"));
    line.split_whitespace().next().expect("a process id").to_owned()
}

/// Kills a process of the node by force, as the kernel does when memory is short.
pub(crate) fn kill(cluster: &Cluster, pid: &str) {
    assert!(cluster.on(HostName::Node1, &["kill", "-KILL", pid]).status.success(), "{pid}");
}

/// A number of vLLM's own metrics, over all its labels.
pub(crate) async fn metric(client: &Client, name: &str) -> f64 {
    let text = client.get("/metrics").await.text();
    let samples = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    let numbers: Vec<f64> =
        samples.map(|line| line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")).collect();
    assert!(!numbers.is_empty(), "no {name} in {text}");
    numbers.iter().sum()
}

/// What the keepers said, such as `Gone(0)`.
pub(crate) fn reports(lines: &Lines) -> Vec<String> {
    let lines = lines.so_far();
    let reports = lines.iter().filter_map(|line| line.split_once("the host reports report="));
    reports.map(|(_, report)| report.to_owned()).collect()
}

/// So many lives have ended: by their keepers' word, by Slurm's, and by our own look at the processes.
pub(crate) async fn life_is_over(cluster: &Cluster, lines: &Lines, ended: usize) {
    let gone = async || (cluster.jobs().is_empty() && processes(cluster).is_empty()).then_some(());
    eventually(Deadline::in_seconds(90), "neither a job nor a process is left", gone).await;
    let reports = reports(lines);
    let gone = reports.iter().filter(|report| report.starts_with("Gone(")).count();
    assert_eq!(gone, ended, "{reports:?}");
}

/// Stops the proxy, which must say that nothing is left, and looks.
pub(crate) async fn stop(cluster: &Cluster, proxy: Proxy, ended: usize) {
    proxy.signal("TERM");
    ends_well(cluster, proxy, ended).await;
}

/// Waits until the proxy, which was told to, has ended and said that nothing is left, and looks.
pub(crate) async fn ends_well(cluster: &Cluster, proxy: Proxy, ended: usize) {
    let lines = proxy.lines();
    let asked = tokio::time::Instant::now();
    assert!(proxy.ended(Deadline::in_seconds(90)).await.success(), "{:#?}", lines.so_far());
    assert!(lines.so_far().join("\n").contains("nothing is left running"), "{:#?}", lines.so_far());
    let killed = reports(&lines).into_iter().filter(|report| report.starts_with("Leftover")).collect::<Vec<_>>();
    eprintln!("the proxy ended within {:.1} s; had to be killed: {killed:?}", asked.elapsed().as_secs_f32());
    life_is_over(cluster, &lines, ended).await;
}
