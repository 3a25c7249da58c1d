//! The body of an engine's answer, and the connection that it comes on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pool::Lent;

/// The body of an engine's answer. To drop it before its end closes the connection: the engine sees its client leave.
#[derive(Debug)]
pub struct Answer {
    // Dropped first: only then is the connection known to be of no more use, or idle.
    body: Incoming,
    _connection: Lent,
}

impl Answer {
    pub(super) fn new(body: Incoming, connection: Lent) -> Self {
        Self { body, _connection: connection }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
