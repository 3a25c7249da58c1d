//! Signs of life: what a client that waits long reads before its answer, and how a failure after it looks.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use llm_proxy::backend::{Diagnosis, Loading};
use llm_proxy::gateway::{Patience, Settings};
use llm_proxy::instance::{Hold, Phase, Refusal};
use llm_proxy::route::EngineAuth;
use test_case::test_case;

use super::support::*;

const WAITS: Told = Told::Acquire(Hold::Inference);
const STREAM: &str = r#"{"messages":[],"model":"tiny","stream":true}"#;
const PLAIN: &str = r#"{"messages":[],"model":"tiny"}"#;
const CHAT: &str = "/v1/chat/completions";

/// A proxy that loses its patience at once, before a sleeping engine.
async fn impatient(engine: std::net::SocketAddr) -> Proxy {
    let at_once = Some(Duration::from_millis(1));
    with(engine, Patience { stream_headers_after: at_once, body_headers_after: at_once, ..Patience::default() }).await
}

async fn with(engine: std::net::SocketAddr, patience: Patience) -> Proxy {
    Proxy::with(engine, Mood::Asleep, EngineAuth::Client, Settings { patience, ..Settings::default() }).await
}

/// An engine that answers as it is told.
async fn answering(status: u16, kind: &'static str, body: &'static str) -> std::net::SocketAddr {
    engine(move |_| async move {
        let answer = Response::builder().status(status).header("content-type", kind);
        answer.body(known(body)).expect("an answer")
    })
    .await
}

fn failed() -> Refusal {
    let diagnosis = Diagnosis { code: "engine_failed", summary: "no memory".into(), remedy: "ask for more".into() };
    Refusal::Failed { diagnosis, retry_after: Duration::from_secs(5) }
}

/// Reads on until a text has come.
async fn until(body: &mut Incoming, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let piece = piece(body).await.unwrap_or_else(|| panic!("ended before {text:?}: {read:?}"));
        read.push_str(&piece.unwrap_or_else(|error| panic!("{error} before {text:?}: {read:?}")));
    }
    read
}

/// What still comes, and whether it ended in order.
async fn rest(body: &mut Incoming) -> (String, bool) {
    let mut read = String::new();
    loop {
        match piece(body).await {
            Some(Ok(piece)) => read.push_str(&piece),
            Some(Err(_)) => return (read, false),
            None => return (read, true),
        }
    }
}

#[test_case(CHAT)]
#[test_case("/v1/completions")]
#[test_case("/v1/responses")]
#[test_case("/v1/messages")]
#[tokio::test]
async fn a_stream_reads_where_it_stands_and_then_its_answer(path: &str) {
    let proxy = impatient(answering(200, "text/event-stream; charset=utf-8", "data: hello\n\n").await).await;
    proxy.owner.show(Phase::Queued { reason: Some("Priority".into()), expected_start: None });
    let mut answer = proxy.send(post(path, STREAM)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(answer.headers()["cache-control"], "no-cache");
    assert_eq!(answer.headers()["x-accel-buffering"], "no");
    assert_eq!(answer.headers()["x-llm-proxy-instance"], "tiny");
    assert!(answer.headers().contains_key("x-request-id"));
    assert_eq!(until(answer.body_mut(), "\n\n").await, ": llm-proxy queued (Priority)\n\n");
    proxy.owner.show_loading(Loading { step: "loading weights", percent: Some(42), bytes: None });
    let line = until(answer.body_mut(), "\n\n").await;
    assert!(line.starts_with(": llm-proxy ") && line.contains("loading weights 42 %"), "{line:?}");
    proxy.owner.wake();
    let (text, whole) = rest(answer.body_mut()).await;
    assert!(whole && text.ends_with("data: hello\n\n"), "{text:?}");
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with(": ") || line == "data: hello"), "{text:?}");
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
}

