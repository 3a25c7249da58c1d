//! The whole way, by one way in.

use std::time::Duration;

use tokio::time::timeout;

use crate::ssh::Agent;
use crate::support::scene::{SRUN_ARGS, chat, soon, wait_until_nothing_is_left};
use crate::support::{Answer, Cluster, Proxy, ProxyBuilder};

/// A proxy on the laptop that logs in to `host` with these options, and asks Slurm there for the engine.
pub(crate) fn proxy<'a>(cluster: &'a Cluster, agent: Option<&Agent>, words: &[&str], host: &str) -> ProxyBuilder<'a> {
    let proxy = Proxy::builder()
        .on_laptop_to(cluster, host)
        .options(["--use-slurm", "--srun-args", SRUN_ARGS])
        .options(words.iter().copied())
        .command([cluster.engine().display().to_string()]);
    match agent.map(Agent::variable) {
        Some((name, socket)) => proxy.env(name, socket),
        None => proxy,
    }
}

pub(crate) async fn ask(proxy: &Proxy) -> Answer {
    let body = chat(false);
    let answer = timeout(Duration::from_mins(1), proxy.client().post("/v1/chat/completions", &body)).await;
    answer.expect("an answer within a minute")
}

/// A request is answered, by one job, and nothing is left at the end.
pub(crate) async fn whole_way(cluster: &Cluster, proxy: ProxyBuilder<'_>) {
    let proxy = proxy.start().await;
    ask(&proxy).await.ok();
    let jobs = cluster.jobs();
    assert!(jobs.len() == 1 && jobs.iter().all(|job| job.contains("RUNNING")), "{jobs:?}");
    ends_well(cluster, proxy).await;
}

pub(crate) async fn ends_well(cluster: &Cluster, proxy: Proxy) {
    let lines = proxy.lines();
    assert!(proxy.stop("TERM", soon()).await.success(), "{}", lines.so_far().join("\n"));
    wait_until_nothing_is_left(cluster, 10).await;
}

/// A request is refused; returns what its client is told.
pub(crate) async fn told(proxy: ProxyBuilder<'_>) -> String {
    let proxy = proxy.start().await;
    let answer = ask(&proxy).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let text = answer.text();
    proxy.stop("TERM", soon()).await;
    text
}
