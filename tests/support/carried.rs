//! What any way to the engine carries, over a link that comes and goes. The engine takes 100 ms for each token.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::scene::chat;
use super::{Client, Cluster, eventually};

/// Longer than anything here takes on two busy cores.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// An answer is not held back.
pub(crate) async fn tokens_come_one_by_one(client: &Client) {
    let mut stream = client.stream("/v1/chat/completions", &chat(true)).await;
    let mut times = Vec::new();
    while let Some(event) = timeout(LONG, stream.event()).await.expect("in time").expect("a whole stream") {
        if event.contains("\"content\"") {
            times.push(Instant::now());
        }
    }
    assert_eq!(times.len(), 8, "tokens");
    // One each 100 ms.
    let apart = times.windows(2).filter(|pair| matches!(pair, [one, next] if *next - *one > Duration::from_millis(50)));
    assert!(apart.count() >= 6, "{times:?}");
}

/// Bodies of so many bytes, in either direction.
pub(crate) async fn large_bodies_pass(client: &Client, length: usize) {
    // The engine's pattern, whose period is no power of two.
    let pattern: Bytes = (0..length).map(|at| u8::try_from(at % 251).unwrap_or_default()).collect();
    let asked = client.send(Method::PUT, "/upload", pattern.clone());
    let uploaded = timeout(LONG, asked).await.expect("in time").ok();
    assert_eq!(uploaded, json!({"length": length, "fnv1a": format!("{:016x}", fnv1a(&pattern))}));
    let answer = timeout(LONG, client.get(&format!("/bytes?n={length}"))).await.expect("in time");
    assert!(answer.complete && answer.body == pattern, "{} of {length} bytes", answer.body.len());
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A client that leaves is noticed at the other end.
pub(crate) async fn an_abort_reaches_the_engine(client: &Client) {
    let aborted = async || {
        let stats = client.get("/stats").await.ok();
        stats.get("aborted").and_then(Value::as_u64).expect("a number")
    };
    let before = aborted().await;
    let mut body = chat(true);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("max_tokens".to_owned(), Value::from(600));
    }
    let mut stream = client.stream("/v1/chat/completions", &body).await;
    assert!(timeout(LONG, stream.event()).await.expect("in time").is_ok_and(|event| event.is_some()));
    drop(stream);
    let seen = async || (aborted().await == before + 1).then_some(());
    eventually(Duration::from_secs(5), "the engine sees that its client left", seen).await;
}

/// The link between the laptop and the login host goes away for a while, and all that goes over it.
pub(crate) async fn a_cut_is_survived(cluster: &Cluster, client: &Client) {
    cluster.cut();
    let mend = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        cluster.mend();
    };
    let body = chat(false);
    let asked = timeout(LONG, client.post("/v1/chat/completions", &body));
    let (answer, ()) = tokio::join!(asked, mend);
    answer.expect("an answer in time").ok();
    timeout(LONG, client.post("/v1/chat/completions", &body)).await.expect("an answer in time").ok();
}

/// Messages of a WebSocket, small and large, come back as they went.
pub(crate) async fn a_websocket_echoes(client: &Client) {
    let stream = client.dial().await.expect("a connection");
    let opened = timeout(LONG, tokio_tungstenite::client_async("ws://localhost/ws", stream)).await.expect("in time");
    let (mut socket, _) = opened.expect("an upgrade");
    for message in [Message::text("hello"), Message::binary(vec![7; 300_000]), Message::text("again")] {
        socket.send(message.clone()).await.expect("a socket that takes");
        let heard = timeout(LONG, socket.next()).await.expect("in time").expect("a message").expect("a message");
        assert_eq!(heard, message);
    }
    socket.close(None).await.expect("a farewell");
}
