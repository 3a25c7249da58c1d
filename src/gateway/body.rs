//! The body of an answer: the engine's, untouched, with the permit that it holds.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use super::dialect::Dialect;
use super::error::Cut;
use super::headers::media_type;
use super::idle::Moved;
use super::keys::Stay;
use crate::route::{Answer, HungUp, link_was_lost};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer of the gateway.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is known already.
pub(super) fn full(text: impl Into<Bytes>) -> ResponseBody {
    ResponseBody::new(Full::new(text.into()).map_err(|never| match never {}))
}

/// No body.
pub(super) fn empty() -> ResponseBody {
    ResponseBody::new(Empty::new().map_err(|never| match never {}))
}

/// An engine's answer on its way to the client.
///
/// It holds the permit until the engine's last frame, or until it is dropped because the client left. An answer that
/// breaks off, or in which nothing moves for too long, ends as its kind of client will notice: an event stream with
/// its API's error event, anything else without its last chunk.
#[derive(Debug)]
pub(super) struct ServedBody {
    line: Arc<Line>,
    stream_of: Option<Dialect>,
    /// How long it may be still; none once its end was told.
    idle_limit: Option<Duration>,
    watch: Option<AbortHandle>,
    tasks: TaskTracker,
}

/// The hold on the engine, which the watch may end as well: a client of HTTP/2 that grants no room is given nothing,
/// and then its answer is not even asked for the next frame, so no clock of the answer's own could end it.
#[derive(Debug)]
struct Line {
    moved: Moved,
    // The watch takes it once, at the end: for a frame, the lock is always free.
    live: Mutex<Option<Live>>,
}

#[derive(Debug)]
struct Live {
    body: Answer,
    /// Who is told when the watch ends it.
    waiting: Option<Waker>,
    _stay: Stay,
}

impl Line {
    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        // Whoever panicked with it has left nothing half done that a frame could not show.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn end_once_still(self: Arc<Self>, limit: Duration) {
        self.moved.still_for(limit).await;
        let ended = self.live().take();
        if let Some(waker) = ended.and_then(|live| live.waiting) {
            waker.wake();
        }
    }
}

impl ServedBody {
    /// `headers` are the answer's own, and `idle_limit` how long it may be still. The watch is one of `tasks`.
    pub(super) fn new(
        body: Answer,
        headers: &HeaderMap,
        dialect: Dialect,
        stay: Stay,
        idle_limit: Option<Duration>,
        tasks: TaskTracker,
    ) -> Self {
        let ended = body.is_end_stream();
        let hold = (!ended).then_some(Live { body, waiting: None, _stay: stay });
        let line = Arc::new(Line { moved: Moved::new(), live: Mutex::new(hold) });
        let stream_of = is_plain_event_stream(headers).then_some(dialect);
        Self { line, stream_of, idle_limit: idle_limit.filter(|_| !ended), watch: None, tasks }
    }

    /// The same, watched from now on, and not only once its first piece has passed: whoever takes it may not even ask for that.
    pub(super) fn watched(mut self) -> Self {
        self.watch();
        self
    }

    /// Most answers are whole by their first frame, and for them no task is woken.
    fn watch(&mut self) {
        if let (Some(limit), None) = (self.idle_limit, &self.watch) {
            self.watch = Some(self.tasks.spawn(Arc::clone(&self.line).end_once_still(limit)).abort_handle());
        }
    }

    fn unwatch(&mut self) -> Option<Duration> {
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
        self.idle_limit.take()
    }

    /// Tells the client as well as its answer allows that the engine was let go of.
    fn cut(&mut self, cut: Cut, source: Option<&hyper::Error>) -> Result<Frame<Bytes>, BoxError> {
        tracing::warn!(error = source.map(|error| error as &dyn std::error::Error), "{cut}");
        match self.stream_of.take() {
            Some(dialect) => Ok(Frame::data(dialect.event(&cut.words(&cut.to_string())))),
            None => Err(Box::new(cut)),
        }
    }
}

impl Drop for ServedBody {
    fn drop(&mut self) {
        self.unwatch();
        drop(self.line.live().take());
    }
}

impl Body for ServedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut slot = self.line.live();
        let Some(live) = slot.as_mut() else {
            drop(slot);
            // Once: where the watch is gone, the end has been told.
            let expired = self.unwatch().map(|limit| self.cut(Cut::Idle { limit }, None));
            return Poll::Ready(expired);
        };
        let end = match Pin::new(&mut live.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let more = !live.body.is_end_stream();
                drop(slot);
                self.line.moved.note();
                if more {
                    self.watch();
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Pending => {
                match &mut live.waiting {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => live.waiting = Some(cx.waker().clone()),
                }
                drop(slot);
                self.watch();
                return Poll::Pending;
            }
            Poll::Ready(Some(Err(error))) => Some(error),
            Poll::Ready(None) => None,
        };
        let ended = slot.take();
        drop(slot);
        drop(ended);
        self.unwatch();
        Poll::Ready(end.map(|error| {
            let cut = if let Some(why) = HungUp::behind(&error) {
                Cut::HungUp(why)
            } else if link_was_lost(&error) {
                Cut::LinkLost
            } else {
                Cut::Broke
            };
            self.cut(cut, Some(&error))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.line.live().as_ref().map_or(self.idle_limit.is_none(), |live| live.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let ended = || if self.idle_limit.is_none() { SizeHint::with_exact(0) } else { SizeHint::default() };
        self.line.live().as_ref().map_or_else(ended, |live| live.body.size_hint())
    }
}

/// Whether an event of ours can be written after the answer's own.
fn is_plain_event_stream(headers: &HeaderMap) -> bool {
    media_type(headers).eq_ignore_ascii_case(b"text/event-stream")
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_LENGTH)
}