#[test_case(CHAT, r#"data: {"error":{"code":"engine_failed","message":"no memory; ask for more","param":null,"type":"server_error"}}"#)]
#[test_case("/v1/completions", r#"data: {"error":{"code":"engine_failed","message":"no memory; ask for more","param":null,"type":"server_error"}}"#)]
#[test_case(
    "/v1/messages",
    "event: error\ndata: {\"error\":{\"message\":\"no memory; ask for more\",\"type\":\"overloaded_error\"},\"type\":\"error\"}"
)]
#[test_case(
    "/v1/responses",
    "event: error\ndata: {\"code\":\"engine_failed\",\"error\":{\"code\":\"engine_failed\",\"message\":\"no memory; ask for more\",\"param\":null,\"type\":\"server_error\"},\"message\":\"no memory; ask for more\",\"param\":null,\"sequence_number\":0,\"type\":\"error\"}"
)]
#[tokio::test]
async fn a_start_that_fails_ends_a_stream_with_its_apis_error(path: &str, event: &str) {
    let proxy = impatient(no_engine().await).await;
    let mut answer = proxy.send(post(path, STREAM)).await;
    until(answer.body_mut(), ": llm-proxy").await;
    proxy.owner.refuse(failed());
    let (text, whole) = rest(answer.body_mut()).await;
    assert!(whole && text.ends_with(&format!("\n\n{event}\n\n")), "{text}");
    assert!(!text.contains("[DONE]"));
}

#[tokio::test]
async fn a_start_that_fails_breaks_plain_json_off() {
    let proxy = impatient(no_engine().await).await;
    let mut answer = proxy.send(post(CHAT, PLAIN)).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    until(answer.body_mut(), " ").await;
    proxy.owner.refuse(failed());
    let (text, whole) = rest(answer.body_mut()).await;
    assert!(!whole, "no client may take it for whole: {text}");
    let error: serde_json::Value = serde_json::from_str(&text).expect("json");
    assert_eq!(error["error"]["message"], "no memory; ask for more");
}

#[tokio::test]
async fn plain_json_follows_white_space() {
    let proxy = impatient(answering(200, "application/json", "{\"id\": 1}").await).await;
    let mut answer = proxy.send(post(CHAT, PLAIN)).await;
    assert_eq!(until(answer.body_mut(), " ").await, " ");
    proxy.owner.wake();
    assert_eq!(rest(answer.body_mut()).await, ("{\"id\": 1}".to_owned(), true));
}

#[test_case(400, "application/json", r#"{"error":{"message":"too long"}}"#, "the engine answered 400: too long")]
#[test_case(500, "text/plain", "oh no", "the engine answered 500: oh no"; "a server's error")]
#[test_case(200, "application/json", "{}", "the engine answered with `application/json`, after"; "no stream")]
#[tokio::test]
async fn a_refusal_of_the_engines_ends_a_stream_with_an_error(
    status: u16,
    kind: &'static str,
    body: &'static str,
    message: &str,
) {
    let proxy = impatient(answering(status, kind, body).await).await;
    let mut answer = proxy.send(post(CHAT, STREAM)).await;
    until(answer.body_mut(), ": llm-proxy").await;
    proxy.owner.wake();
    let (text, whole) = rest(answer.body_mut()).await;
    assert!(whole);
    let data = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).expect("an event");
    let error: serde_json::Value = serde_json::from_str(data).expect("json");
    let said = error["error"]["message"].as_str().expect("a message");
    assert!(said.starts_with(message), "{said}");
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
}

