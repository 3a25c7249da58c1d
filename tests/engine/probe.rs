//! Routes that show what reached the engine, and answer in awkward ways.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Map, Value, json};

use crate::app::error;
use crate::openai::LAST_WORDS;
use crate::query;

/// How much of `/bytes` is made at a time.
const PIECE: u64 = 64 * 1024;

/// `ANY /echo`: the request as it arrived: method, path, query, version, headers in order, body length and FNV-1a.
pub(crate) async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let sum = match Sum::of(body).await {
        Ok(sum) => sum,
        Err(fault) => return error(StatusCode::BAD_REQUEST, &fault.to_string()),
    };
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let values = headers.entry(name.as_str().to_owned()).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(value.into());
        }
    }
    Json(json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "version": format!("{:?}", head.version),
        "headers": headers,
        "body": sum.as_json(),
    }))
    .into_response()
}

/// `ANY /upload`: counts the body as it arrives.
pub(crate) async fn upload(request: Request) -> Response {
    match Sum::of(request.into_body()).await {
        Ok(sum) => Json(sum.as_json()).into_response(),
        Err(fault) => error(StatusCode::BAD_REQUEST, &fault.to_string()),
    }
}

/// `GET /bytes?n=N`: N bytes of a pattern; with `break=M`, broken off after M; with `length=no`, chunked.
pub(crate) async fn bytes(RawQuery(query): RawQuery) -> Response {
    let query = query.as_deref();
    let whole = query::number(query, "n").unwrap_or(0);
    let broken_at = query::number(query, "break");
    let pieces = stream::unfold(0, move |sent| async move {
        let limit = broken_at.unwrap_or(whole).min(whole);
        if sent < limit {
            let piece = pattern(sent, PIECE.min(limit - sent));
            let next = sent + PIECE.min(limit - sent);
            return Some((Ok(piece), next));
        }
        if sent == whole {
            return None;
        }
        tokio::time::sleep(LAST_WORDS).await;
        Some((Err(io::Error::other("broken off, as asked")), whole))
    });
    let mut response = Body::from_stream(pieces).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if query::value(query, "length") != Some("no") {
        response.headers_mut().insert(header::CONTENT_LENGTH, whole.into());
    }
    response
}

/// Bytes `from..from + length` of the endless pattern 0, 1, … 250, 0, … whose period is no power of two.
pub(crate) fn pattern(from: u64, length: u64) -> Bytes {
    (from..from + length).map(|at| u8::try_from(at % 251).unwrap_or_default()).collect()
}

/// `ANY /slow-head?ms=N`: nothing at all for N milliseconds, then 200.
pub(crate) async fn slow_head(RawQuery(query): RawQuery) -> Response {
    let wait = query::number(query.as_deref(), "ms").unwrap_or(1000);
    tokio::time::sleep(Duration::from_millis(wait)).await;
    "at last".into_response()
}

/// `ANY /trailers`: a body with a trailer (for a client that said `TE: trailers`).
pub(crate) async fn trailers() -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-engine-trailer", HeaderValue::from_static("the end"));
    let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"body"))), Ok(Frame::trailers(trailers))];
    let mut response = Body::new(StreamBody::new(stream::iter(frames))).into_response();
    response.headers_mut().insert(header::TRAILER, HeaderValue::from_static("x-engine-trailer"));
    response
}

/// A body's length and FNV-1a (64 bits).
#[derive(Debug)]
pub(crate) struct Sum {
    length: u64,
    fnv: u64,
}

impl Sum {
    /// The sum of nothing.
    pub(crate) fn new() -> Self {
        Self { length: 0, fnv: 0xcbf2_9ce4_8422_2325 }
    }

    /// Takes `bytes` in.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.fnv = bytes.iter().fold(self.fnv, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }

    async fn of(mut body: Body) -> Result<Self, axum::Error> {
        let mut sum = Self::new();
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame?.data_ref() {
                sum.add(data);
            }
        }
        Ok(sum)
    }

    /// `{"length": …, "fnv1a": "…"}`.
    pub(crate) fn as_json(&self) -> Value {
        json!({"length": self.length, "fnv1a": format!("{:016x}", self.fnv)})
    }
}
