//! Requests that are held while the engine starts.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use llm_proxy::backend::Diagnosis;
use llm_proxy::gateway::{IntakeLimits, Settings};
use llm_proxy::instance::{Hold, Refusal};
use llm_proxy::route::EngineAuth;

use super::support::*;

const WAITS: Told = Told::Acquire(Hold::Inference);

async fn limited(per_request: u64, in_all: u64) -> Proxy {
    let intake = IntakeLimits { per_request, in_all, ..IntakeLimits::default() };
    let settings = Settings { intake, ..Settings::default() };
    Proxy::with(echo_engine().await, Mood::Asleep, EngineAuth::Client, settings).await
}

#[tokio::test]
async fn a_held_request_is_served_once_the_engine_is_ready() {
    let proxy = limited(1000, 1000).await;
    let (answer, ()) = tokio::join!(proxy.post("/v1/chat/completions", r#"{"model":"tiny"}"#), async {
        eventually("the wait", || proxy.owner.was_told(WAITS)).await;
        proxy.owner.wake();
    });
    assert_eq!(answer.0, 200);
    assert!(answer.1.ends_with("\n\n{\"model\":\"tiny\"}"), "{}", answer.1);
    assert!(answer.1.contains("\ncontent-length: 16\n"), "{}", answer.1);
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Inference))).await;
    assert!(!proxy.owner.was_told(Told::Abandon));
}

#[tokio::test]
async fn a_long_body_goes_through_a_file_and_arrives_intact() {
    let folder = tempfile::tempdir().unwrap();
    let intake = IntakeLimits { folder: folder.path().to_owned(), ..IntakeLimits::default() };
    let settings = Settings { intake, ..Settings::default() };
    let proxy = Proxy::with(echo_engine().await, Mood::Asleep, EngineAuth::Client, settings).await;
    // Not a multiple of anything, and no two pieces alike.
    let body: String = (0..300_000).flat_map(|n| [n.to_string(), ",".to_owned()]).collect();
    assert!(body.len() > 5 * 256 * 1024);
    let (answer, ()) = tokio::join!(proxy.post("/v1/chat/completions", body.clone()), async {
        eventually("the wait", || proxy.owner.was_told(WAITS)).await;
        // In one open file, which has no name.
        eventually("the file", || files_in(folder.path()) == 1).await;
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        proxy.owner.wake();
    });
    assert_eq!(answer.0, 200);
    assert!(answer.1.split_once("\n\n").unwrap().1 == body, "the body arrives as it was sent");
    eventually("the file is gone", || files_in(folder.path()) == 0).await;
}

/// How many files without a name this process has open in a folder.
fn files_in(folder: &std::path::Path) -> usize {
    let links =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.starts_with(folder)).count()
}

#[tokio::test]
async fn a_body_without_a_length_is_held_too() {
    let proxy = limited(1 << 20, 1 << 20).await;
    let frames = (0..10).map(|n| Ok::<_, std::io::Error>(Frame::data(Bytes::from(format!("{n};")))));
    let request = http::Request::post("/v1/completions").header("host", "localhost");
    let request = request.body(StreamBody::new(futures_util::stream::iter(frames))).unwrap();
    let (response, ()) = tokio::join!(proxy.send(request), async {
        eventually("the wait", || proxy.owner.was_told(WAITS)).await;
        proxy.owner.wake();
    });
    let (_, seen) = whole(response).await;
    assert!(seen.ends_with("\n\n0;1;2;3;4;5;6;7;8;9;") && seen.contains("content-length: 20"), "{seen}");
}