#[tokio::test]
async fn a_refusal_of_the_engines_breaks_plain_json_off() {
    let proxy = impatient(answering(404, "application/json", r#"{"detail":"no such model"}"#).await).await;
    let mut answer = proxy.send(post(CHAT, PLAIN)).await;
    until(answer.body_mut(), " ").await;
    proxy.owner.wake();
    let (text, whole) = rest(answer.body_mut()).await;
    assert!(!whole && text.contains("the engine answered 404: no such model"), "{text}");
}

#[tokio::test]
async fn an_early_failure_keeps_its_status() {
    let proxy = with(no_engine().await, Patience::default()).await;
    let (answer, ()) = tokio::join!(proxy.post(CHAT, STREAM), async {
        eventually("the wait", || proxy.owner.was_told(WAITS)).await;
        proxy.owner.refuse(failed());
    });
    assert_eq!(answer.0, 503);
}

#[tokio::test]
async fn an_early_refusal_of_the_engines_keeps_its_status() {
    let proxy = with(answering(400, "application/json", "{}").await, Patience::default()).await;
    let (answer, ()) = tokio::join!(proxy.post(CHAT, STREAM), async {
        eventually("the wait", || proxy.owner.was_told(WAITS)).await;
        proxy.owner.wake();
    });
    assert_eq!(answer, (400, "{}".to_owned()));
}

#[test_case(
    CHAT,
    "data: {\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":null,\"index\":0}],\"created\":0,\"id\":\"r1\",\"model\":\"tiny\",\"object\":\"chat.completion.chunk\"}\n\n"
)]
#[test_case(
    "/v1/completions",
    "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"logprobs\":null,\"text\":\"\"}],\"created\":0,\"id\":\"r1\",\"model\":\"tiny\",\"object\":\"text_completion\"}\n\n"
)]
#[test_case("/v1/messages", "event: ping\ndata: {\"type\": \"ping\"}\n\n")]
#[test_case("/v1/responses", ""; "whose events the engine must begin")]
#[tokio::test]
async fn who_asks_for_them_gets_real_events(path: &str, event: &str) {
    let proxy = impatient(no_engine().await).await;
    let request = Request::post(path).header("host", "localhost").header("x-request-id", "r1");
    let request = request.header("x-llm-proxy-progress", "delta").body(full(STREAM)).unwrap();
    let mut answer = proxy.send(request).await;
    let sign = piece(answer.body_mut()).await.unwrap().unwrap();
    assert_eq!(sign, format!(": llm-proxy asking for the engine\n\n{event}"));
}

#[tokio::test]
async fn what_is_ours_in_the_head_is_not_the_engines() {
    let proxy = Proxy::start(echo_engine().await, Mood::Ready).await;
    let request = Request::post(CHAT).header("host", "localhost").header("x-llm-proxy-progress", "delta");
    let (_, told) = whole(proxy.send(request.body(full(PLAIN)).unwrap()).await).await;
    assert!(!told.contains("x-llm-proxy-progress"), "{told}");
}

#[tokio::test]
async fn who_may_get_headers_early_gets_no_compression() {
    let proxy = with(echo_engine().await, Patience::default()).await;
    let request = Request::post(CHAT).header("host", "localhost").header("accept-encoding", "gzip, br");
    let (answer, ()) = tokio::join!(proxy.send(request.body(full(STREAM)).unwrap()), async {
        eventually("the wait", || proxy.owner.was_told(WAITS)).await;
        proxy.owner.wake();
    });
    let (_, told) = whole(answer).await;
    assert!(!told.contains("accept-encoding"), "{told}");
}

#[test_case("/v1/audio/speech", PLAIN; "audio")]
#[test_case("/api/chat", STREAM; "lines of json")]
#[test_case("/v1/embeddings", r#"{"model":"m","encoding_format":"bytes"}"#; "bytes")]
#[test_case(CHAT, "not json"; "not json")]
#[tokio::test]
async fn what_may_be_anything_gets_no_early_headers(path: &str, body: &'static str) {
    gets_no_early_headers(&impatient(no_engine().await).await, path, body).await;
}

/// A wait that ends in a refusal, which can still be told by its status.
async fn gets_no_early_headers(proxy: &Proxy, path: &str, body: &'static str) {
    let (answer, ()) = tokio::join!(proxy.post(path, body), async {
        eventually("the wait", || proxy.owner.was_told(WAITS)).await;
        // Long after the patience of an impatient proxy.
        tokio::time::sleep(Duration::from_millis(100)).await;
        proxy.owner.refuse(failed());
    });
    assert_eq!(answer.0, 503);
}

