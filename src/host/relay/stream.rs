//! One connection inside a relay.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use super::carrier::Carrier;

/// A byte stream to the port. Dropping it ends the connection at the far end at once.
#[derive(Debug)]
pub struct RelayStream {
    stream: Compat<yamux::Stream>,
    /// Whether we said that we send no more.
    shut: bool,
    /// The far end goes on for as long as a stream of it does.
    _carrier: Carrier,
}

impl RelayStream {
    pub(super) fn new(stream: yamux::Stream, carrier: Carrier) -> Self {
        Self { stream: stream.compat(), shut: false, _carrier: carrier }
    }
}

impl AsyncRead for RelayStream {
    /// yamux tells a connection that broke off like one that ended: only the state of its stream tells them apart, for a
    /// stream whose far end said that it sends no more is not closed as long as we may send.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining() > 0);
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if room && buf.filled().len() == before && !self.shut && self.stream.get_ref().is_closed() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for RelayStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut = true;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
