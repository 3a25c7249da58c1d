//! vLLM on a Unix socket.

use super::scene::{chat, started, stop, vllm};
use super::support::{Cluster, HostName};

#[tokio::test]
#[ignore = "takes minutes: scripts/test --engines"]
async fn it_takes_requests_on_a_socket_and_on_no_port() {
    let cluster = Cluster::up();
    let proxy = vllm(&cluster, &["--engine-socket"], &[]).start().await;
    let body = chat(false, 4);
    let asked = proxy.client().post("/v1/chat/completions", &body);
    tokio::time::timeout_at(started().at(), asked).await.expect("an answer in time").ok();
    let sockets = cluster.on(HostName::Node1, &["ss", "-Hltnp"]);
    let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
    // The ports by which its workers find each other are no servers of requests, and no flag closes them.
    let known = ["\"VLLM::Worker\"", "\"sshd\"", "\"slurmd\""];
    let others: Vec<_> = sockets.lines().filter(|line| !known.iter().any(|name| line.contains(name))).collect();
    assert!(sockets.contains("\"sshd\"") && others.is_empty(), "{others:?}");
    stop(&cluster, proxy, 1).await;
}
