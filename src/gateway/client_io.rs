//! A client's connection, which may not stand still for ever.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::idle::Idle;

/// A client's socket. It fails where the client reads nothing for too long: then its answer is dropped, and with it the
/// hold on the engine. An answer that nobody reads is not even asked for its next frame.
///
/// The socket is shared with those who only look at it. Its place among the connections is given back with it, which
/// after an upgrade is later than HTTP ends.
#[derive(Debug)]
pub(super) struct ClientIo {
    stream: Arc<TcpStream>,
    stall: Idle,
    stalled: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl ClientIo {
    /// `stall` is how long the client may read nothing.
    pub(super) fn new(stream: Arc<TcpStream>, stall: Option<Duration>, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { stream, stall: Idle::new(stall), stalled: false, _place: place }
    }

    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.stream.poll_write_ready(cx)?.is_pending() {
                return self.watch(cx, Poll::Pending);
            }
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return self.watch(cx, Poll::Ready(written)),
            }
        }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        if !self.stalled {
            self.stalled = true;
            self.stall.moved();
        }
        self.stall.poll_expired(cx).map(|()| Err(timed_out("the client reads nothing")))
    }
}

/// Reads once. What leaves room has taken all there was: it is noted that there is nothing more, so that nobody asks the
/// system in vain. Where polling tells of changes alone, as it does here, what comes meanwhile is a change.
fn read(stream: &TcpStream, buf: &mut ReadBuf<'_>) -> io::Result<()> {
    let mut drained = false;
    let read = stream.try_io(Interest::READABLE, || {
        let bytes = stream.try_read_buf(buf)?;
        drained = 0 < bytes && 0 < buf.remaining();
        if drained { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    if drained { Ok(()) } else { read }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match read(&self.stream, buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_written(cx, |stream| stream.try_write(buf))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match SockRef::from(&*self.stream).shutdown(Shutdown::Write) {
            // The client was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            shut => shut,
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_written(cx, |stream| stream.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
