//! A real engine the whole way: llama.cpp's server as a Slurm job, its API on the laptop, its key on and off.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use hyper::StatusCode;
use serde_json::{Value, json};
use support::scene::{SRUN_ARGS, soon, state, wait_until_nothing_is_left};
use support::{Cluster, HostName, Llama, Proxy, ProxyBuilder};

fn llama<'a>(cluster: &'a Cluster, more: &[&str]) -> ProxyBuilder<'a> {
    Proxy::builder()
        .on_laptop(cluster)
        .options(["--use-slurm", "--srun-args", SRUN_ARGS, "--name", "tiny"])
        .command(Llama::find().command())
        .command(more.iter().copied())
}

fn ask(stream: bool) -> Value {
    json!({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 6, "stream": stream})
}

/// The events of a streamed answer, which must be whole.
async fn events(proxy: &Proxy, path: &str, body: &Value) -> Vec<String> {
    let stream = proxy.client().stream(path, body).await;
    assert_eq!(stream.status(), StatusCode::OK, "{path}");
    let kind = stream.headers()["content-type"].to_str().expect("text").to_owned();
    assert!(kind.starts_with("text/event-stream"), "{path}: {kind}");
    let (events, complete) = stream.events().await;
    assert!(complete && events.len() > 2, "{path}: {events:?}");
    events
}

#[tokio::test]
async fn its_whole_api_passes() {
    let cluster = Cluster::up();
    let proxy = llama(&cluster, &[]).start().await;
    let client = proxy.client();

    let chat = client.post("/v1/chat/completions", &ask(false)).await.ok();
    assert_eq!(chat["object"], "chat.completion", "{chat}");
    assert_eq!(chat["usage"]["completion_tokens"], 6, "{chat}");
    let chunks = events(&proxy, "/v1/chat/completions", &ask(true)).await;
    assert_eq!(chunks.last().map(String::as_str), Some("data: [DONE]"));

    let completion = json!({"model": "tiny", "prompt": "once", "max_tokens": 6, "stream": false});
    assert!(client.post("/v1/completions", &completion).await.ok()["choices"][0]["text"].is_string());
    let completion = json!({"model": "tiny", "prompt": "once", "max_tokens": 6, "stream": true});
    events(&proxy, "/v1/completions", &completion).await;

    let message = |stream: bool| json!({"model": "tiny", "max_tokens": 6, "stream": stream, "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(client.post("/v1/messages", &message(false)).await.ok()["type"], "message");
    let chunks = events(&proxy, "/v1/messages", &message(true)).await;
    assert!(chunks.last().is_some_and(|last| last.contains("event: message_stop")), "{chunks:?}");

    let response = |stream: bool| json!({"model": "tiny", "input": "hi", "max_output_tokens": 6, "stream": stream});
    assert_eq!(client.post("/v1/responses", &response(false)).await.ok()["object"], "response");
    let chunks = events(&proxy, "/v1/responses", &response(true)).await;
    assert!(chunks.last().is_some_and(|last| last.contains("response.completed")), "{chunks:?}");

    let tokens = client.post("/tokenize", &json!({"content": "hello"})).await.ok();
    assert!(tokens["tokens"].as_array().is_some_and(|tokens| !tokens.is_empty()), "{tokens}");
    let models = client.get("/v1/models").await.ok();
    assert!(models.to_string().contains("tiny"), "{models}");
    let unknown = client.get("/no/such/path").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(state(&proxy).await, "ready");

    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}

#[tokio::test]
async fn embeddings_pass() {
    let cluster = Cluster::up();
    let proxy = llama(&cluster, &["--embed"]).start().await;
    let body = json!({"model": "tiny", "input": ["one", "two"]});
    let vectors = proxy.client().post("/v1/embeddings", &body).await.ok();
    assert_eq!(vectors["data"].as_array().map(Vec::len), Some(2), "{vectors}");
}

#[tokio::test]
async fn each_job_has_a_key_of_its_own_that_nobody_else_has() {
    let cluster = Cluster::up();
    let port = "18123";
    let proxy = llama(&cluster, &[]).options(["--target-port", port]).start().await;
    proxy.client().post("/v1/chat/completions", &ask(false)).await.ok();

    // Straight to the engine's port, as another user of the cluster could: no key, no answer.
    let record = proxy.home().record("tiny");
    let node = record["node"].as_str().expect("a node");
    let node = if node == "node1" { HostName::Node1 } else { HostName::Node2 };
    let mut straight = cluster.client(HostName::Login, &format!("{}:{port}", cluster.address(node))).await;
    assert_eq!(straight.post("/v1/chat/completions", &ask(false)).await.status, StatusCode::UNAUTHORIZED);
    let key = record["engine_key"].as_str().expect("a key");
    straight.set_header("authorization", &format!("Bearer {key}"));
    straight.post("/v1/chat/completions", &ask(false)).await.ok();

    // The key is in no argument of any process, and in none of our lines.
    let arguments = cluster.on(HostName::Login, &["sh", "-c", "cat /proc/[0-9]*/cmdline"]);
    assert!(!String::from_utf8_lossy(&arguments.stdout).contains(key));
    assert!(!proxy.lines().so_far().join("\n").contains(key));
}

#[tokio::test]
async fn an_access_key_guards_the_front_and_never_reaches_the_engine() {
    let cluster = Cluster::up();
    let proxy = llama(&cluster, &[]).env("LLM_PROXY_ACCESS_KEY", "open-sesame").start().await;
    assert_eq!(proxy.client().post("/v1/chat/completions", &ask(false)).await.status, StatusCode::UNAUTHORIZED);
    assert!(cluster.jobs().is_empty(), "who has no key starts no job");
    let mut client = cluster.client(HostName::Laptop, proxy.address()).await;
    client.set_header("authorization", "Bearer open-sesame");
    client.post("/v1/chat/completions", &ask(false)).await.ok();
}

#[tokio::test]
async fn a_key_that_the_command_brings_is_the_clients_to_know() {
    let cluster = Cluster::up();
    let proxy = llama(&cluster, &["--api-key", "mine"]).start().await;
    assert_eq!(proxy.client().post("/v1/chat/completions", &ask(false)).await.status, StatusCode::UNAUTHORIZED);
    let mut client = cluster.client(HostName::Laptop, proxy.address()).await;
    client.set_header("authorization", "Bearer mine");
    client.post("/v1/chat/completions", &ask(false)).await.ok();
    let warned = proxy.lines().so_far().join("\n");
    assert!(warned.contains("process list") && !warned.contains("mine "), "{warned}");
}
