//! What the engine tells of itself.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::{App, error};
use crate::query;

/// `GET /stats`: requests open now, finished, aborted; how often it was well; connections so far; who came and who left; the engine's pid.
pub(crate) async fn stats(State(app): State<App>) -> Json<Value> {
    let counters = app.counters();
    Json(json!({
        "open": counters.open.load(Ordering::SeqCst),
        "finished": counters.finished.load(Ordering::SeqCst),
        "aborted": counters.aborted.load(Ordering::SeqCst),
        "healthy": counters.healthy.load(Ordering::SeqCst),
        "connections": counters.connections.load(Ordering::SeqCst),
        "seen": *counters.seen.lock().unwrap_or_else(PoisonError::into_inner),
        "left": *counters.left.lock().unwrap_or_else(PoisonError::into_inner),
        "pid": std::process::id(),
        "arguments": std::env::args().skip(1).collect::<Vec<_>>(),
        "gpus": std::env::var("CUDA_VISIBLE_DEVICES").ok(),
    }))
}

/// `GET /metrics`, in Prometheus' text form with vLLM's names.
pub(crate) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let model = app.args().model.first().map_or("", String::as_str);
    let running = app.counters().running();
    let text = format!(
        "# HELP vllm:num_requests_running Number of requests in model execution batches.\n\
         # TYPE vllm:num_requests_running gauge\n\
         vllm:num_requests_running{{engine=\"0\",model_name=\"{model}\"}} {running}.0\n\
         # HELP vllm:num_requests_waiting Number of requests waiting to be processed.\n\
         # TYPE vllm:num_requests_waiting gauge\n\
         vllm:num_requests_waiting{{engine=\"0\",model_name=\"{model}\"}} 0.0\n"
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// `POST /set-running?n=N`: what `/metrics` shall say from now on; without `n`, the truth again.
pub(crate) async fn set_running(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let running = match query::value(query.as_deref(), "n").map(str::parse::<i64>) {
        None => -1,
        Some(Ok(n)) => n,
        Some(Err(_)) => return error(StatusCode::BAD_REQUEST, "n is not a number"),
    };
    app.counters().set_running.store(running, Ordering::SeqCst);
    StatusCode::OK.into_response()
}
