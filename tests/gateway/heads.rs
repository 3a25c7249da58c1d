//! Heads, there and back, in both versions of HTTP.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::support::*;

/// The lines of what the engine saw, without the request line and the body.
fn lines(seen: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = seen.split("\n\n").next().unwrap().lines().skip(1).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn the_engine_sees_the_message_and_not_the_hop() {
    let engine = echo_engine().await;
    let proxy = Proxy::start(engine, Mood::Ready).await;
    let request = Request::post("/v1/completions?a=%2F&b=c%20d&&")
        .header("host", "localhost:8085")
        .header("connection", "keep-alive, x-private")
        .header("x-private", "1")
        .header("keep-alive", "timeout=9")
        .header("proxy-authorization", "Basic eDp5")
        .header("x-forwarded-for", "10.0.0.9")
        .header("x-session-id", "s1")
        .header("x-request-id", "mine")
        .header("authorization", "Bearer theirs")
        .header("content-type", "application/json")
        .body(full("{}"))
        .unwrap();
    let response = proxy.send(request).await;
    assert_eq!(response.headers()["x-request-id"], "mine");
    let (status, seen) = whole(response).await;
    assert_eq!(status, 200);
    assert!(seen.starts_with("POST /v1/completions?a=%2F&b=c%20d&&\n"), "{seen}");
    let host = format!("host: {engine}");
    assert_eq!(
        lines(&seen),
        [
            "authorization: Bearer theirs",
            "content-length: 2",
            "content-type: application/json",
            &host,
            "x-forwarded-for: 10.0.0.9, 127.0.0.1",
            "x-forwarded-host: localhost:8085",
            "x-forwarded-proto: http",
            "x-request-id: mine",
            "x-session-id: s1",
        ]
    );
    assert!(seen.ends_with("\n\n{}"), "{seen}");
}

#[tokio::test]
async fn the_path_is_passed_on_byte_for_byte() {
    let proxy = Proxy::start(echo_engine().await, Mood::Ready).await;
    for path in ["/a//b/./../c%2f%41?x=%00+y&z", "//double", "/?", "/%E2%82%AC", "/v1/models/"] {
        let (_, seen) = proxy.ask("GET", path).await;
        assert_eq!(seen.lines().next(), Some(format!("GET {path}").as_str()));
    }
}

#[tokio::test]
async fn every_method_goes_there() {
    let proxy = Proxy::start(echo_engine().await, Mood::Ready).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let (status, seen) = proxy.ask(method, "/some/plugin").await;
        assert_eq!((status, seen.split(' ').next()), (200, Some(method)));
    }
    assert_eq!(proxy.ask("CONNECT", "example.org:443").await.0, 405);
}

