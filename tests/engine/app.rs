//! What all requests share: the settings, the counters, the routes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::args::EngineArgs;
use crate::tracked::{OpenRequest, Tracked};
use crate::{dialects, metrics, openai, probe, profile, websocket};

/// The engine's shared state, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    args: EngineArgs,
    api_key: Option<String>,
    loaded_at: Instant,
    counters: Counters,
    leaving: CancellationToken,
}

/// What `/stats` and `/metrics` tell.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Requests whose response is not at its end, `/stats`, `/metrics` and `/health` apart.
    pub(crate) open: AtomicU64,
    /// Requests that were seen to their end.
    pub(crate) finished: AtomicU64,
    /// Requests whose client left before the end.
    pub(crate) aborted: AtomicU64,
    /// Connections accepted.
    pub(crate) connections: AtomicU64,
    /// Times that /health was answered with 200, or would have been.
    pub(crate) healthy: AtomicU64,
    /// Answers that have come to where the engine dies.
    pub(crate) dying: AtomicU64,
    /// Who came, by what the header `x-client` said, and how often.
    pub(crate) seen: Mutex<BTreeMap<String, u64>>,
    /// Who of them left before the end.
    pub(crate) left: Mutex<BTreeMap<String, u64>>,
    /// Profiles begun and ended.
    pub(crate) profiles: AtomicU64,
    /// What `/metrics` shall say is running; below zero: as many as are open.
    pub(crate) set_running: AtomicI64,
}

impl App {
    /// An engine that behaves as `args` say; its key is the one of `args`, or of the environment variable they name.
    pub(crate) fn new(args: EngineArgs) -> Self {
        let api_key =
            args.api_key.clone().or_else(|| args.api_key_env.as_ref().and_then(|name| std::env::var(name).ok()));
        let loaded_at = Instant::now() + args.load_delay;
        let counters = Counters {
            open: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            healthy: AtomicU64::new(0),
            dying: AtomicU64::new(0),
            seen: Mutex::default(),
            left: Mutex::default(),
            profiles: AtomicU64::new(0),
            set_running: AtomicI64::new(-1),
        };
        Self(Arc::new(Inner { args, api_key, loaded_at, counters, leaving: CancellationToken::new() }))
    }

    pub(crate) fn args(&self) -> &EngineArgs {
        &self.0.args
    }

    /// Cancelled to end every stream as if it were whole.
    pub(crate) fn leaving(&self) -> &CancellationToken {
        &self.0.leaving
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// All routes.
    pub(crate) fn router(&self) -> Router {
        let counted = Router::new()
            .route("/v1/models", get(openai::models))
            .route("/v1/chat/completions", post(openai::chat))
            .route("/v1/completions", post(openai::completions))
            .route("/v1/embeddings", post(openai::embeddings))
            .route("/v1/messages", post(dialects::messages))
            .route("/v1/responses", post(dialects::responses))
            .route("/echo", any(probe::echo))
            .route("/echo/{*rest}", any(probe::echo))
            .route("/upload", any(probe::upload))
            .route("/bytes", get(probe::bytes))
            .route("/slow-head", any(probe::slow_head))
            .route("/trailers", any(probe::trailers))
            .route("/ws", get(websocket::echo))
            .layer(from_fn_with_state(self.clone(), count));
        Router::new()
            .route("/health", get(health))
            .route("/start_profile", post(profile::start))
            .route("/stop_profile", post(profile::stop))
            .route("/stats", get(metrics::stats))
            .route("/metrics", get(metrics::metrics))
            .route("/set-running", post(metrics::set_running))
            .merge(counted)
            .fallback(|| async { error(StatusCode::NOT_FOUND, "Not Found") })
            .layer(from_fn_with_state(self.clone(), check_key))
            .with_state(self.clone())
    }
}

/// Why a request is not answered as it wished.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        error(self.status, &self.message)
    }
}

/// An error in OpenAI's form.
pub(crate) fn error(status: StatusCode, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": "test_engine", "param": null, "code": status.as_u16()}});
    (status, Json(body)).into_response()
}

/// Milliseconds since 1970, as the chunks carry them.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

async fn health(State(app): State<App>) -> Response {
    if Instant::now() < app.0.loaded_at {
        return error(StatusCode::SERVICE_UNAVAILABLE, "loading");
    }
    let earlier = app.counters().healthy.fetch_add(1, Ordering::SeqCst);
    if app.args().health_once && earlier > 0 {
        std::future::pending::<()>().await;
    }
    StatusCode::OK.into_response()
}

/// As vLLM has it: the key guards `/v1` and nothing else, only as Bearer.
async fn check_key(State(app): State<App>, request: Request, next: Next) -> Response {
    let guarded = request.uri().path().starts_with("/v1") && request.method() != Method::OPTIONS;
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match &app.0.api_key {
        Some(key) if guarded && given.and_then(|text| text.strip_prefix("Bearer ")) != Some(key) => {
            error(StatusCode::UNAUTHORIZED, "Unauthorized")
        }
        Some(_) | None => next.run(request).await,
    }
}

/// Counts the request as open until its response body ended or was dropped.
async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let client = request.headers().get("x-client").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let open = OpenRequest::new(app, client);
    if let Some(status) = asked_status(&request) {
        return error(status, "as the header x-engine-status asked");
    }
    next.run(request).await.map(|body| axum::body::Body::new(Tracked::new(body, open)))
}

/// A test asks for a failure with the header `x-engine-status: 500`.
fn asked_status(request: &Request) -> Option<StatusCode> {
    request.headers().get("x-engine-status")?.to_str().ok()?.parse().ok()
}

impl Counters {
    /// Counts one more for `client` in one of the two tables.
    pub(crate) fn note(table: &Mutex<BTreeMap<String, u64>>, client: &str) {
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        *table.entry(client.to_owned()).or_default() += 1;
    }

    /// How many requests the engine says it works on.
    pub(crate) fn running(&self) -> u64 {
        let set = self.set_running.load(Ordering::SeqCst);
        u64::try_from(set).unwrap_or_else(|_| self.open.load(Ordering::SeqCst))
    }
}
