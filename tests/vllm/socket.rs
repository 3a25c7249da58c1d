//! vLLM on a Unix socket.

use super::scene::{chat, started, stop, vllm};
use super::support::{Cluster, HostName};

#[tokio::test]
#[ignore = "takes minutes: scripts/test --engines"]
async fn it_listens_on_a_socket_and_on_no_port() {
    let cluster = Cluster::up();
    let proxy = vllm(&cluster, &["--engine-socket"], &[]).start().await;
    let body = chat(false, 4);
    let asked = proxy.client().post("/v1/chat/completions", &body);
    tokio::time::timeout_at(started().at(), asked).await.expect("an answer in time").ok();
    let sockets = cluster.on(HostName::Node1, &["ss", "-Hltnp"]);
    let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
    // Its parts may talk among themselves; the server itself has no port.
    let servers = sockets.lines().filter(|line| line.contains("\"vllm\"")).collect::<Vec<_>>();
    eprintln!("ports on the node: {sockets}");
    assert!(servers.is_empty(), "{servers:?}");
    stop(&cluster, proxy, 1).await;
}
