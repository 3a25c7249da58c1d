//! What is sent twice, and what never is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::StreamBody;
use hyper::body::Frame;
use llm_proxy::instance::Hold;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Barrier;

use super::support::*;

/// Reads one request of known length, and gives its body.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    String::from_utf8(body).ok()
}

/// An engine that answers `good` requests on each connection and then, when the next was read, closes it without a
/// word. It counts the requests that it read.
async fn closing_engine(good: usize, requests: Arc<AtomicUsize>) -> std::net::SocketAddr {
    raw_engine(move |mut stream| {
        let requests = Arc::clone(&requests);
        async move {
            for _ in 0..good {
                let Some(body) = read_request(&mut stream).await else { return };
                requests.fetch_add(1, Ordering::Relaxed);
                let length = body.len();
                write(&mut stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
            }
            if read_request(&mut stream).await.is_some() {
                requests.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .await
}

async fn start(good: usize, mood: Mood) -> (Proxy, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    (Proxy::start(closing_engine(good, Arc::clone(&requests)).await, mood).await, requests)
}

#[tokio::test]
async fn a_request_on_a_connection_that_had_died_is_sent_once_more() {
    let (proxy, requests) = start(1, Mood::Ready).await;
    assert_eq!(proxy.post("/v1/completions", "first").await, (200, "first".into()));
    assert_eq!(proxy.post("/v1/completions", "second").await, (200, "second".into()));
    assert_eq!(requests.load(Ordering::Relaxed), 3, "the second was read twice");
    eventually("one hold each", || {
        proxy.owner.told().into_iter().filter(|told| *told == Told::Release(Hold::Inference)).count() == 2
    })
    .await;
}

/// A link that breaks takes all of them with it. That they did not just close, nobody knows, and so none of them is tried.
#[tokio::test]
async fn of_several_connections_that_had_died_one_alone_is_tried() {
    let (requests, both) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(2)));
    let counted = Arc::clone(&requests);
    let engine = raw_engine(move |mut stream| {
        let (requests, both) = (Arc::clone(&counted), Arc::clone(&both));
        async move {
            let Some(body) = read_request(&mut stream).await else { return };
            if requests.fetch_add(1, Ordering::Relaxed) < 2 {
                both.wait().await;
            }
            let length = body.len();
            write(&mut stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
            if read_request(&mut stream).await.is_some() {
                requests.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let proxy = Proxy::start(engine.await, Mood::Ready).await;
    let ask = |body: &'static str| proxy.post("/v1/completions", body);
    assert_eq!(tokio::join!(ask("one"), ask("two")), ((200, "one".into()), (200, "two".into())));
    assert_eq!(ask("three").await, (200, "three".into()));
    assert_eq!(requests.load(Ordering::Relaxed), 4, "one old one read it, and a new one answered");
}

#[tokio::test]
async fn a_request_without_a_body_is_too() {
    let (proxy, requests) = start(1, Mood::Ready).await;
    assert_eq!(proxy.ask("GET", "/v1/models").await.0, 200);
    assert_eq!(proxy.ask("GET", "/v1/models").await.0, 200);
    assert_eq!(requests.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_held_body_is_too() {
    let (proxy, requests) = start(1, Mood::Asleep).await;
    let body = "long ".repeat(100_000);
    let ask = || proxy.post("/v1/completions", body.clone());
    let ((first, second), ()) = tokio::join!(
        async {
            let first = ask().await;
            (first, ask().await)
        },
        async {
            eventually("the wait", || proxy.owner.was_told(Told::Acquire(Hold::Inference))).await;
            proxy.owner.wake();
        }
    );
    assert_eq!(first.0, 200);
    // The second one passed straight through, and was longer than what is remembered.
    assert_eq!(second.0, 502);
    assert_eq!(requests.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_fresh_connection_that_breaks_is_the_engines_fault() {
    let (proxy, requests) = start(0, Mood::Ready).await;
    let (status, body) = proxy.post("/v1/completions", "x").await;
    assert_eq!(status, 502);
    assert!(body.contains("engine_broke_off"), "{body}");
    assert_eq!(requests.load(Ordering::Relaxed), 1, "the engine may have begun to work on it");
}

/// An engine that answers the first request on a connection and works for a while on the next, and then dies over it.
async fn dying_engine(requests: Arc<AtomicUsize>) -> std::net::SocketAddr {
    raw_engine(move |mut stream| {
        let requests = Arc::clone(&requests);
        async move {
            if read_request(&mut stream).await.is_some() {
                requests.fetch_add(1, Ordering::Relaxed);
                write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
            if read_request(&mut stream).await.is_some() {
                requests.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_the_engine_worked_on_is_not_sent_twice() {
    let requests = Arc::new(AtomicUsize::new(0));
    let proxy = Proxy::start(dying_engine(Arc::clone(&requests)).await, Mood::Ready).await;
    assert_eq!(proxy.post("/v1/completions", "x").await.0, 200);
    let (status, body) = proxy.post("/v1/completions", "poison").await;
    assert!(status == 502 && body.contains("engine_broke_off"), "{status} {body}");
    assert_eq!(requests.load(Ordering::Relaxed), 2, "one each");
}

#[tokio::test]
async fn a_mere_look_is_sent_twice_even_so() {
    let requests = Arc::new(AtomicUsize::new(0));
    let proxy = Proxy::start(dying_engine(Arc::clone(&requests)).await, Mood::Ready).await;
    assert_eq!(proxy.ask("GET", "/v1/models").await.0, 200);
    assert_eq!(proxy.ask("GET", "/v1/models").await.0, 200);
    assert_eq!(requests.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn an_answer_that_began_is_never_asked_for_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let engine = raw_engine(move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            while read_request(&mut stream).await.is_some() {
                if seen.fetch_add(1, Ordering::Relaxed) > 0 {
                    write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-le").await;
                    return;
                }
                write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let proxy = Proxy::start(engine, Mood::Ready).await;
    assert_eq!(proxy.post("/v1/completions", "x").await.0, 200);
    assert_eq!(proxy.post("/v1/completions", "x").await.0, 502);
    assert_eq!(requests.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn what_had_not_passed_yet_follows_what_had() {
    // The engine's first connection dies as soon as it has read the head of its second request; the client sends the
    // rest only then.
    let (died, dead) = tokio::sync::oneshot::channel();
    let died = Arc::new(std::sync::Mutex::new(Some(died)));
    let engine = raw_engine(move |mut stream| {
        let died = died.lock().unwrap().take();
        async move {
            if let Some(died) = died {
                read_request(&mut stream).await;
                write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                read_head(&mut stream).await;
                let mut first = [0; 5];
                stream.read_exact(&mut first).await.expect("the first piece");
                drop(stream);
                died.send(()).expect("the client waits");
            } else {
                let body = read_request(&mut stream).await.expect("a request");
                write(&mut stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
                read_all(&mut stream).await;
            }
        }
    })
    .await;
    let proxy = Proxy::start(engine, Mood::Ready).await;
    assert_eq!(proxy.post("/v1/completions", "x").await.0, 200);
    let (feed, mut pieces) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(1);
    let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx)));
    let request = Request::post("/v1/completions").header("host", "localhost").header("content-length", "10");
    let (response, ()) = tokio::join!(proxy.send(request.body(body).unwrap()), async {
        feed.send(Ok(Frame::data("first".into()))).await.unwrap();
        dead.await.expect("the connection died");
        feed.send(Ok(Frame::data("after".into()))).await.unwrap();
    });
    assert_eq!(whole(response).await, (200, "firstafter".into()));
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_told_of() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::start(nobody, Mood::Ready).await;
    let (status, body) = proxy.post("/v1/completions", "x").await;
    assert_eq!(status, 502);
    assert!(body.contains(&format!("the engine cannot be reached at {nobody}: Connection refused")), "{body}");
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
}
