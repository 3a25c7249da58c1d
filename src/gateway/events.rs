//! `GET /events`: what happens to the instances, as it happens.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio_util::sync::CancellationToken;

use super::body::{BoxError, ResponseBody};
use crate::fleet::{Events, Reader, Told, What};

/// What a client that comes back has seen last (WHATWG HTML, section 9.2.4).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The events from where the client has seen them, until `no_more`; a comment after each quiet time of `keep_alive`.
pub(super) fn stream(
    events: &Events,
    asked: &HeaderMap,
    keep_alive: Option<Duration>,
    no_more: CancellationToken,
) -> Response<ResponseBody> {
    let after = asked.get(LAST_EVENT_ID).map(|id| String::from_utf8_lossy(id.as_bytes()));
    let reader = events.reader(after.as_deref());
    let pieces = unfold((reader, no_more), move |(mut reader, no_more)| async move {
        let piece = next(&mut reader, keep_alive, &no_more).await?;
        Some((Ok::<_, BoxError>(Frame::data(piece)), (reader, no_more)))
    });
    let mut response = Response::new(ResponseBody::new(StreamBody::new(pieces)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Nothing: the stream ends. What happened before the end is told first.
async fn next(reader: &mut Reader, keep_alive: Option<Duration>, no_more: &CancellationToken) -> Option<Bytes> {
    let quiet = async {
        match keep_alive {
            Some(length) => tokio::time::sleep(length).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        told = reader.next() => Some(event(&told)),
        () = no_more.cancelled() => None,
        () = quiet => Some(Bytes::from_static(b": still here\n\n")),
    }
}

/// JSON has no line break that would end the event.
fn event(told: &Told) -> Bytes {
    let (name, data) = match &told.what {
        What::Now(now) => ("now", serde_json::to_string(now)),
        What::Gap(gap) => ("gap", serde_json::to_string(gap)),
        What::State(state) => ("state", serde_json::to_string(state)),
        What::Gone(gone) => ("gone", serde_json::to_string(gone)),
    };
    Bytes::from(format!("id: {}\nevent: {name}\ndata: {}\n\n", told.id, data.unwrap_or_default()))
}