#[tokio::test]
async fn the_answers_hop_is_dropped_and_its_message_kept() {
    let engine = raw_engine(|mut stream| async move {
        read_head(&mut stream).await;
        let head = "HTTP/1.1 418 Odd\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nset-cookie: a=1\r\n\
                    set-cookie: b=2\r\ntransfer-encoding: chunked\r\nx-request-id: theirs\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        write(&mut stream, head).await;
        read_all(&mut stream).await;
    })
    .await;
    let proxy = Proxy::start(engine, Mood::Ready).await;
    let request = Request::get("/v1/models").header("host", "localhost").body(full("")).unwrap();
    let response = proxy.send(request).await;
    let headers = response.headers();
    for gone in ["x-hop", "keep-alive", "connection"] {
        assert!(!headers.contains_key(gone), "{headers:?}");
    }
    assert_eq!(headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(headers["x-request-id"], "theirs", "the engine's own name for it stands");
    assert_eq!(whole(response).await, (418, "hi".to_owned()));
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let engine = raw_engine(|mut stream| async move {
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HEAD /docs "), "{head}");
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 123\r\n\r\n").await;
        read_all(&mut stream).await;
    })
    .await;
    let proxy = Proxy::start(engine, Mood::Ready).await;
    let mut client = proxy.connect().await;
    write(&mut client, "HEAD /docs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("content-length: 123\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    eventually("the release", || proxy.owner.told().len() == 2).await;
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let engine = engine(|request| async {
        assert_eq!(request.headers()["te"], "trailers");
        let body = request.into_body().collect().await.expect("a whole body");
        let sum = body.trailers().expect("trailers")["x-sum"].clone();
        let (feed, body) = fed();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum-back", sum);
        tokio::spawn(async move {
            feed.send(Ok(Frame::data(Bytes::from_static(b"hi")))).await.unwrap();
            feed.send(Ok(Frame::trailers(trailers))).await.unwrap();
        });
        Response::builder().header("trailer", "x-sum-back").body(body).unwrap()
    })
    .await;
    for mood in [Mood::Ready, Mood::Asleep] {
        let held = matches!(mood, Mood::Asleep);
        let proxy = Proxy::start(engine, mood).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("42"));
        let frames = [Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"x"))), Ok(Frame::trailers(trailers))];
        let request = Request::post("/v1/completions")
            .header("host", "localhost")
            .header("te", "trailers")
            .header("trailer", "x-sum")
            .body(StreamBody::new(futures_util::stream::iter(frames)))
            .unwrap();
        let (response, ()) = tokio::join!(proxy.send(request), async {
            if held {
                let waits = Told::Acquire(llm_proxy::instance::Hold::Inference);
                eventually("the wait", || proxy.owner.was_told(waits)).await;
                proxy.owner.wake();
            }
        });
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().expect("trailers")["x-sum-back"], "42");
    }
}

#[tokio::test]
async fn http_2_is_spoken_without_tls() {
    let proxy = Proxy::start(echo_engine().await, Mood::Ready).await;
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.unwrap();
    tokio::spawn(connection);
    for at in 0..3 {
        let request = Request::post(format!("http://localhost:8085/v1/completions?n={at}"))
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("te", "trailers")
            .body(full("{}"))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(response.headers()["x-llm-proxy-instance"], "tiny");
        let (status, seen) = whole(response).await;
        assert_eq!(status, 200);
        assert!(seen.starts_with(&format!("POST /v1/completions?n={at}\n")), "{seen}");
        for line in ["cookie: a=1; b=2", "x-forwarded-host: localhost:8085", "te: trailers"] {
            assert!(lines(&seen).contains(&line), "{seen}");
        }
    }
}

#[tokio::test]
async fn a_client_of_http_2_that_leaves_a_stream_is_noticed() {
    let (feed, engine) = fed_engine(Response::builder()).await;
    let proxy = Proxy::start(engine, Mood::Ready).await;
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://localhost/v1/completions").body(full("{}")).unwrap();
    let mut answer = sender.send_request(request).await.unwrap().into_body();
    feed.send(event("one")).await.unwrap();
    assert_eq!(piece(&mut answer).await.unwrap().unwrap(), "data: one\n\n");
    drop(answer);
    eventually("the engine sees it", || feed.is_closed()).await;
    let release = Told::Release(llm_proxy::instance::Hold::Inference);
    eventually("the release", || proxy.owner.was_told(release)).await;
}

#[tokio::test]
async fn an_upgrade_to_http_2_is_declined_and_the_request_served() {
    let proxy = Proxy::start(echo_engine().await, Mood::Ready).await;
    let mut client = proxy.connect().await;
    let head = "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
                http2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n";
    write(&mut client, head).await;
    let answer = read_head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_client_of_http_1_0_is_served() {
    let proxy = Proxy::start(echo_engine().await, Mood::Ready).await;
    let mut client = proxy.connect().await;
    write(&mut client, "POST /v1/completions HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}").await;
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\n\n{}"), "{answer}");
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let proxy = Proxy::start(echo_engine().await, Mood::Ready).await;
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        sender.ready().await.expect("kept alive");
        assert_eq!(whole(sender.send_request(post("/v1/completions", "{}")).await.unwrap()).await.0, 200);
    }
}
