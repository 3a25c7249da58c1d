//! Connections of clients: what is closed, what is noticed, and how an end is shown.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use hyper::body::Frame;
use llm_proxy::gateway::Settings;
use llm_proxy::instance::Hold;
use llm_proxy::route::EngineAuth;
use test_case::test_case;
use tokio::io::AsyncReadExt;

use super::support::*;

fn impatient() -> Settings {
    Settings { first_head_timeout: Duration::from_millis(300), ..Settings::default() }
}

#[test_case("" ; "nothing")]
#[test_case("GET /ping HTTP/1.1\r\nhost: local" ; "half a head")]
#[test_case("PRI * HTTP/2.0\r\n\r\nSM" ; "half a preface")]
#[test_case("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" ; "http 2 and no request")]
#[tokio::test]
async fn a_client_that_asks_nothing_is_closed(said: &str) {
    let proxy = Proxy::with(no_engine().await, Mood::Asleep, EngineAuth::Client, impatient()).await;
    let mut client = proxy.connect().await;
    write(&mut client, said).await;
    read_all(&mut client).await;
}

#[tokio::test]
async fn a_client_that_asked_may_ask_again_later() {
    let proxy = Proxy::with(no_engine().await, Mood::Asleep, EngineAuth::Client, impatient()).await;
    let mut client = proxy.connect().await;
    for _ in 0..3 {
        write(&mut client, "GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_after_a_stray_byte_stops_waiting() {
    let proxy = Proxy::start(no_engine().await, Mood::Asleep).await;
    let mut client = proxy.connect().await;
    let head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}\r\n";
    write(&mut client, head).await;
    eventually("the wait", || proxy.owner.was_told(Told::Acquire(Hold::Inference))).await;
    assert!(!proxy.owner.was_told(Told::Abandon));
    drop(client);
    eventually("the leave", || proxy.owner.was_told(Told::Abandon)).await;
}

#[tokio::test]
async fn a_further_request_does_not_end_the_one_that_waits() {
    let proxy = Proxy::start(echo_engine().await, Mood::Asleep).await;
    let mut client = proxy.connect().await;
    let request = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
    write(&mut client, request).await;
    eventually("the wait", || proxy.owner.was_told(Told::Acquire(Hold::Inference))).await;
    let last = "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    write(&mut client, last).await;
    proxy.owner.wake();
    let answers = read_all(&mut client).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{answers}");
}

/// What a client of HTTP/1.0 gets of an answer that the engine breaks off, or does not.
async fn old_client(broken_off: bool) -> std::io::Result<String> {
    let (feed, engine) = fed_engine(Response::builder()).await;
    let proxy = Proxy::start(engine, Mood::Ready).await;
    let mut client = proxy.connect().await;
    write(&mut client, "GET /v1/stream HTTP/1.0\r\n\r\n").await;
    feed.send(Ok(Frame::data(Bytes::from_static(b"half")))).await.unwrap();
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n") && !head.contains("content-length"), "{head}");
    let mut half = [0; 4];
    client.read_exact(&mut half).await.unwrap();
    if broken_off {
        feed.send(broken()).await.unwrap();
    } else {
        feed.send(Ok(Frame::data(Bytes::from_static(b" and half")))).await.unwrap();
    }
    drop(feed);
    let mut rest = String::new();
    tokio::time::timeout(DEADLINE, client.read_to_string(&mut rest)).await.expect("an end in time")?;
    Ok(rest)
}

#[tokio::test]
async fn a_client_of_http_1_0_can_tell_half_an_answer_from_a_whole_one() {
    assert_eq!(old_client(false).await.unwrap(), " and half");
    let error = old_client(true).await.expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test_case("gzip, chunked" => true)]
#[test_case("gzip\r\ntransfer-encoding: chunked" => true; "in two lines")]
#[test_case("Chunked" => false)]
#[tokio::test]
async fn a_transfer_coding_that_is_not_undone_is_refused(coding: &str) -> bool {
    let proxy = Proxy::start(echo_engine().await, Mood::Ready).await;
    let mut client = proxy.connect().await;
    let head = format!("POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: {coding}\r\n");
    write(&mut client, &format!("{head}connection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n")).await;
    let answer = read_all(&mut client).await;
    let refused = answer.starts_with("HTTP/1.1 501 Not Implemented\r\n");
    assert!(refused == answer.contains("unknown_transfer_coding") && (refused || answer.ends_with("abc")), "{answer}");
    refused
}
