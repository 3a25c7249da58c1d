//! A byte stream inside an SSH connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::{DropGuard, PollSender};

use super::inbox::Inbox;

/// How many bytes are handed over at once: as many as OpenSSH takes in one packet.
const CHUNK: usize = 32 * 1024;

/// How many such pieces wait to be sent. The far end's window is beyond them; both make a fast writer wait.
const PIECES: usize = 4;

/// The writer's end of a stream. What it has taken is sent even if it is dropped at once, as with a socket.
#[derive(Debug)]
pub(super) struct Outbox {
    pieces: PollSender<Bytes>,
}

impl Outbox {
    /// Also returns where the pieces come out; their end is the end of the data.
    pub(super) fn new() -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(PIECES);
        (Self { pieces: PollSender::new(sender) }, receiver)
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let closed = || io::Error::new(io::ErrorKind::BrokenPipe, "the stream is closed");
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.pieces.poll_reserve(cx)).map_err(|_| closed())?;
        let piece = Bytes::copy_from_slice(buf.get(..CHUNK).unwrap_or(buf));
        let length = piece.len();
        self.pieces.send_item(piece).map_err(|_| closed())?;
        Poll::Ready(Ok(length))
    }

    /// Tells the far end that nothing more comes, once what was written is sent.
    pub(super) fn finish(&mut self) {
        self.pieces.close();
    }
}

/// A byte stream inside an SSH connection. An end that the far side told reads as an end; anything else as an error that
/// holds a [`super::StreamError`]. Dropping it closes it.
#[derive(Debug)]
pub struct ChannelStream {
    inbox: Inbox,
    outbox: Outbox,
    /// Tells the channel's task that nobody holds the stream any more.
    _released: DropGuard,
}

impl ChannelStream {
    pub(super) fn new(inbox: Inbox, outbox: Outbox, released: DropGuard) -> Self {
        Self { inbox, outbox, _released: released }
    }
}

impl AsyncRead for ChannelStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().inbox.poll_read(cx, buf)
    }
}

impl AsyncWrite for ChannelStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().outbox.poll_write(cx, buf)
    }

    /// What was written is on its way by itself.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().outbox.finish();
        Poll::Ready(Ok(()))
    }
}
