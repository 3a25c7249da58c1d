//! The engine of the benchmarks: it does next to nothing, as cheaply as it can, so that what is measured is the way to it.
//!
//! Each token carries `"at"`, the moment it was written by `CLOCK_MONOTONIC`, for `bench-driver` to compare with its own.
#![expect(clippy::expect_used, reason = "an engine that cannot go on may as well end")]
#![expect(clippy::print_stdout, reason = "it tells where it listens")]

mod answer;
mod machine;

use std::convert::Infallible;
use std::net::SocketAddr;

use answer::{Answer, Tokens};
use bytes::Bytes;
use clap::Parser;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{TcpSocket, TcpStream};

/// Thousands of clients may come in one moment.
const BACKLOG: u32 = 4096;
const MODELS: &[u8] = br#"{"object":"list","data":[{"id":"bench","object":"model","created":1,"owned_by":"bench"}]}"#;
const WHOLE: &[u8] = br#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"Nobody knows."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17}}"#;

/// An engine that costs next to nothing.
#[derive(Debug, Parser)]
#[command(name = "bench-engine")]
struct Args {
    /// Where to listen; port 0 is a free one.
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
}

/// What of a chat's request matters here.
#[derive(Debug, Deserialize)]
struct Chat {
    #[serde(default)]
    stream: bool,
    #[serde(default = "one")]
    max_tokens: u64,
    /// Between two tokens.
    #[serde(default)]
    pause_us: u64,
    /// After so many tokens the connection breaks.
    break_after: Option<u64>,
}

fn one() -> u64 {
    1
}

// One thread: it takes least from whoever shares the machine with it.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args = Args::parse();
    machine::raise_descriptors();
    let socket = if args.listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.expect("a socket");
    socket.set_reuseaddr(true).expect("a socket");
    socket.bind(args.listen).expect("the address is free");
    let listener = socket.listen(BACKLOG).expect("a bound socket");
    println!("listening on {}", listener.local_addr().expect("a bound socket"));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(serve(stream));
    }
}

async fn serve(stream: TcpStream) {
    stream.set_nodelay(true).expect("a socket");
    let mut server = http1::Builder::new();
    // A client that has said all, such as `ssh -W` at the end of its input, still waits for the answer.
    server.half_close(true);
    // A client that leaves is nothing to tell.
    drop(server.serve_connection(TokioIo::new(stream), service_fn(answer)).await);
}

async fn answer(request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let answered = match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => json(Bytes::new()),
        (&Method::GET, "/v1/models") => json(Bytes::from_static(MODELS)),
        (&Method::POST, "/v1/chat/completions") => chat(request).await,
        (&Method::POST, "/v1/bulk") => swallow(request).await,
        (&Method::GET, "/v1/bulk") => zeros(request.uri().query()),
        _ => failed(StatusCode::NOT_FOUND),
    };
    Ok(answered)
}

fn json(body: Bytes) -> Response<Answer> {
    Response::builder().header("content-type", "application/json").body(Answer::Whole(Some(body))).expect("a response")
}

fn failed(status: StatusCode) -> Response<Answer> {
    Response::builder().status(status).body(Answer::Whole(None)).expect("a response")
}

async fn chat(request: Request<Incoming>) -> Response<Answer> {
    let Ok(body) = request.into_body().collect().await else { return failed(StatusCode::BAD_REQUEST) };
    let Ok(chat) = serde_json::from_slice::<Chat>(&body.to_bytes()) else { return failed(StatusCode::BAD_REQUEST) };
    if !chat.stream {
        return json(Bytes::from_static(WHOLE));
    }
    let tokens = Tokens::new(chat.max_tokens, chat.pause_us, chat.break_after);
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Answer::Tokens(Box::new(tokens)))
        .expect("a response")
}

async fn swallow(request: Request<Incoming>) -> Response<Answer> {
    let mut body = request.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return failed(StatusCode::BAD_REQUEST) };
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    json(Bytes::from(format!("{{\"bytes\":{bytes}}}")))
}

fn zeros(query: Option<&str>) -> Response<Answer> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let bytes = pairs.filter(|(name, _)| name == "bytes").find_map(|(_, value)| value.parse().ok());
    bytes.map_or_else(|| failed(StatusCode::BAD_REQUEST), |left| Response::new(Answer::Zeros { left }))
}
