//! The two ends of a byte stream inside an SSH connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, Join, ReadBuf, join};
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

/// What arrives on a channel: a stream's bytes, or a command's standard output or standard error. An end that the far side
/// told reads as an end; anything else as an error that holds a [`super::StreamError`].
#[derive(Debug)]
pub struct ChannelReader {
    inbox: Inbox,
    _released: Arc<DropGuard>,
}

/// What is sent on a channel: a stream's bytes, or a command's standard input. Shutting it down or dropping it is its end.
#[derive(Debug)]
pub struct ChannelWriter {
    outbox: Outbox,
    _released: Arc<DropGuard>,
}

/// A byte stream inside an SSH connection. Dropping it closes it.
pub type ChannelStream = Join<ChannelReader, ChannelWriter>;

/// Both ends of a stream. When the last is dropped, the guard tells the channel's task that nobody holds it any more.
pub(super) fn stream(inbox: Inbox, outbox: Outbox, released: DropGuard) -> ChannelStream {
    let released = Arc::new(released);
    join(ChannelReader::new(inbox, Arc::clone(&released)), ChannelWriter::new(outbox, released))
}

impl ChannelReader {
    pub(super) fn new(inbox: Inbox, released: Arc<DropGuard>) -> Self {
        Self { inbox, _released: released }
    }
}

impl ChannelWriter {
    pub(super) fn new(outbox: Outbox, released: Arc<DropGuard>) -> Self {
        Self { outbox, _released: released }
    }
}

impl AsyncRead for ChannelReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().inbox.poll_read(cx, buf)
    }
}

impl AsyncWrite for ChannelWriter {
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
