//! A tiny OpenAI-compatible engine: what the demonstration's job runs, as a process of its own. It is no model.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::engine_text::{Answer, Asking, Form, error, models};
use crate::secret::Key;

/// Between two tokens.
const TOKEN_PAUSE: Duration = Duration::from_millis(25);

/// The largest request, in bytes: nothing is done with it.
const BODY_LIMIT: usize = 8 << 20;

/// What a loading engine says, each line after a pause, in the form of vLLM's own lines.
const LOADING: [(Duration, &str); 5] = [
    (
        Duration::from_millis(100),
        "demo-engine: nothing is loaded; these lines only look like those of an engine that loads",
    ),
    (Duration::from_millis(100), "Loading safetensors checkpoint shards:   0% Completed | 0/2 [00:00<?, ?it/s]"),
    (
        Duration::from_millis(300),
        "Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:00<00:00,  3.33it/s]",
    ),
    (
        Duration::from_millis(300),
        "Loading safetensors checkpoint shards: 100% Completed | 2/2 [00:00<00:00,  3.33it/s]",
    ),
    (Duration::from_millis(200), "demo-engine: ready"),
];

type Body = BoxBody<Bytes, Infallible>;

/// Where it listens, and whom it answers.
#[derive(Debug)]
pub struct EngineArgs {
    /// The address that it binds.
    pub host: IpAddr,
    /// The port.
    pub port: u16,
    /// What a client must show on every route but `/health`; nothing: anybody may ask.
    pub key: Option<Key>,
}

/// An engine that listens.
#[derive(Debug)]
pub struct Engine {
    listener: TcpListener,
    answers: Arc<Answers>,
}

#[derive(Debug)]
struct Answers {
    key: Option<Key>,
    count: AtomicU64,
}

/// What to print while it loads, each line after its pause.
pub fn loading_lines() -> impl Iterator<Item = (Duration, &'static str)> {
    LOADING.into_iter()
}

impl Engine {
    /// Listens.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn listen(args: EngineArgs) -> std::io::Result<Self> {
        let listener = TcpListener::bind((args.host, args.port)).await?;
        Ok(Self { listener, answers: Arc::new(Answers { key: args.key, count: AtomicU64::new(0) }) })
    }

    /// Answers until the process is ended.
    ///
    /// # Errors
    /// No connection can be accepted any more.
    pub async fn run(self) -> std::io::Result<Infallible> {
        let tasks = TaskTracker::new();
        loop {
            let (stream, _) = self.listener.accept().await?;
            drop(stream.set_nodelay(true));
            let answers = Arc::clone(&self.answers);
            tasks.spawn(async move {
                let service = service_fn(move |request| {
                    let answers = Arc::clone(&answers);
                    async move { Ok::<_, Infallible>(answers.answer(request).await) }
                });
                // A client that leaves in the middle is the usual way of cancelling.
                drop(auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
            });
        }
    }
}

impl Answers {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if path == "/health" {
            return whole(StatusCode::OK, &Value::Object(serde_json::Map::new()));
        }
        if !self.lets_in(request.headers()) {
            return whole(
                StatusCode::UNAUTHORIZED,
                &error("the engine's key is missing or wrong", "authentication_error"),
            );
        }
        match (request.method(), path.as_str()) {
            (&Method::GET, "/v1/models") => whole(StatusCode::OK, &models()),
            (&Method::POST, "/v1/chat/completions") => self.infer(Form::Chat, request).await,
            (&Method::POST, "/v1/completions") => self.infer(Form::Text, request).await,
            _ => {
                whole(StatusCode::NOT_FOUND, &error("the demonstration's engine has no such route", "not_found_error"))
            }
        }
    }

    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Some(key) = &self.key else { return true };
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| key.matches(shown))
    }

    async fn infer(&self, form: Form, request: Request<Incoming>) -> Response<Body> {
        let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT).collect().await else {
            return whole(StatusCode::PAYLOAD_TOO_LARGE, &error("the request is too large", "invalid_request_error"));
        };
        let asking: Asking = match serde_json::from_slice(&body.to_bytes()) {
            Ok(asking) => asking,
            Err(fault) => {
                let message = format!("the request is no JSON that is understood here: {fault}");
                return whole(StatusCode::BAD_REQUEST, &error(&message, "invalid_request_error"));
            }
        };
        let answer = Answer::new(form, &asking, self.count.fetch_add(1, Ordering::Relaxed));
        if asking.stream { streamed(&answer) } else { whole(StatusCode::OK, &answer.whole()) }
    }
}

fn whole(status: StatusCode, json: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(json.to_string())).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// Each event after a pause, as a model would take its time.
fn streamed(answer: &Answer) -> Response<Body> {
    let events = stream::unfold(answer.events().into_iter(), |mut events| async move {
        let event = events.next()?;
        tokio::time::sleep(TOKEN_PAUSE).await;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(event))), events))
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(events)));
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-cache"));
    response
}
