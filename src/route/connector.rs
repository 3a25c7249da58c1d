//! Dials the engine, and notes of each connection what a retry must know.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::link_wait::BoxError;
use super::passage::Passage;
use super::watched::Watched;
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

/// Opens connections by the way of now. Nothing more is read from any of them once it hangs up.
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

    pub(super) async fn dial(&self) -> Result<Wire, BoxError> {
        let dial = self.line.cut.run_until_cancelled(self.passage.dial());
        let stream = dial.await.unwrap_or_else(|| Err(Box::new(self.line.hung_up())))?;
        let (line, heard) = (self.line.clone(), Arc::clone(&self.heard));
        Ok(Wire { stream, answered: Arc::default(), hung_up: Watched::new(&line.cut), line, heard })
    }
}

/// A connection to the engine.
#[derive(Debug)]
pub(super) struct Wire {
    stream: HostStream,
    answered: Arc<AtomicBool>,
    heard: Arc<AtomicBool>,
    line: Line,
    hung_up: Watched,
}

impl Wire {
    /// Whether a byte has come; whoever sends a request sets it back.
    pub(super) fn answered(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.answered)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.hung_up.is_cancelled(cx) {
            return Poll::Ready(Err(self.line.hung_up()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.answered.store(true, Ordering::Relaxed);
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
        Pin::new(&mut self.stream).poll_write(cx, buf)
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
