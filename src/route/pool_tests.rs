#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::pending;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, spawn};
use tokio::time::timeout;

use super::super::{Answer, EngineAuth, Guide, SendError, Upstream, UpstreamBody, Way};
use crate::host::{Address, Host, LocalHost};

const DEADLINE: Duration = Duration::from_secs(20);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

type Asked = JoinHandle<Result<Response<Answer>, SendError>>;

/// An engine that is played line by line.
struct Engine {
    listener: TcpListener,
    upstream: Arc<Upstream>,
    guide: Guide,
}

fn way_to(port: u16) -> Way {
    let endpoint = Address { host: "127.0.0.1".to_owned(), port }.into();
    Way::Dial { host: Host::Local(LocalHost), endpoint }
}

impl Engine {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = way_to(listener.local_addr().unwrap().port());
        let (upstream, guide) = Upstream::guided(way, EngineAuth::Client);
        Self { listener, upstream, guide }
    }

    async fn accept(&self) -> TcpStream {
        timeout(DEADLINE, self.listener.accept()).await.unwrap().unwrap().0
    }

    /// Serves a request on a new connection, which is idle then.
    async fn serve_anew(&self, asked: Asked) -> TcpStream {
        let mut stream = self.accept().await;
        serve(&mut stream, asked).await;
        stream
    }

    /// Sends a request by a task of its own.
    fn ask(&self, body: UpstreamBody) -> Asked {
        let upstream = Arc::clone(&self.upstream);
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        spawn(async move { upstream.send(request, None).await })
    }
}

fn nothing() -> UpstreamBody {
    UpstreamBody::new(Empty::new().map_err(|never| match never {}))
}

async fn take_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap());
    }
}

/// The whole answer is written, and read, and its connection given back.
async fn answer(stream: &mut TcpStream, asked: Asked) {
    stream.write_all(ANSWER).await.unwrap();
    let body = timeout(DEADLINE, asked).await.unwrap().unwrap().unwrap().into_body();
    assert_eq!(timeout(DEADLINE, body.collect()).await.unwrap().unwrap().to_bytes(), Bytes::from_static(b"ok"));
}

async fn serve(stream: &mut TcpStream, asked: Asked) {
    take_head(stream).await;
    answer(stream, asked).await;
}

async fn is_closed(stream: &mut TcpStream, within: Duration) {
    assert_eq!(timeout(within, stream.read(&mut [0])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn one_connection_carries_one_request_after_the_other() {
    let engine = Engine::start().await;
    let mut stream = engine.serve_anew(engine.ask(nothing())).await;
    serve(&mut stream, engine.ask(nothing())).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_uses_is_closed_again_and_again() {
    let engine = Engine::start().await;
    for _ in 0..2 {
        let mut stream = engine.serve_anew(engine.ask(nothing())).await;
        is_closed(&mut stream, DEADLINE).await;
    }
}

#[tokio::test]
async fn one_that_the_engine_has_closed_carries_nothing_more() {
    let engine = Engine::start().await;
    drop(engine.serve_anew(engine.ask(nothing())).await);
    let upstream = Arc::clone(&engine.upstream);
    let second = spawn(async move {
        match upstream.send(Request::new(nothing()), None).await {
            // It was sent before the end was seen.
            Err(SendError::Broke { reused: true, .. }) => upstream.send_anew(Request::new(nothing())).await,
            sent => sent,
        }
    });
    engine.serve_anew(second).await;
}

#[tokio::test]
async fn one_on_which_a_body_still_goes_up_is_not_idle() {
    let engine = Engine::start().await;
    let endless = StreamBody::new(pending::<Result<Frame<Bytes>, super::BoxError>>());
    let uploading = engine.serve_anew(engine.ask(UpstreamBody::new(endless))).await;
    engine.serve_anew(engine.ask(nothing())).await;
    drop(uploading);
}

#[tokio::test]
async fn one_whose_answer_is_dropped_is_closed() {
    let engine = Engine::start().await;
    let asked = engine.ask(nothing());
    let mut stream = engine.accept().await;
    take_head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no").await.unwrap();
    drop(timeout(DEADLINE, asked).await.unwrap().unwrap().unwrap());
    is_closed(&mut stream, DEADLINE).await;
}

#[tokio::test]
async fn one_that_becomes_idle_serves_who_waits_for_a_new_one() {
    let mut engine = Engine::start().await;
    let first = engine.ask(nothing());
    let mut stream = engine.accept().await;
    take_head(&mut stream).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    engine.guide.leads(way_to(nobody));
    let second = engine.ask(nothing());
    // It dials, in vain, and is told of no other way.
    timeout(DEADLINE, engine.guide.blocked()).await.unwrap();
    answer(&mut stream, first).await;
    serve(&mut stream, second).await;
}

#[tokio::test]
async fn with_the_way_to_the_engine_the_idle_ones_end() {
    let engine = Engine::start().await;
    let mut stream = engine.serve_anew(engine.ask(nothing())).await;
    drop(engine.upstream);
    // Sooner than it would be for its idleness.
    is_closed(&mut stream, Duration::from_secs(2)).await;
}
