//! `GET /logs/{id}`: an engine's log, by parts or as it grows.

use bytes::Bytes;
use futures_util::stream::unfold;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, RANGE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::asleep::json;
use super::body::{BoxError, ResponseBody, full};
use super::choose::query;
use super::error::Fault;
use super::manage::NotManaged;
use crate::api::LogPage;
use crate::beside;
use crate::instance::Snapshot;
use crate::launch::{KeptLog, LogFollower, Page};

/// The longest part of a log that is told at once, in bytes.
const PAGE: usize = 256 * 1024;
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// By `Range` as plain text; with `?follow=true` as plain text for as long as it grows, until `no_more` at the latest; else by
/// `?offset=` as JSON with the offset of what comes next.
pub(super) fn answer(
    log: &KeptLog,
    life: watch::Receiver<Snapshot>,
    head: &Parts,
    no_more: &CancellationToken,
) -> Result<Response<ResponseBody>, Fault> {
    let wrong = |what: String| Fault::NotManaged(NotManaged::Wrong(what));
    let offset = match query(&head.uri, "offset") {
        Some(text) => {
            Some(text.parse().map_err(|_| wrong(format!("offset must be a number of bytes, and is '{text}'")))?)
        }
        None => None,
    };
    let follow = match query(&head.uri, "follow").as_deref() {
        None | Some("false" | "0") => false,
        Some("true" | "1" | "") => true,
        Some(other) => return Err(wrong(format!("follow must be true or false, and is '{other}'"))),
    };
    let range = head.headers.get(RANGE);
    match range.and_then(|range| range.to_str().ok()).and_then(from_range) {
        _ if follow && range.is_some() => {
            Err(wrong("a `Range` has an end, and `follow=true` has none: name the beginning by `offset`".to_owned()))
        }
        _ if follow => Ok(followed(LogFollower::new(log, offset.unwrap_or(0)), life, no_more.clone())),
        Some(from) => part(&read(log, from)?),
        None => {
            let asked = offset.unwrap_or(0);
            Ok(json(&of_page(asked, &read(log, asked)?)))
        }
    }
}

fn read(log: &KeptLog, from: u64) -> Result<Page, Fault> {
    beside::the_streams(|| log.page(from, PAGE)).map_err(Fault::Log)
}

fn part(page: &Page) -> Result<Response<ResponseBody>, Fault> {
    if page.text.is_empty() {
        return Err(Fault::NoSuchRange { length: page.end });
    }
    let next = page.offset + page.text.len() as u64;
    let told = format!("bytes {}-{}/{}", page.offset, next - 1, page.end);
    let mut response = Response::new(full(page.text.clone()));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, TEXT);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(told) = HeaderValue::from_str(&told) {
        headers.insert(CONTENT_RANGE, told);
    }
    Ok(response)
}

/// A page ends with a line, unless that one is longer than a page.
fn of_page(asked: u64, page: &Page) -> LogPage {
    let ended = page.text.iter().rposition(|byte| *byte == b'\n').map_or(page.text.len(), |at| at + 1);
    let text = page.text.get(..ended).unwrap_or_default();
    LogPage {
        offset: page.offset,
        next_offset: page.offset + ended as u64,
        end: page.end,
        missed: page.offset.saturating_sub(asked),
        log: String::from_utf8_lossy(text).into_owned(),
    }
}

/// `bytes=N-`, and no other form: a log grows at its end.
fn from_range(range: &str) -> Option<u64> {
    range.trim().strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

fn followed(
    follower: LogFollower,
    life: watch::Receiver<Snapshot>,
    no_more: CancellationToken,
) -> Response<ResponseBody> {
    let pieces = unfold(Some((follower, life)), move |following| {
        let no_more = no_more.clone();
        async move {
            let (mut follower, mut life) = following?;
            match next(&mut follower, &mut life, &no_more).await {
                Ok(None) => None,
                Ok(Some(piece)) => Some((Ok(Frame::data(piece)), Some((follower, life)))),
                Err(error) => Some((Err::<_, BoxError>(Box::new(error)), None)),
            }
        }
    });
    let mut response = Response::new(ResponseBody::new(StreamBody::new(pieces)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, TEXT);
    // A browser would wait for more, to see what it is.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Nothing once the instance is gone, or the proxy ends, and all was told.
async fn next(
    follower: &mut LogFollower,
    life: &mut watch::Receiver<Snapshot>,
    no_more: &CancellationToken,
) -> std::io::Result<Option<Bytes>> {
    let mut over = false;
    loop {
        let piece = follower.more()?;
        if over || !piece.is_empty() {
            return Ok((!piece.is_empty()).then(|| Bytes::from(piece)));
        }
        tokio::select! {
            () = follower.grown() => {}
            () = no_more.cancelled() => over = true,
            () = async { while life.changed().await.is_ok() {} } => over = true,
        }
    }
}