#[tokio::test]
async fn zero_is_never() {
    let never = Patience { stream_headers_after: None, body_headers_after: None, keep_alive: None };
    gets_no_early_headers(&with(no_engine().await, never).await, CHAT, STREAM).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_waits_no_more() {
    let proxy = impatient(no_engine().await).await;
    let mut answer = proxy.send(post(CHAT, STREAM)).await;
    until(answer.body_mut(), ": llm-proxy").await;
    drop(answer);
    eventually("the leave", || proxy.owner.was_told(Told::Abandon)).await;
}

#[tokio::test]
async fn an_engine_that_breaks_off_after_the_wait_is_told() {
    let (feed, engine) = fed_engine(Response::builder().header("content-type", "text/event-stream")).await;
    let proxy = impatient(engine).await;
    let mut answer = proxy.send(post(CHAT, STREAM)).await;
    until(answer.body_mut(), ": llm-proxy").await;
    proxy.owner.wake();
    feed.send(event("one")).await.unwrap();
    until(answer.body_mut(), "data: one\n\n").await;
    feed.send(broken()).await.unwrap();
    let (text, whole) = rest(answer.body_mut()).await;
    assert!(whole && text.contains("engine_broke_off"), "{text}");
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
}

#[tokio::test]
async fn a_proxy_that_ends_says_so_to_who_waits() {
    let proxy = impatient(no_engine().await).await;
    let mut answer = proxy.send(post(CHAT, STREAM)).await;
    until(answer.body_mut(), ": llm-proxy").await;
    proxy.owner.refuse(Refusal::ShuttingDown);
    let (text, whole) = rest(answer.body_mut()).await;
    assert!(whole && text.contains("shutting_down"), "{text}");
}

#[tokio::test]
async fn an_old_client_reads_a_stream_to_its_end() {
    let proxy = impatient(answering(200, "text/event-stream", "data: hello\n\n").await).await;
    let mut stream = proxy.connect().await;
    let head = format!("POST {CHAT} HTTP/1.0\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{STREAM}", STREAM.len());
    write(&mut stream, &head).await;
    let head = read_head(&mut stream).await;
    assert!(head.contains("text/event-stream") && !head.contains("chunked"), "{head}");
    proxy.owner.wake();
    let all = read_all(&mut stream).await;
    assert!(all.starts_with(": llm-proxy ") && all.ends_with("data: hello\n\n"), "{all:?}");
}

#[tokio::test]
async fn http2_hears_the_same() {
    let proxy = impatient(answering(200, "text/event-stream", "data: hello\n\n").await).await;
    let io = hyper_util::rt::TokioIo::new(proxy.connect().await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.expect("http/2");
    tokio::spawn(connection);
    let request = Request::post(format!("http://localhost{CHAT}")).version(Version::HTTP_2);
    let request = request.body(full(STREAM)).unwrap();
    let mut answer = tokio::time::timeout(DEADLINE, sender.send_request(request)).await.unwrap().unwrap();
    until(answer.body_mut(), ": llm-proxy").await;
    proxy.owner.wake();
    let (text, whole) = rest(answer.body_mut()).await;
    assert!(whole && text.ends_with("data: hello\n\n"), "{text:?}");
}

/// What waits for a client that takes nothing must not hold the engine for ever.
#[tokio::test]
async fn a_client_that_stalls_while_it_waits_lets_the_engine_go() {
    let patience = Patience { stream_headers_after: Some(Duration::from_millis(1)), ..Patience::default() };
    let idle_timeout = Some(Duration::from_millis(200));
    let settings = Settings { patience, idle_timeout, ..Settings::default() };
    let (_feed, engine) = fed_engine(Response::builder().header("content-type", "text/event-stream")).await;
    let proxy = Proxy::with(engine, Mood::Asleep, EngineAuth::Client, settings).await;
    let io = hyper_util::rt::TokioIo::new(proxy.connect().await);
    let executor = hyper_util::rt::TokioExecutor::new();
    // No room for a single byte of the answer.
    let mut builder = hyper::client::conn::http2::Builder::new(executor);
    let (mut sender, connection) =
        builder.initial_stream_window_size(0).handshake::<_, http_body_util::Full<Bytes>>(io).await.expect("http/2");
    tokio::spawn(connection);
    let request = Request::post(format!("http://localhost{CHAT}")).body(full(STREAM)).unwrap();
    let answer = tokio::time::timeout(DEADLINE, sender.send_request(request)).await.unwrap().unwrap();
    proxy.owner.wake();
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
    drop(answer.into_body().boxed());
}
