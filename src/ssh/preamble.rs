//! What a server says before SSH begins.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::words::printable;

/// How many bytes are kept.
const KEPT: usize = 512;

/// The first bytes that a server sent. russh passes over lines before the SSH greeting, and they hold the only words of a
/// server that turns us away ("Not allowed at this time").
#[derive(Clone, Debug, Default)]
pub(super) struct FirstWords(Arc<Mutex<Vec<u8>>>);

impl FirstWords {
    /// The words before the greeting, fit to be shown; `None` once the server has greeted.
    pub(super) fn before_greeting(&self) -> Option<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        let greeted = text.lines().any(|line| line.starts_with("SSH-"));
        (!greeted).then(|| printable(&text))
    }

    /// Keeps the beginning; returns whether there is room for more.
    fn keep(&self, bytes: &[u8]) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(bytes.iter().take(room));
        kept.len() < KEPT
    }
}

/// A stream whose first bytes are kept aside.
#[derive(Debug)]
pub(super) struct Preamble<S> {
    stream: S,
    /// `None` once enough is kept, so that the rest of the connection pays nothing for this.
    words: Option<FirstWords>,
}

impl<S> Preamble<S> {
    pub(super) fn new(stream: S) -> (Self, FirstWords) {
        let words = FirstWords::default();
        (Self { stream, words: Some(words.clone()) }, words)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Preamble<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        if let Some(words) = &this.words
            && !words.keep(buf.filled().get(before..).unwrap_or_default())
        {
            this.words = None;
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Preamble<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
