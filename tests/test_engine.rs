//! The small engine that the other tests use: that it does what it is told to do.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use support::{Deadline, Engine, eventually};
use tokio_tungstenite::tungstenite::Message;

fn chat(stream: bool) -> Value {
    json!({"messages": [{"role": "user", "content": "hi"}], "model": "test-model", "stream": stream})
}

/// The JSON after `data: ` in an event.
fn data(event: &str) -> Value {
    let line = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_else(|| panic!("no data: {event}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[tokio::test]
async fn it_answers_a_chat_whole_and_in_pieces() {
    let engine = Engine::start(&["--tokens", "3"]).await;
    let client = engine.client();
    let whole = client.post("/v1/chat/completions", &chat(false)).await.ok();
    assert_eq!(whole["choices"][0]["message"]["content"], "tok0 tok1 tok2 ");
    assert_eq!(whole["usage"]["completion_tokens"], 3);

    let (events, complete) = client.stream("/v1/chat/completions", &chat(true)).await.events().await;
    assert!(complete);
    assert_eq!(events.len(), 5, "{events:?}");
    for (n, event) in events.iter().take(3).enumerate() {
        assert_eq!(data(event)["choices"][0]["delta"]["content"], format!("tok{n} "));
        assert_eq!(data(event)["engine"]["index"], n);
    }
    assert_eq!(data(&events[3])["choices"][0]["finish_reason"], "stop");
    assert_eq!(events[4], "data: [DONE]");
}

#[tokio::test]
async fn it_speaks_the_other_dialects() {
    let engine = Engine::start(&["--tokens", "2", "--model", "a", "--model", "b"]).await;
    let client = engine.client();
    let models = client.get("/v1/models").await.ok();
    assert_eq!(models["data"][1]["id"], "b");
    let ask = |stream: bool| json!({"model": "b", "stream": stream, "max_tokens": 1, "input": ["x", "yy"]});
    assert_eq!(client.post("/v1/completions", &ask(false)).await.ok()["choices"][0]["text"], "tok0 ");
    assert_eq!(client.post("/v1/messages", &ask(false)).await.ok()["content"][0]["text"], "tok0 ");
    assert_eq!(client.post("/v1/responses", &ask(false)).await.ok()["output"][0]["content"][0]["text"], "tok0 ");
    assert_eq!(client.post("/v1/embeddings", &ask(false)).await.ok()["data"][1]["embedding"][0], 2);
    for (path, first, last) in [
        ("/v1/messages", "event: message_start", "event: message_stop"),
        ("/v1/responses", "event: response.created", "event: response.completed"),
        ("/v1/completions", "data: {", "data: [DONE]"),
    ] {
        let (events, complete) = client.stream(path, &ask(true)).await.events().await;
        assert!(complete && events.len() >= 3, "{path}: {events:?}");
        assert!(events[0].starts_with(first) && events[events.len() - 1].starts_with(last), "{path}: {events:?}");
    }
    let unknown = client.post("/v1/chat/completions", &json!({"model": "c"})).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn it_asks_for_its_key_on_v1_alone() {
    let engine = Engine::start(&["--api-key", "sesame"]).await;
    let mut client = engine.client();
    assert_eq!(client.get("/v1/models").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(client.get("/health").await.status, StatusCode::OK);
    client.set_header("authorization", "Bearer sesame");
    assert_eq!(client.get("/v1/models").await.status, StatusCode::OK);
}

#[tokio::test]
async fn it_is_unwell_while_it_loads() {
    let engine = Engine::start(&["--load-delay", "400ms"]).await;
    let client = engine.client();
    assert_eq!(client.get("/health").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let well = async || (client.get("/health").await.status == StatusCode::OK).then_some(());
    eventually(Deadline::in_seconds(10), "the engine is well", well).await;
}

#[tokio::test]
async fn it_fails_and_dies_as_it_is_told() {
    let mut failing = Engine::spawn(&["--fail", "CUDA out of memory", "--exit", "7", "--log-lines", "2"]);
    assert_eq!(failing.wait(Deadline::in_seconds(10)).await.code(), Some(7));
    failing.stderr().wait_for("CUDA out of memory", Deadline::in_seconds(10)).await;
    failing.stderr().wait_for("line 1", Deadline::in_seconds(10)).await;

    let mut engine = Engine::start(&["--die-after-tokens", "2", "--tokens", "9", "--exit", "3"]).await;
    let (events, complete) = engine.client().stream("/v1/chat/completions", &chat(true)).await.events().await;
    assert!(!complete, "a stream broken off is no whole one: {events:?}");
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(engine.process().wait(Deadline::in_seconds(10)).await.code(), Some(3));

    let mut appointed = Engine::start(&["--die-after", "50ms"]).await;
    assert_eq!(appointed.process().wait(Deadline::in_seconds(10)).await.code(), Some(1));
}

#[tokio::test]
async fn it_ignores_as_many_terms_as_it_is_told() {
    let mut engine = Engine::start(&["--ignore-terms", "1"]).await;
    engine.process().signal("TERM");
    engine.process().stderr().wait_for("SIGTERM, ignored", Deadline::in_seconds(10)).await;
    assert_eq!(engine.client().get("/health").await.status, StatusCode::OK);
    engine.process().signal("TERM");
    assert!(engine.process().wait(Deadline::in_seconds(10)).await.success());
}

#[tokio::test]
async fn its_children_outlive_it() {
    let mut engine = Engine::start(&["--children", "1", "--children-setsid"]).await;
    let line = engine.process().stderr().wait_for("child ", Deadline::in_seconds(10)).await;
    let child = line.rsplit(' ').next().expect("a pid").to_owned();
    engine.process().signal("KILL");
    engine.process().wait(Deadline::in_seconds(10)).await;
    let arguments = std::fs::read_to_string(format!("/proc/{child}/cmdline")).expect("the child is there");
    assert!(arguments.contains("linger"), "{arguments:?}");
    let killed = std::process::Command::new("kill").arg(&child).status().expect("kill can be run");
    assert!(killed.success());
}

#[tokio::test]
async fn it_counts_a_client_that_leaves() {
    let engine = Engine::start(&["--token-delay", "20", "--tokens", "100000"]).await;
    let client = engine.client();
    let mut stream = client.stream("/v1/chat/completions", &chat(true)).await;
    assert!(stream.event().await.expect("an event").is_some());
    assert_eq!(client.get("/stats").await.ok()["open"], 1);
    assert!(
        client
            .get("/metrics")
            .await
            .text()
            .contains("vllm:num_requests_running{engine=\"0\",model_name=\"test-model\"} 1.0")
    );
    drop(stream);
    let aborted = async || (client.get("/stats").await.ok()["aborted"] == 1).then_some(());
    eventually(Deadline::in_seconds(10), "the engine notices that its client left", aborted).await;
    assert_eq!(client.get("/stats").await.ok()["open"], 0);
    client.send(Method::POST, "/set-running?n=5", Bytes::new()).await;
    assert!(client.get("/metrics").await.text().contains("} 5.0"));
}

#[tokio::test]
async fn it_shows_what_reached_it() {
    let engine = Engine::start(&[]).await;
    let client = engine.client();
    let echo = client.send(Method::PATCH, "/echo/a%20b?c=d&e", Bytes::from_static(b"foobar")).await.ok();
    assert_eq!(echo["method"], "PATCH");
    assert_eq!(echo["path"], "/echo/a%20b");
    assert_eq!(echo["query"], "c=d&e");
    // The published FNV-1a of "foobar".
    assert_eq!(echo["body"], json!({"length": 6, "fnv1a": "85944171f73967e8"}));
    let upload = client.send(Method::PUT, "/upload", vec![b'x'; 3_000_000].into()).await.ok();
    assert_eq!(upload["length"], 3_000_000);
}

#[tokio::test]
async fn it_sends_much_and_breaks_off() {
    let engine = Engine::start(&[]).await;
    let client = engine.client();
    let whole = client.get("/bytes?n=200001").await;
    assert!(whole.complete);
    assert_eq!(whole.body.len(), 200_001);
    assert!(whole.body.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251));
    let broken = client.get("/bytes?n=200001&break=70000").await;
    assert!(!broken.complete);
    assert!(broken.body.len() <= 70_000);
    assert!(!client.get("/bytes?n=200001&break=70000&length=no").await.complete);
    assert_eq!(client.get("/slow-head?ms=1").await.text(), "at last");
}

#[tokio::test]
async fn it_sends_trailers_to_who_wants_them() {
    let engine = Engine::start(&[]).await;
    let request = Request::get("/trailers").header("host", "x").header("te", "trailers").body(Full::default());
    let answer = engine.client().try_request(request.expect("a request")).await.expect("an answer").whole().await;
    assert_eq!(answer.trailers.expect("trailers")["x-engine-trailer"], "the end");
}

#[tokio::test]
async fn it_echoes_on_a_websocket() {
    let engine = Engine::start(&[]).await;
    let stream = engine.client().dial().await.expect("a connection");
    let (mut socket, _) = tokio_tungstenite::client_async("ws://engine/ws", stream).await.expect("an upgrade");
    socket.send(Message::text("hello")).await.expect("a socket that takes");
    let heard = socket.next().await.expect("an answer").expect("a message");
    assert_eq!(heard, Message::text("hello"));
}

#[tokio::test]
async fn it_closes_an_idle_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let engine = Engine::start(&["--keep-alive", "100ms"]).await;
    let mut stream = engine.client().dial().await.expect("a connection");
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("a connection that takes");
    let mut said = String::new();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), stream.read_to_string(&mut said)).await;
    ended.expect("the engine closes").expect("without a fault");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}
