//! What carries the bytes of an SSH connection: TCP, a stream of another connection, or a command.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::io::poll_read_buf;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::connection::Connection;
use super::proxy_command::ProxyCommand;
use super::{ChannelStream, Exec};

/// How many bytes are taken while a write is stuck. The windows of all streams together are more, but hardly ever full.
const READ_AHEAD: usize = 16 << 20;

/// How many of them at once.
const PIECE: usize = 64 << 10;

/// What the bytes go through. Dropping it ends what was made for it.
pub(super) enum Carrier {
    Tcp(TcpStream),
    /// A stream of another connection, which was made for this one.
    Hop {
        stream: ChannelStream,
        _connection: Arc<Connection>,
    },
    Command(ProxyCommand),
    /// A stream of a client that looks after itself.
    Stream(ChannelStream),
    /// The standard streams of a command at the far end of such a client.
    Exec(Exec),
}

/// A carrier that ends when it is told to, and when nothing can be written for too long: russh does neither where a write
/// is stuck, or where whoever wanted the connection has gone in the middle of its beginning. Nor does russh read while a
/// write is stuck, and some of the programs that carry connections do not either: each would wait for the other for ever.
/// So what arrives meanwhile is taken in here.
pub(super) struct Transport {
    carrier: Carrier,
    cut_reading: Pin<Box<WaitForCancellationFutureOwned>>,
    cut_writing: Pin<Box<WaitForCancellationFutureOwned>>,
    /// How long a write may be stuck.
    patience: Duration,
    /// When the one that is stuck has been so for too long.
    too_late: Pin<Box<Sleep>>,
    stuck: bool,
    /// What arrived while a write was stuck.
    ahead: BytesMut,
    /// How it ended, if it did meanwhile.
    ended: Option<io::Result<()>>,
    heard: Arc<AtomicU64>,
}

impl AsyncRead for Carrier {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Hop { stream, .. } | Self::Stream(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Command(command) => Pin::new(&mut command.stdout).poll_read(cx, buf),
            Self::Exec(exec) => Pin::new(&mut exec.stdout).poll_read(cx, buf),
        }
    }
}

impl Carrier {
    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Send + Unpin)> {
        match self {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Hop { stream, .. } | Self::Stream(stream) => Pin::new(stream),
            Self::Command(command) => Pin::new(&mut command.stdin),
            Self::Exec(exec) => Pin::new(&mut exec.stdin),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Hop { stream, .. } | Self::Stream(stream) => stream.is_write_vectored(),
            Self::Command(command) => command.stdin.is_write_vectored(),
            Self::Exec(exec) => exec.stdin.is_write_vectored(),
        }
    }
}

impl Transport {
    pub(super) fn new(carrier: Carrier, cut: &CancellationToken, patience: Duration) -> Self {
        let too_late = Box::pin(sleep(patience));
        let wait = || Box::pin(cut.clone().cancelled_owned());
        Self {
            carrier,
            cut_reading: wait(),
            cut_writing: wait(),
            patience,
            too_late,
            stuck: false,
            ahead: BytesMut::new(),
            ended: None,
            heard: Arc::default(),
        }
    }

