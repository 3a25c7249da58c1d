//! Which requests are open, and which were left by their clients.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::app::{App, Counters};

/// One open request; counted as aborted if it is dropped before `finish`.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    app: App,
    client: Option<String>,
    finished: bool,
}

impl OpenRequest {
    /// Counts one more open request, of `client` if it said who it is.
    pub(crate) fn new(app: App, client: Option<String>) -> Self {
        app.counters().open.fetch_add(1, Ordering::SeqCst);
        if let Some(client) = &client {
            Counters::note(&app.counters().seen, client);
        }
        Self { app, client, finished: false }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let counters = self.app.counters();
        counters.open.fetch_sub(1, Ordering::SeqCst);
        let counter = if self.finished { &counters.finished } else { &counters.aborted };
        counter.fetch_add(1, Ordering::SeqCst);
        if let Some(client) = self.client.as_ref().filter(|_| !self.finished) {
            Counters::note(&counters.left, client);
        }
    }
}

/// A response body that knows whether it was read to its end.
#[derive(Debug)]
pub(crate) struct Tracked {
    body: Body,
    open: Option<OpenRequest>,
}

impl Tracked {
    /// `body`, with the request it answers.
    pub(crate) fn new(body: Body, open: OpenRequest) -> Self {
        let mut tracked = Self { body, open: Some(open) };
        // An empty body is never polled.
        if tracked.body.is_end_stream() {
            tracked.finish();
        }
        tracked
    }

    fn finish(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.finished = true;
        }
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        // A body of known length is not polled again after its last byte.
        if frame.is_none() || self.body.is_end_stream() {
            self.finish();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