#[tokio::test]
async fn a_client_that_leaves_stops_waiting() {
    let proxy = limited(1000, 1000).await;
    for body in ["", "{}"] {
        let mut client = proxy.connect().await;
        let length = body.len();
        let head =
            format!("POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}");
        let count = |wanted| proxy.owner.told().into_iter().filter(|told| *told == wanted).count();
        let (waits, left) = (count(WAITS), count(Told::Abandon));
        write(&mut client, &head).await;
        eventually("the wait", || count(WAITS) == waits + 1).await;
        drop(client);
        eventually("the leave", || count(Told::Abandon) == left + 1).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_its_upload_stops_waiting_and_frees_its_room() {
    let proxy = limited(1000, 1000).await;
    let mut client = proxy.connect().await;
    let half = "x".repeat(600);
    let head = format!("POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n\r\n{half}");
    write(&mut client, &head).await;
    eventually("the wait", || proxy.owner.was_told(WAITS)).await;
    drop(client);
    eventually("the leave", || proxy.owner.was_told(Told::Abandon)).await;
    let (answer, ()) = tokio::join!(proxy.post("/v1/completions", "y".repeat(1000)), async {
        eventually("the wait", || proxy.owner.told().iter().filter(|told| **told == WAITS).count() == 2).await;
        proxy.owner.wake();
    });
    assert_eq!(answer.0, 200, "{}", answer.1);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let proxy = limited(1000, 10_000).await;
    let (status, body) = proxy.post("/v1/completions", "x".repeat(1001)).await;
    assert_eq!(status, 413);
    assert!(body.contains("longer than the 1000 bytes"), "{body}");
    let frames = (0..101).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from("0123456789"))));
    let request = http::Request::post("/v1/messages").header("host", "localhost");
    let request = request.body(StreamBody::new(futures_util::stream::iter(frames))).unwrap();
    let (status, body) = whole(proxy.send(request).await).await;
    assert_eq!(status, 413, "of no known length");
    assert!(body.contains(r#""type":"request_too_large""#), "{body}");
    eventually("nobody waits", || proxy.owner.was_told(Told::Abandon)).await;
}

#[tokio::test]
async fn all_held_bodies_share_one_bound() {
    let proxy = limited(1000, 1500).await;
    let first = {
        let address = proxy.address;
        tokio::spawn(async move { whole(send(address, post("/v1/completions", "a".repeat(1000))).await).await })
    };
    eventually("the wait", || proxy.owner.was_told(WAITS)).await;
    // The first body may still be on its way when its wait is seen: ask until the bound is met.
    let refused = async {
        loop {
            let ask = proxy.send(post("/v1/completions", "b".repeat(1000)));
            if let Ok(response) = tokio::time::timeout(Duration::from_millis(200), ask).await {
                return response;
            }
        }
    };
    let response = tokio::time::timeout(DEADLINE, refused).await.expect("a refusal");
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(response.status(), 429);
    proxy.owner.wake();
    assert_eq!(first.await.unwrap().0, 200);
    // The room comes back.
    assert_eq!(proxy.post("/v1/completions", "c".repeat(1000)).await.0, 200);
}

fn failed() -> Refusal {
    let diagnosis =
        Diagnosis { code: "engine_exited", summary: "CUDA out of memory".into(), remedy: "ask for more".into() };
    Refusal::Failed { diagnosis, retry_after: Duration::from_millis(29_500) }
}

#[tokio::test]
async fn a_failed_start_is_told_to_who_waits_and_to_who_comes() {
    let proxy = limited(1 << 20, 1 << 20).await;
    let (waiting, ()) = tokio::join!(proxy.send(post("/v1/completions", "{}")), async {
        eventually("the wait", || proxy.owner.was_told(WAITS)).await;
        proxy.owner.refuse(failed());
    });
    let coming = proxy.send(post("/v1/completions", "x".repeat(500_000))).await;
    for response in [waiting, coming] {
        assert_eq!(response.headers()["retry-after"], "30");
        let (status, body) = whole(response).await;
        assert_eq!(status, 503);
        assert!(body.contains("CUDA out of memory; ask for more") && body.contains("engine_exited"), "{body}");
    }
    let (status, body) = proxy.post("/v1/messages", "{}").await;
    assert_eq!(status, 503);
    assert!(
        body.contains(r#"{"error":{"message":"CUDA out of memory; ask for more","type":"overloaded_error"}"#),
        "{body}"
    );
}

#[tokio::test]
async fn who_is_one_too_many_and_who_comes_too_late_is_told() {
    let proxy = Proxy::start(no_engine().await, Mood::Refusing(Refusal::TooManyWaiting { limit: 3 })).await;
    let response = proxy.send(post("/v1/completions", "{}")).await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"5".parse().unwrap()));
    proxy.owner.refuse(Refusal::ShuttingDown);
    assert_eq!(proxy.post("/v1/completions", "{}").await.0, 503);
}
