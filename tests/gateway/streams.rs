//! Answers that come in pieces: nothing is held back, and an end is what it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use llm_proxy::gateway::Settings;
use llm_proxy::instance::Hold;
use llm_proxy::route::EngineAuth;
use test_case::test_case;
use tokio::io::AsyncWriteExt;

use super::support::*;

/// A proxy before an engine whose next answer, of this content type, the test feeds.
async fn fed_proxy(content_type: &'static str, settings: Settings) -> (Proxy, Feed) {
    let (feed, engine) = fed_engine(Response::builder().header("content-type", content_type)).await;
    (Proxy::with(engine, Mood::Ready, EngineAuth::Client, settings).await, feed)
}

const SSE: &str = "text/event-stream; charset=utf-8";

#[tokio::test]
async fn a_token_arrives_before_the_next_is_made() {
    let (proxy, feed) = fed_proxy(SSE, Settings::default()).await;
    let response = proxy.send(post("/v1/chat/completions", r#"{"stream":true}"#)).await;
    assert_eq!(response.headers()["content-type"], SSE);
    assert_eq!(response.headers()["x-llm-proxy-instance"], "tiny");
    let mut body = response.into_body();
    for token in ["one", "two", "three"] {
        feed.send(event(token)).await.unwrap();
        assert_eq!(piece(&mut body).await.unwrap().unwrap(), format!("data: {token}\n\n"));
        assert!(!proxy.owner.was_told(Told::Release(Hold::Inference)), "the stream is not over");
    }
    drop(feed);
    assert!(piece(&mut body).await.is_none(), "nothing is added to a whole stream");
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
    assert_eq!(proxy.owner.told(), [Told::TryAcquire(Hold::Inference), Told::Release(Hold::Inference)]);
}

#[test_case("/v1/chat/completions", "\n\ndata: {\"error\":{" ; "chat")]
#[test_case("/v1/messages", "\n\nevent: error\ndata: {\"error\":{\"message\":" ; "messages")]
#[test_case("/v1/responses", "\n\nevent: error\ndata: {\"code\":\"engine_broke_off\"" ; "responses")]
#[tokio::test]
async fn an_engine_that_dies_in_a_stream_ends_it_with_the_apis_error(path: &str, expected: &str) {
    let (proxy, feed) = fed_proxy(SSE, Settings::default()).await;
    let mut body = proxy.send(post(path, "{}")).await.into_body();
    feed.send(event("one")).await.unwrap();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "data: one\n\n");
    feed.send(broken()).await.unwrap();
    let last = piece(&mut body).await.unwrap().unwrap();
    assert!(last.starts_with(expected) && last.ends_with("}\n\n"), "{last}");
    assert!(last.contains("the engine broke off in the middle of its answer"), "{last}");
    assert!(!last.contains("[DONE]"), "{last}");
    assert!(piece(&mut body).await.is_none(), "a clean end after the event");
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
}

#[tokio::test]
async fn an_engine_that_dies_in_a_plain_body_leaves_it_incomplete() {
    let (proxy, feed) = fed_proxy("application/json", Settings::default()).await;
    let mut body = proxy.send(post("/v1/chat/completions", "{}")).await.into_body();
    feed.send(Ok(Frame::data(Bytes::from_static(b"{\"choices\":")))).await.unwrap();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "{\"choices\":");
    feed.send(broken()).await.unwrap();
    let error = piece(&mut body).await.unwrap().expect_err("the last chunk is missing");
    assert!(error.to_string().contains("body"), "{error:?}");
}

#[tokio::test]
async fn a_stream_in_which_nothing_moves_is_ended() {
    let settings = Settings { idle_timeout: Some(Duration::from_millis(300)), ..Settings::default() };
    let (proxy, feed) = fed_proxy(SSE, settings).await;
    let mut body = proxy.send(post("/v1/chat/completions", "{}")).await.into_body();
    feed.send(event("one")).await.unwrap();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "data: one\n\n");
    let last = piece(&mut body).await.unwrap().unwrap();
    assert!(last.contains("idle_timeout"), "{last}");
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
    eventually("the engine sees it", || feed.is_closed()).await;
}

