//! A profiler as vLLM has one: begun and ended by routes, with a trace for each time.

use std::path::Path;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::app::{App, error};

/// Of the trace that has every byte, as a compressed one does.
const LENGTH: usize = 300_000;

/// `POST /start_profile`. Beginnings are odd numbers.
pub(crate) async fn start(State(app): State<App>) -> Response {
    if app.args().profiler.is_none() {
        return error(StatusCode::NOT_FOUND, "Not Found");
    }
    let count = &app.counters().profiles;
    if count.fetch_or(1, Ordering::SeqCst) % 2 == 1 {
        return error(StatusCode::CONFLICT, "a profile runs already");
    }
    StatusCode::OK.into_response()
}

/// `POST /stop_profile`: answers once the traces are written.
pub(crate) async fn stop(State(app): State<App>) -> Response {
    let count = &app.counters().profiles;
    let (Some(folder), 1) = (app.args().profiler_dir.clone(), count.load(Ordering::SeqCst) % 2) else {
        return error(StatusCode::BAD_REQUEST, "no profile runs");
    };
    let number = count.fetch_add(1, Ordering::SeqCst) / 2;
    match write(&folder, number, app.counters().finished.load(Ordering::SeqCst)) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(fault) => error(StatusCode::INTERNAL_SERVER_ERROR, &fault.to_string()),
    }
}

fn write(folder: &Path, number: u64, finished: u64) -> std::io::Result<()> {
    let trace = json!({ "traceEvents": [{ "name": "finished", "args": { "requests": finished } }] });
    std::fs::write(folder.join(format!("rank0.{number}.pt.trace.json")), trace.to_string())?;
    let every_byte: Vec<u8> = (0..=u8::MAX).cycle().take(LENGTH).collect();
    std::fs::create_dir_all(folder.join("ranks"))?;
    std::fs::write(folder.join(format!("ranks/every byte.{number}")), every_byte)?;
    std::fs::write(folder.join(format!("empty.{number}")), "")
}
