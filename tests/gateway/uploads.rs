//! Bodies that pass straight through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use llm_proxy::gateway::Settings;
use llm_proxy::instance::Hold;
use llm_proxy::route::EngineAuth;
use tokio::io::AsyncReadExt;

use super::support::*;

#[tokio::test]
async fn the_first_byte_of_an_upload_reaches_the_engine_before_its_last() {
    let (engine_saw, saw) = tokio::sync::oneshot::channel();
    let engine_saw = Arc::new(std::sync::Mutex::new(Some(engine_saw)));
    let engine = raw_engine(move |mut stream| {
        let engine_saw = engine_saw.lock().unwrap().take().expect("one connection");
        async move {
            let head = read_head(&mut stream).await;
            assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
            let mut chunk = [0; 10];
            stream.read_exact(&mut chunk).await.expect("a chunk");
            engine_saw.send(chunk).expect("the test waits");
            let mut end = [0; 5];
            stream.read_exact(&mut end).await.expect("the end");
            write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            read_all(&mut stream).await;
        }
    })
    .await;
    let proxy = Proxy::start(engine, Mood::Ready).await;
    let mut client = proxy.connect().await;
    let head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    write(&mut client, &format!("{head}5\r\nfirst\r\n")).await;
    assert_eq!(&saw.await.expect("the engine saw it"), b"5\r\nfirst\r\n");
    write(&mut client, "0\r\n\r\n").await;
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn who_expects_our_leave_gets_it_and_the_engine_hears_nothing_of_it() {
    let engine = echo_engine().await;
    for mood in [Mood::Ready, Mood::Asleep] {
        let waits = matches!(mood, Mood::Asleep);
        let proxy = Proxy::start(engine, mood).await;
        let mut client = proxy.connect().await;
        let head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\
                    connection: close\r\n\r\n";
        write(&mut client, head).await;
        assert_eq!(read_head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
        write(&mut client, "hello").await;
        if waits {
            eventually("the wait", || proxy.owner.was_told(Told::Acquire(Hold::Inference))).await;
            proxy.owner.wake();
        }
        let answer = read_all(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello"), "{answer}");
        assert!(!answer.contains("expect: "), "{answer}");
    }
}

#[tokio::test]
async fn who_expects_our_leave_and_may_not_sends_nothing() {
    let settings = Settings { access_key: Some(llm_proxy::secret::Key::new("k")), ..Settings::default() };
    let proxy = Proxy::with(no_engine().await, Mood::Ready, EngineAuth::Client, settings).await;
    let mut client = proxy.connect().await;
    let head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    write(&mut client, head).await;
    let answer = read_head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn a_refused_upload_reads_the_refusal() {
    let settings = Settings { access_key: Some(llm_proxy::secret::Key::new("k")), ..Settings::default() };
    let proxy = Proxy::with(no_engine().await, Mood::Ready, EngineAuth::Client, settings).await;
    for _ in 0..20 {
        let response = proxy.send(post("/v1/completions", vec![b'x'; 900 * 1024])).await;
        assert_eq!(whole(response).await.0, 401);
    }
}

#[tokio::test]
async fn a_get_may_have_a_body() {
    let proxy = Proxy::start(echo_engine().await, Mood::Ready).await;
    let mut client = proxy.connect().await;
    let head = "GET /odd HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    write(&mut client, &format!("{head}4\r\nbody\r\n0\r\n\r\n")).await;
    let answer = read_all(&mut client).await;
    assert!(answer.contains("\n\nbody"), "{answer}");
}

#[tokio::test]
async fn a_client_that_stops_in_its_upload_is_let_go() {
    let cut = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&cut);
    let engine = raw_engine(move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            read_all(&mut stream).await;
            seen.store(true, Ordering::Relaxed);
        }
    })
    .await;
    let settings = Settings { idle_timeout: Some(Duration::from_millis(300)), ..Settings::default() };
    let proxy = Proxy::with(engine, Mood::Ready, EngineAuth::Client, settings).await;
    let mut client = proxy.connect().await;
    write(&mut client, "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\nhalf").await;
    let answer = read_head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    eventually("the engine sees it", || cut.load(Ordering::Relaxed)).await;
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
}

#[tokio::test]
async fn an_engine_that_answers_early_is_heard() {
    let engine = raw_engine(|mut stream| async move {
        read_head(&mut stream).await;
        write(&mut stream, "HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await;
        read_all(&mut stream).await;
    })
    .await;
    let proxy = Proxy::start(engine, Mood::Ready).await;
    let request = Request::post("/v1/completions").header("host", "localhost");
    let response = proxy.send(request.body(full(vec![b'x'; 64 * 1024])).unwrap()).await;
    assert_eq!(whole(response).await, (413, "no".to_owned()));
}