    /// How many bytes have arrived so far.
    pub(super) fn heard(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.heard)
    }

    fn count(&self, bytes: usize) {
        self.heard.fetch_add(u64::try_from(bytes).unwrap_or_default(), Ordering::Relaxed);
    }

    fn writable(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.cut_writing.as_mut().poll(cx).is_ready() { Err(dead()) } else { Ok(()) }
    }

    /// Takes what has arrived, and asks to be woken by what is still to arrive. Says whether there was anything.
    ///
    /// A carrier wakes only whoever asked last, which is now the writer in place of a reader that waits. No wake-up is lost,
    /// because both are one task: russh reads and writes in the one loop of its session, in which it polls its reader anew
    /// after each write, and so before it sleeps. That reader is given what was taken here first, and then asks the
    /// carrier again.
    fn read_ahead(&mut self, cx: &mut Context<'_>) -> bool {
        let before = self.ahead.len();
        while self.ended.is_none() && self.ahead.len() < READ_AHEAD {
            self.ahead.reserve(PIECE);
            match poll_read_buf(Pin::new(&mut self.carrier), cx, &mut self.ahead) {
                Poll::Ready(Ok(0)) => self.ended = Some(Ok(())),
                Poll::Ready(Ok(length)) => self.count(length),
                Poll::Ready(Err(error)) => self.ended = Some(Err(error)),
                Poll::Pending => break,
            }
        }
        self.ahead.len() > before
    }

    /// What a write comes to: an error where it has to wait and may not.
    fn written<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stuck = false;
            return result;
        }
        // A server that still says something lives.
        if self.read_ahead(cx) || !self.stuck {
            self.stuck = true;
            // As far away as can be, if the sum is beyond time.
            let limit = Instant::now().checked_add(self.patience).unwrap_or_else(|| self.too_late.deadline());
            self.too_late.as_mut().reset(limit);
        }
        match self.too_late.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(dead())),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn dead() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the server no longer answers")
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.cut_reading.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(dead()));
        }
        if !this.ahead.is_empty() {
            let length = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead.split_to(length));
            if this.ahead.is_empty() {
                // Its memory is for the rare moment only.
                this.ahead = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        match this.ended.take() {
            Some(Ok(())) => {
                this.ended = Some(Ok(()));
                Poll::Ready(Ok(()))
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
            None => {
                let before = buf.filled().len();
                let result = Pin::new(&mut this.carrier).poll_read(cx, buf);
                this.count(buf.filled().len() - before);
                result
            }
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.writable(cx)?;
        let result = this.carrier.writer().poll_write(cx, buf);
        this.written(cx, result)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.writable(cx)?;
        let result = this.carrier.writer().poll_flush(cx);
        this.written(cx, result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.writable(cx)?;
        let result = this.carrier.writer().poll_shutdown(cx);
        this.written(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.writable(cx)?;
        let result = this.carrier.writer().poll_write_vectored(cx, bufs);
        this.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);
    const DEADLINE: Duration = Duration::from_secs(30);

    /// A transport, and its far end.
    async fn pair(cut: &CancellationToken) -> (Transport, TcpStream) {
        pair_with(cut, PATIENCE).await
    }

    async fn pair_with(cut: &CancellationToken, patience: Duration) -> (Transport, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        (Transport::new(Carrier::Tcp(near), cut, patience), far)
    }

    #[tokio::test]
    async fn both_ends_of_a_stuck_transport_end_at_once_when_it_is_cut() {
        let cut = CancellationToken::new();
        let (near, _far) = pair(&cut).await;
        let (mut read, mut write) = tokio::io::split(near);
        let writing = async { while write.write_all(&[7; 8192]).await.is_ok() {} };
        let reading = async { read.read_u8().await.unwrap_err().kind() };
        let cutting = async { cut.cancel() };
        let ((), read, ()) = timeout(PATIENCE / 2, async { tokio::join!(writing, reading, cutting) }).await.unwrap();
        assert_eq!(read, io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_write_that_is_stuck_for_too_long_is_an_error() {
        let (mut near, _far) = pair(&CancellationToken::new()).await;
        let begun = Instant::now();
        let writing = async {
            loop {
                if let Err(error) = near.write_all(&[7; 8192]).await {
                    return error.kind();
                }
            }
        };
        assert_eq!(timeout(DEADLINE, writing).await.unwrap(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= PATIENCE);
    }

    #[tokio::test]
    async fn what_arrives_while_a_write_is_stuck_is_taken_and_read_later() {
        const LENGTH: usize = 12 << 20;
        let sent: Vec<u8> = (0..LENGTH).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let (mut near, mut far) = pair(&CancellationToken::new()).await;
        // The far end reads nothing before all it has to say is taken, and ours does not read while it writes.
        let peer = async {
            far.write_all(&sent).await.unwrap();
            let mut found = vec![0; LENGTH];
            far.read_exact(&mut found).await.unwrap();
            found == sent
        };
        let us = async {
            near.write_all(&sent).await.unwrap();
            let mut found = vec![0; LENGTH];
            near.read_exact(&mut found).await.unwrap();
            found == sent
        };
        assert_eq!(timeout(DEADLINE, async { tokio::join!(peer, us) }).await.unwrap(), (true, true));
        drop(far);
        assert_eq!(near.read(&mut [0; 9]).await.unwrap(), 0);
    }

    /// One end of a connection as russh has it: one task that reads piece by piece, and between two pieces writes what others
    /// hand it, to the end of each write. Returns once as much has come back as was sent.
    async fn like_russh(near: Transport, pieces: usize) -> bool {
        const PIECE: usize = 200_000;
        let (read, mut write) = tokio::io::split(near);
        let (order, mut orders) = tokio::sync::mpsc::channel(4);
        let ordering = tokio::spawn(async move {
            for number in 0..pieces {
                order.send(u8::try_from(number % 251).unwrap()).await.unwrap();
            }
        });
        let next_piece = |mut read: tokio::io::ReadHalf<Transport>, mut piece: Vec<u8>| async move {
            read.read_exact(&mut piece).await.unwrap();
            (read, piece)
        };
        let reading = next_piece(read, vec![0; PIECE]);
        tokio::pin!(reading);
        let (mut found, mut right) = (0, true);
        while found < pieces {
            tokio::select! {
                (read, piece) = &mut reading => {
                    right &= piece.iter().all(|byte| usize::from(*byte) == found % 251);
                    found += 1;
                    reading.set(next_piece(read, piece));
                }
                Some(number) = orders.recv() => write.write_all(&vec![number; PIECE]).await.unwrap(),
            }
        }
        ordering.await.unwrap();
        right
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_wake_up_is_lost_where_both_ends_write_more_than_fits() {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..8 {
            // A busy machine may let any of them wait.
            let (near, mut far) = pair_with(&CancellationToken::new(), DEADLINE).await;
            let heard = near.heard();
            // It says back what it hears, and hears nothing while that is stuck.
            tokio::spawn(async move {
                let (mut from, mut to) = far.split();
                tokio::io::copy(&mut from, &mut to).await
            });
            all.spawn(async move { (like_russh(near, 300).await, heard.load(Ordering::Relaxed)) });
        }
        let all = timeout(DEADLINE, all.join_all()).await.unwrap();
        assert_eq!(all, [(true, 60_000_000); 8]);
    }
}
