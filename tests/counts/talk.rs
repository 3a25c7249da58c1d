//! A client and an engine, both in the test's hands, that wait for each other.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::gateway::{DEADLINE, EngineBody, Feed, event, fed, known, raw_engine};

/// What the client sends: what the SDK of OpenAI does, and little text.
const WORDS: &str = r#""messages":[{"role":"user","content":"What is the answer to everything, and why?"}]}"#;
/// What the engine answers with.
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"test-model","choices":[{"index":0,"message":{"role":"assistant","content":"Nobody knows the question."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17}}"#;
/// A token, as vLLM writes one.
const TOKEN: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"test-model","choices":[{"index":0,"delta":{"content":" everything"},"logprobs":null,"finish_reason":null}]}"#;

/// An engine whose answers are said by whoever holds the other end.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) address: SocketAddr,
    feeds: mpsc::UnboundedReceiver<Feed>,
}

impl Engine {
    /// Listens on a free port.
    pub(crate) async fn start() -> Self {
        let (begun, feeds) = mpsc::unbounded_channel();
        let address = raw_engine(move |stream| {
            let begun = begun.clone();
            async move {
                stream.set_nodelay(true).expect("a socket");
                let service = service_fn(move |request| answer(request, begun.clone()));
                drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
            }
        })
        .await;
        Self { address, feeds }
    }
}

async fn answer(
    request: Request<Incoming>,
    begun: mpsc::UnboundedSender<Feed>,
) -> Result<Response<EngineBody>, hyper::Error> {
    let asked = request.into_body().collect().await?.to_bytes();
    if !asked.starts_with(b"{\"stream\":true") {
        let answer = Response::builder().header("server", "uvicorn").header("content-type", "application/json");
        return Ok(answer.body(known(ANSWER)).expect("an answer"));
    }
    let (feed, body) = fed();
    begun.send(feed).expect("the test goes on");
    let answer = Response::builder().header("server", "uvicorn").header("content-type", "text/event-stream");
    Ok(answer.body(body).expect("an answer"))
}

/// One connection of a client, and the engine that answers it.
#[derive(Debug)]
pub(crate) struct Talk {
    client: SendRequest<Full<Bytes>>,
    engine: Engine,
}

impl Talk {
    /// Connects to the proxy, which stands before this engine.
    pub(crate) async fn start(proxy: &str, engine: Engine) -> Self {
        let stream = TcpStream::connect(proxy).await.expect("the proxy listens");
        stream.set_nodelay(true).expect("a socket");
        let (client, connection) = handshake(TokioIo::new(stream)).await.expect("http");
        tokio::spawn(connection);
        Self { client, engine }
    }

    /// So many small requests, one after the other.
    pub(crate) async fn requests(&mut self, count: u64) {
        for _ in 0..count {
            let answer = self.ask(r#"{"stream":false,"#).await;
            let whole = in_time(answer.into_body().collect()).await.expect("a whole answer").to_bytes();
            assert_eq!(whole, ANSWER);
        }
    }

    /// One answer of so many tokens.
    pub(crate) async fn tokens(&mut self, count: u64) {
        let mut answer = self.ask(r#"{"stream":true,"#).await.into_body();
        let feed = in_time(self.engine.feeds.recv()).await.expect("the engine was asked");
        let token = format!("data: {TOKEN}\n\n");
        for _ in 0..count {
            feed.send(event(TOKEN)).await.expect("the engine speaks");
            let mut read = Vec::new();
            while read.len() < token.len() {
                let frame = in_time(answer.frame()).await.expect("more of it").expect("a whole answer");
                read.extend_from_slice(&frame.into_data().expect("data"));
            }
            assert!(read == token.as_bytes(), "another token: {}", String::from_utf8_lossy(&read));
        }
        drop(feed);
        assert!(in_time(answer.frame()).await.is_none(), "the end");
    }

    async fn ask(&mut self, begin: &str) -> Response<Incoming> {
        let request = Request::post("/v1/chat/completions")
            .header("host", "127.0.0.1")
            .header("accept", "application/json")
            .header("accept-encoding", "gzip, deflate")
            .header("authorization", "Bearer none")
            .header("content-type", "application/json")
            .header("user-agent", "OpenAI/Python 2.8.1");
        let body = Full::from(format!(r#"{begin}"model":"test-model",{WORDS}"#));
        in_time(self.client.ready()).await.expect("the connection stands");
        let answer =
            in_time(self.client.send_request(request.body(body).expect("a request"))).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer
    }
}

async fn in_time<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(DEADLINE, work).await.expect("in time")
}
