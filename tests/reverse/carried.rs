//! What a tunnel carries.

use tokio::time::timeout;

use crate::scene::{first_answer, tunnels};
use crate::support::carried::{
    LONG, a_websocket_echoes, an_abort_reaches_the_engine, large_bodies_pass, tokens_come_one_by_one,
};
use crate::support::scene::chat;
use crate::support::{Client, Cluster, HostName, Proxy};

/// One body of either direction.
const LARGE: usize = 100 << 20;

/// Streams, large bodies, a client that leaves, a tunnel that is killed and made anew; with one job for all of it.
pub(crate) async fn everything(cluster: &Cluster, proxy: &Proxy) {
    first_answer(proxy).await;
    let jobs = cluster.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    only_loopback_is_bound(cluster);
    tokens_come_one_by_one(proxy.client()).await;
    large_bodies_pass(proxy.client(), LARGE).await;
    a_websocket_echoes(proxy.client()).await;
    an_abort_reaches_the_engine(proxy.client()).await;
    a_killed_tunnel_is_made_anew(cluster, proxy.client()).await;
    assert_eq!(cluster.jobs(), jobs);
}

fn only_loopback_is_bound(cluster: &Cluster) {
    let sockets = cluster.on(HostName::Node1, &["ss", "-Hltnp"]);
    let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
    let engine: Vec<_> = sockets.lines().filter(|line| line.contains("\"test-engine\"")).collect();
    assert!(!engine.is_empty() && engine.iter().all(|line| line.contains(" 127.0.0.1:")), "{sockets}");
}

async fn a_killed_tunnel_is_made_anew(cluster: &Cluster, client: &Client) {
    let [old] = <[String; 1]>::try_from(tunnels(cluster)).unwrap_or_else(|all| panic!("one tunnel, and not {all:?}"));
    assert!(cluster.on(HostName::Node1, &["kill", "-KILL", &old]).status.success());
    for _ in 0..3 {
        timeout(LONG, client.post("/v1/chat/completions", &chat(false))).await.expect("in time").ok();
    }
    let tunnels = tunnels(cluster);
    assert!(tunnels.len() == 1 && !tunnels.contains(&old), "{tunnels:?}");
}
