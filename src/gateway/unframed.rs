//! An answer to a client of HTTP/1.0, whose end is that of its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::body::{BoxError, ResponseBody};

/// A body of unknown length that resets its connection where it ends before its time: an orderly close would make it
/// look whole.
#[derive(Debug)]
pub(super) struct Unframed {
    body: ResponseBody,
    stream: Arc<TcpStream>,
    whole: bool,
}

impl Unframed {
    pub(super) fn new(body: ResponseBody, stream: Arc<TcpStream>) -> Self {
        Self { body, stream, whole: false }
    }
}

impl Drop for Unframed {
    fn drop(&mut self) {
        if self.whole {
            return;
        }
        if let Err(error) = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection cannot be reset");
        }
    }
}

impl Body for Unframed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.whole = frame.is_none();
        Poll::Ready(frame)
    }

    // Said only once it is known to be whole: so the end is always asked for.
    fn is_end_stream(&self) -> bool {
        self.whole
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
