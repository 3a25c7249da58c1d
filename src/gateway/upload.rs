//! The body of a request that passes straight through to the engine.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::body::BoxError;
use super::error::{Fault, chain};
use super::idle::Idle;

/// How much of what has passed is remembered for sending it once more, in bytes.
const KEPT_LIMIT: usize = 256 * 1024;
/// And in how many frames: each small one may keep a larger buffer alive.
const KEPT_FRAMES: usize = 64;

/// The client's part in a request that could not be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("the client broke off")]
    Broke(#[source] hyper::Error),
    #[error("the client was silent for {} s", limit.as_secs())]
    Stalled { limit: Duration },
}

impl UploadError {
    /// Finds the client's part in what the HTTP client says.
    pub(super) fn find(error: &(dyn std::error::Error + 'static)) -> Option<Fault> {
        chain(error).find_map(|cause| cause.downcast_ref()).map(|error| match error {
            Self::Broke(error) => Fault::UploadBroke { cause: error.to_string() },
            Self::Stalled { limit } => Fault::UploadStalled { limit: *limit },
        })
    }
}

/// A body on its way, of which the first frames are remembered.
#[derive(Debug)]
pub(super) struct Upload {
    ahead: VecDeque<Bytes>,
    /// Nothing once it went back.
    rest: Option<Incoming>,
    idle: Idle,
    idle_limit: Duration,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    back: Option<oneshot::Sender<Passed>>,
}

/// A body that went to a connection which turned out to be dead: what passed, and what did not.
#[derive(Debug)]
pub(super) struct Passed {
    kept: Vec<Bytes>,
    rest: Incoming,
}

impl Upload {
    /// A body, and where it comes back when the connection lets go of it, if all that passed could be remembered.
    pub(super) fn new(body: Incoming, idle_limit: Option<Duration>) -> (Self, oneshot::Receiver<Passed>) {
        let (back, returned) = oneshot::channel();
        (Self::start(VecDeque::new(), body, idle_limit, Some(back)), returned)
    }

    /// The same body once more; it will not come back again.
    pub(super) fn again(passed: Passed, idle_limit: Option<Duration>) -> Self {
        Self::start(passed.kept.into(), passed.rest, idle_limit, None)
    }

    fn start(
        ahead: VecDeque<Bytes>,
        rest: Incoming,
        idle_limit: Option<Duration>,
        back: Option<oneshot::Sender<Passed>>,
    ) -> Self {
        Self {
            ahead,
            rest: Some(rest),
            idle: Idle::new(idle_limit),
            idle_limit: idle_limit.unwrap_or_default(),
            kept: Vec::new(),
            kept_bytes: 0,
            back,
        }
    }

    fn remember(&mut self, frame: &Frame<Bytes>) {
        let Some(back) = &self.back else { return };
        let room = frame.data_ref().filter(|data| {
            !back.is_closed() && self.kept_bytes + data.len() <= KEPT_LIMIT && self.kept.len() < KEPT_FRAMES
        });
        if let Some(data) = room {
            self.kept_bytes += data.len();
            self.kept.push(data.clone());
        } else {
            // Too much, trailers, or an answer that came: nobody will want it back.
            self.back = None;
            self.kept = Vec::new();
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(data) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        match Pin::new(rest).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.moved();
                self.remember(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.back = None;
                Poll::Ready(Some(Err(Box::new(UploadError::Broke(error)))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.idle.poll_expired(cx));
                self.back = None;
                let limit = self.idle_limit;
                Poll::Ready(Some(Err(Box::new(UploadError::Stalled { limit }))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let ahead = self.ahead.iter().map(|data| data.len() as u64).sum::<u64>();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + ahead);
        }
        hint.set_lower(hint.lower() + ahead);
        hint
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(back), Some(rest)) = (self.back.take(), self.rest.take()) {
            // Nobody waits for it where an answer came.
            drop(back.send(Passed { kept: std::mem::take(&mut self.kept), rest }));
        }
    }
}
