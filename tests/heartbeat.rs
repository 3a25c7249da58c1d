//! The question how an engine is, at an interval of the user's, and what comes of an engine that does not answer it.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::net::TcpListener;

use serde_json::{Value, json};
use support::scene::{chat, ends_well, soon, state, wait_for_state};
use support::{Client, Proxy, engine_path, eventually};
use tempfile::TempDir;

/// A file of an engine that listens on `port`.
fn file(port: u16, engine: &str, more: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = format!("[{}, --host, '{{host}}', --port, '{{port}}', {engine}]", engine_path().display());
    let text = format!("backend: custom\nmodel: test-model\ncommand: {engine}\nport: {port}\n{more}");
    std::fs::write(folder.path().join("serve.yaml"), text).expect("a file in it");
    folder
}

async fn served(folder: &TempDir, options: &[&str]) -> Proxy {
    let builder = Proxy::builder().folder(folder.path()).options(["--config", "serve.yaml"]);
    let proxy = builder.options(options.iter().copied()).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    proxy
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// How often the engine was asked, as it says itself: a question through the proxy would be a sign of life.
async fn asked(engine: &Client) -> u64 {
    engine.get("/stats").await.ok().get("healthy").and_then(Value::as_u64).expect("a number")
}

#[tokio::test]
async fn an_idle_engine_is_asked_and_one_that_speaks_is_not() {
    let port = free_port();
    let folder =
        file(port, "--token-delay, '50', --tokens, '60'", "heartbeat_interval: 200ms\nheartbeat_timeout: 10s\n");
    let proxy = served(&folder, &[]).await;
    let engine = Client::tcp(&format!("127.0.0.1:{port}"));
    let before = asked(&engine).await;
    let often = async || (asked(&engine).await >= before + 5).then_some(());
    eventually(soon(), "it is asked again and again", often).await;
    assert_eq!(state(&proxy).await, "ready");

    // For three seconds, or fifteen intervals, it streams.
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    stream.event().await.expect("an event").expect("an event");
    let before = asked(&engine).await;
    let (_, whole) = stream.events().await;
    let after = asked(&engine).await;
    assert!(whole);
    assert!(after <= before + 3, "asked {} times while it streamed", after - before);
    let told = proxy.lines().so_far().join("\n");
    assert!(!told.contains("does nothing yet") && !told.contains("says nothing"), "{told}");
    ends_well(proxy).await;
}

#[tokio::test]
async fn an_idle_engine_that_hangs_is_ended_and_the_next_request_starts_it_afresh() {
    let port = free_port();
    let folder = file(port, "--health-once", "heartbeat_interval: 200ms\nheartbeat_timeout: 2s\n");
    let proxy = served(&folder, &[]).await;
    let home = proxy.home();
    wait_for_state(&proxy, "failed", 30).await;
    let status = Proxy::builder().home(&home).run(["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(status.pointer("/instances/0/problem/code"), Some(&json!("engine_hung")), "{status}");
    let again = async || {
        let answer = proxy.client().post("/v1/chat/completions", &chat(false)).await;
        (answer.status == 200).then_some(())
    };
    eventually(soon(), "it serves again", again).await;
    ends_well(proxy).await;
}

/// The timeout of the file is the option's, and what is typed wins.
#[tokio::test]
async fn what_is_typed_wins() {
    let port = free_port();
    let folder = file(port, "--health-once", "heartbeat_interval: 100ms\nheartbeat_timeout: 1s\n");
    let proxy = served(&folder, &["--hung-timeout", "10m"]).await;
    let engine = Client::tcp(&format!("127.0.0.1:{port}"));
    // It was asked after it was ready, and hangs; ten minutes are not over.
    let once_more = async || (asked(&engine).await >= 2).then_some(());
    eventually(soon(), "it is asked", once_more).await;
    assert_eq!(state(&proxy).await, "ready");
    let told = Proxy::builder().folder(folder.path()).run(["config", "show", "--config", "serve.yaml"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("heartbeat_interval") && told.contains("heartbeat_timeout"), "{told}");
    ends_well(proxy).await;
}
