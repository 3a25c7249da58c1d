//! Connections that leave HTTP behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use llm_proxy::gateway::Settings;
use llm_proxy::instance::Hold;
use llm_proxy::route::EngineAuth;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::support::*;

/// An engine that echoes, and notes when a client has left.
async fn echoing(left: Arc<AtomicBool>) -> std::net::SocketAddr {
    raw_engine(move |stream| {
        let left = Arc::clone(&left);
        async move {
            let mut socket = tokio_tungstenite::accept_async(stream).await.expect("a handshake");
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.expect("sent");
                }
            }
            left.store(true, Ordering::Relaxed);
        }
    })
    .await
}

async fn start(settings: Settings, mood: Mood) -> (Proxy, Arc<AtomicBool>) {
    let left = Arc::new(AtomicBool::new(false));
    let engine = echoing(Arc::clone(&left)).await;
    (Proxy::with(engine, mood, EngineAuth::Client, settings).await, left)
}

async fn open(proxy: &Proxy) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    let url = format!("ws://localhost:{}/v1/realtime?model=m", proxy.address.port());
    tokio_tungstenite::connect_async(url).await.expect("a handshake").0
}

const RELEASE: Told = Told::Release(Hold::Inference);

#[tokio::test]
async fn a_websocket_speaks_both_ways_and_holds_the_engine() {
    let (proxy, left) = start(Settings::default(), Mood::Ready).await;
    let mut socket = open(&proxy).await;
    for message in [Message::text("hello"), Message::binary(vec![7; 300_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    assert_eq!(proxy.owner.told(), [Told::TryAcquire(Hold::Inference)]);
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    eventually("the engine sees it", || left.load(Ordering::Relaxed)).await;
    eventually("the release", || proxy.owner.was_told(RELEASE)).await;
}

#[tokio::test]
async fn a_websocket_wakes_the_engine() {
    let (proxy, _) = start(Settings::default(), Mood::Asleep).await;
    let (mut socket, ()) = tokio::join!(open(&proxy), async {
        eventually("the wait", || proxy.owner.was_told(Told::Acquire(Hold::Inference))).await;
        proxy.owner.wake();
    });
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
}

#[tokio::test]
async fn a_client_that_vanishes_is_noticed() {
    let (proxy, left) = start(Settings::default(), Mood::Ready).await;
    drop(open(&proxy).await);
    eventually("the engine sees it", || left.load(Ordering::Relaxed)).await;
    eventually("the release", || proxy.owner.was_told(RELEASE)).await;
}

#[tokio::test]
async fn a_websocket_in_which_nothing_moves_is_ended() {
    let settings = Settings { idle_timeout: Some(Duration::from_millis(400)), ..Settings::default() };
    let (proxy, left) = start(settings, Mood::Ready).await;
    let mut socket = open(&proxy).await;
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    let end = tokio::time::timeout(DEADLINE, socket.next()).await.expect("an end in time");
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    eventually("the engine sees it", || left.load(Ordering::Relaxed)).await;
    eventually("the release", || proxy.owner.was_told(RELEASE)).await;
}

#[tokio::test]
async fn the_end_of_all_ends_websockets_and_the_end_of_admission_does_not() {
    let (proxy, left) = start(Settings::default(), Mood::Ready).await;
    let mut socket = open(&proxy).await;
    proxy.lifetime.no_more.cancel();
    proxy.lifetime.tasks.close();
    socket.send(Message::text("still")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still"));
    proxy.lifetime.end_all.cancel();
    tokio::time::timeout(DEADLINE, proxy.lifetime.tasks.wait()).await.expect("all tasks end");
    eventually("the engine sees it", || left.load(Ordering::Relaxed)).await;
}

#[tokio::test]
async fn an_engine_that_declines_is_heard() {
    let proxy = Proxy::start(echo_engine().await, Mood::Ready).await;
    let mut client = proxy.connect().await;
    let head = "GET /v1/realtime HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n";
    write(&mut client, head).await;
    let answer = read_head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let mut body = [0; 64];
    tokio::io::AsyncReadExt::read_exact(&mut client, &mut body).await.unwrap();
    eventually("the release", || proxy.owner.was_told(RELEASE)).await;
}

#[tokio::test]
async fn pings_do_not_keep_a_websocket() {
    let settings = Settings { idle_timeout: Some(Duration::from_millis(600)), ..Settings::default() };
    let (proxy, _) = start(settings, Mood::Ready).await;
    let mut socket = open(&proxy).await;
    let pinging = async {
        while socket.send(Message::Ping("still here".into())).await.is_ok()
            && matches!(socket.next().await, Some(Ok(Message::Pong(_))))
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, pinging).await.expect("an end in time");
    eventually("the release", || proxy.owner.was_told(RELEASE)).await;
}

#[tokio::test]
async fn data_keeps_a_websocket() {
    let settings = Settings { idle_timeout: Some(Duration::from_millis(600)), ..Settings::default() };
    let (proxy, _) = start(settings, Mood::Ready).await;
    let mut socket = open(&proxy).await;
    let start = tokio::time::Instant::now();
    while start.elapsed() < Duration::from_millis(1500) {
        socket.send(Message::text("word")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("word"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
