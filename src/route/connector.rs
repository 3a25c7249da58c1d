//! Dials the engine, and notes of each connection what a retry must know.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::passage::Passage;
use crate::host::HostStream;

/// Why nothing more is read from an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HungUp {
    /// We end it.
    #[error("the engine is being ended")]
    Ended,
    /// It hangs, and is ended for that.
    #[error("the engine hangs, and is being ended")]
    Hangs,
}

impl HungUp {
    /// Whether this is what an error comes from, and why.
    #[must_use]
    pub fn behind(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            inner.and_then(<dyn std::error::Error + Send + Sync>::downcast_ref::<Self>).copied()
        })
    }
}

/// The end of all that is read from an engine.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    cut: CancellationToken,
    why: Arc<OnceLock<HungUp>>,
}

impl Line {
    pub(super) fn hang_up(&self, why: HungUp) {
        self.why.get_or_init(|| why);
        self.cut.cancel();
    }

    fn hung_up(&self) -> io::Error {
        let why = self.why.get().copied().unwrap_or(HungUp::Ended);
        io::Error::new(io::ErrorKind::ConnectionAborted, why)
    }
}

/// Opens connections by the way of now, whatever the URI says. Nothing more is read from any of them once it hangs up.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    passage: Passage,
    line: Line,
    heard: Arc<AtomicBool>,
}

impl Connector {
    pub(super) fn new(passage: Passage, line: Line) -> Self {
        Self { passage, line, heard: Arc::default() }
    }

    /// Whether anything came in on any of its connections; whoever asks sets it back.
    pub(super) fn heard(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.heard)
    }

    async fn dial(self) -> Result<TokioIo<Wire>, Box<dyn std::error::Error + Send + Sync>> {
        let dial = self.line.cut.run_until_cancelled(self.passage.dial());
        let stream = dial.await.unwrap_or_else(|| Err(Box::new(self.line.hung_up())))?;
        // A token of its own: connections that read at once do not meet at one lock.
        let hung_up = Box::pin(self.line.cut.child_token().cancelled_owned());
        Ok(TokioIo::new(Wire { stream, usage: Usage::new(), line: self.line, hung_up, heard: self.heard }))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().dial())
    }
}

/// What is known of one connection. It travels with the connection and its errors.
#[derive(Clone, Debug)]
pub(super) struct Usage(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    made: Instant,
    heard_since_write: AtomicBool,
}

impl Usage {
    fn new() -> Self {
        Self(Arc::new(Facts { made: Instant::now(), heard_since_write: AtomicBool::new(false) }))
    }

    /// Whether it was there already when a request was sent at that time, and no byte has come since one was written. It may
    /// have carried another; or it was made for one that found another connection free, and was only waiting.
    pub(super) fn was_idle(&self, sent: Instant) -> bool {
        self.0.made < sent && !self.0.heard_since_write.load(Ordering::Relaxed)
    }
}

/// A connection to the engine.
#[derive(Debug)]
pub(super) struct Wire {
    stream: HostStream,
    usage: Usage,
    heard: Arc<AtomicBool>,
    line: Line,
    hung_up: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Wire {
    fn note_written(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.usage.0.heard_since_write.store(false, Ordering::Relaxed);
        }
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.usage.clone())
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.hung_up.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(self.line.hung_up()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.usage.0.heard_since_write.store(true, Ordering::Relaxed);
            // All connections share it: written only when it changes, it costs a token's way a mere look.
            if !self.heard.load(Ordering::Relaxed) {
                self.heard.store(true, Ordering::Relaxed);
            }
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_written(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_was_there_before_the_request_may_have_died_before_it() {
        let before = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        let usage = Usage::new();
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(usage.was_idle(Instant::now()), "also where it has carried nothing yet");
        assert!(!usage.was_idle(before), "it was made for this request");
        usage.0.heard_since_write.store(true, Ordering::Relaxed);
        assert!(!usage.was_idle(Instant::now()), "the engine has answered something");
    }
}
