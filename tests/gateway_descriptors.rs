//! The accept loop outlives a lack of descriptors. Alone in its process, since it takes them all.
#![expect(clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

#[expect(dead_code, reason = "the other tests of the gateway need more of it")]
#[path = "gateway/support.rs"]
mod support;

use std::fs::File;
use std::process::Command;

use support::*;

#[tokio::test]
async fn a_client_is_served_once_a_descriptor_is_free() {
    let proxy = Proxy::start(no_engine().await, Mood::Asleep).await;
    let me = std::process::id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &me, "--nofile=128:128"]).status();
    assert!(limited.expect("`prlimit` is there; it comes with util-linux").success());

    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    // One for the client's end; none is left for ours.
    drop(taken.pop());
    let mut client = proxy.connect().await;
    write(&mut client, "GET /ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let early = tokio::time::timeout(std::time::Duration::from_millis(500), client.readable()).await;
    early.expect_err("nobody could accept it");
    taken.clear();
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}
