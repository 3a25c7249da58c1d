//! A proxy whose job makes a tunnel.

use serde_json::Value;
use tokio::time::timeout;

use crate::support::carried::LONG;
use crate::support::left::processes;
use crate::support::scene::{SRUN_ARGS, chat, slurm_proxy};
use crate::support::{Answer, Cluster, HostName, Proxy, ProxyBuilder};

/// On the laptop, with an engine that takes 100 ms for each token.
pub(crate) fn on_laptop<'a>(cluster: &'a Cluster, options: &[&str]) -> ProxyBuilder<'a> {
    let options = [&["-vv", "--srun-arg", "--nodelist=node1"], options].concat();
    slurm_proxy(cluster, &options, &["--token-delay", "100"])
}

/// On the login host, where `srun` is.
pub(crate) fn on_login<'a>(cluster: &'a Cluster, options: &[&str]) -> ProxyBuilder<'a> {
    Proxy::builder()
        .on_login(cluster)
        .options(["-vv", "--use-slurm", "--srun-args", SRUN_ARGS, "--srun-arg", "--nodelist=node1"])
        .options(options.iter().copied())
        .command([cluster.engine().display().to_string()])
        .command(["--token-delay", "100"])
}

/// Asks for an engine.
pub(crate) async fn ask(proxy: &Proxy) -> Answer {
    let body = chat(false);
    let asked = proxy.client().post("/v1/chat/completions", &body);
    timeout(LONG, asked).await.expect("an answer within a minute")
}

/// Asks for an engine that answers.
pub(crate) async fn first_answer(proxy: &Proxy) {
    let answer = ask(proxy).await;
    assert!(answer.status == 200, "{}\n{}", answer.text(), proxy.lines().so_far().join("\n"));
}

/// The way that was taken, as `status` says it, which runs where the proxy does.
pub(crate) fn taken(builder: &ProxyBuilder<'_>) -> String {
    let said = builder.run(["status", "--json"]);
    let said: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    let taken = said.pointer("/instances/0/route/taken").and_then(Value::as_str);
    taken.unwrap_or_else(|| panic!("no route in {said}")).to_owned()
}

/// The pids of the ssh that is the job's tunnel, on its node.
pub(crate) fn tunnels(cluster: &Cluster) -> Vec<String> {
    let of_node = processes(cluster, HostName::Node1).into_iter();
    of_node.filter(|one| one.words.starts_with("ssh ") && one.words.contains(" -R ")).map(|one| one.pid).collect()
}