#[tokio::test]
async fn a_client_that_leaves_closes_the_engines_stream() {
    let (proxy, feed) = fed_proxy(SSE, Settings::default()).await;
    let mut body = proxy.send(post("/v1/chat/completions", "{}")).await.into_body();
    feed.send(event("one")).await.unwrap();
    piece(&mut body).await.unwrap().unwrap();
    drop(body);
    eventually("the engine sees it", || feed.is_closed()).await;
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_closes_the_engines_request() {
    let gone = Arc::new(AtomicBool::new(false));
    let (seen, asked) = (Arc::clone(&gone), Arc::new(AtomicBool::new(false)));
    let reached = Arc::clone(&asked);
    let engine = raw_engine(move |mut stream| {
        let (seen, reached) = (Arc::clone(&seen), Arc::clone(&reached));
        async move {
            read_head(&mut stream).await;
            reached.store(true, Ordering::Relaxed);
            read_all(&mut stream).await;
            seen.store(true, Ordering::Relaxed);
        }
    })
    .await;
    let proxy = Proxy::start(engine, Mood::Ready).await;
    let mut client = proxy.connect().await;
    let head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
    write(&mut client, head).await;
    eventually("the engine is asked", || asked.load(Ordering::Relaxed)).await;
    drop(client);
    eventually("the engine sees it", || gone.load(Ordering::Relaxed)).await;
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
}

/// An engine that writes without end, and counts what went.
async fn gushing_engine(count: Arc<AtomicUsize>) -> std::net::SocketAddr {
    raw_engine(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            read_head(&mut stream).await;
            write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n\r\n").await;
            while let Ok(written) = stream.write(&[b'x'; 16 * 1024]).await {
                count.fetch_add(written, Ordering::Relaxed);
            }
        }
    })
    .await
}

/// The count once it has stood still for a while.
async fn settled(count: &AtomicUsize) -> usize {
    let mut last = 0;
    let mut still_since = tokio::time::Instant::now();
    let deadline = still_since + DEADLINE;
    loop {
        let now = count.load(Ordering::Relaxed);
        if now != last {
            (last, still_since) = (now, tokio::time::Instant::now());
        }
        if last > 0 && still_since.elapsed() > Duration::from_millis(300) {
            return last;
        }
        assert!(tokio::time::Instant::now() < deadline, "the engine still writes, after {now} bytes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_slow_reader_holds_the_engine_back() {
    let count = Arc::new(AtomicUsize::new(0));
    let proxy = Proxy::start(gushing_engine(Arc::clone(&count)).await, Mood::Ready).await;
    let mut client = proxy.connect().await;
    write(&mut client, "GET /v1/stream/1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    read_head(&mut client).await;
    // What the kernel takes for four sockets' buffers on loopback (up to 6 MB for receiving and 4 MB for sending) and
    // some of our own; an unbounded proxy would go on for ever.
    let written = settled(&count).await;
    assert!(written < 24 << 20, "{written} bytes");
    let more = count.load(Ordering::Relaxed);
    let reading = tokio::spawn(async move { read_all(&mut client).await });
    eventually("it goes on once it is read", || count.load(Ordering::Relaxed) > more + (16 << 20)).await;
    reading.abort();
}

#[tokio::test]
async fn a_reader_that_stopped_is_let_go() {
    let count = Arc::new(AtomicUsize::new(0));
    let settings = Settings { idle_timeout: Some(Duration::from_millis(500)), ..Settings::default() };
    let engine = gushing_engine(Arc::clone(&count)).await;
    let proxy = Proxy::with(engine, Mood::Ready, EngineAuth::Client, settings).await;
    let mut client = proxy.connect().await;
    write(&mut client, "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").await;
    read_head(&mut client).await;
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
}

#[tokio::test]
async fn one_slow_reader_does_not_slow_another() {
    let count = Arc::new(AtomicUsize::new(0));
    let slow_engine = gushing_engine(Arc::clone(&count)).await;
    let proxy = Proxy::start(slow_engine, Mood::Ready).await;
    let mut slow = proxy.connect().await;
    write(&mut slow, "GET /v1/stream/1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    settled(&count).await;
    let before = count.load(Ordering::Relaxed);
    let mut quick = proxy.connect().await;
    write(&mut quick, "GET /v1/stream/2 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let reading = tokio::spawn(async move { read_all(&mut quick).await });
    eventually("the other reads", || count.load(Ordering::Relaxed) > before + (32 << 20)).await;
    reading.abort();
}

#[tokio::test]
async fn a_stalled_stream_of_http_2_is_let_go_while_its_connection_lives() {
    let count = Arc::new(AtomicUsize::new(0));
    let settings = Settings { idle_timeout: Some(Duration::from_millis(500)), ..Settings::default() };
    let proxy = Proxy::with(gushing_engine(count).await, Mood::Ready, EngineAuth::Client, settings).await;
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let stream = TokioIo::new(proxy.connect().await);
    let (mut sender, connection) = builder.handshake::<_, Full<Bytes>>(stream).await.expect("http");
    tokio::spawn(connection);
    let mut request = post("/v1/completions", "{}");
    *request.uri_mut() = "http://localhost/v1/completions".parse().unwrap();
    let stalled = sender.send_request(request.clone()).await.expect("an answer").into_body();
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
    assert!(!sender.is_closed(), "the connection has other streams");
    let read = tokio::time::timeout(DEADLINE, stalled.collect()).await.expect("an end in time");
    read.expect_err("it is not whole");
}
