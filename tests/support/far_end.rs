//! Servers to dial, which count what becomes of their connections.

#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A byte goes to a server that sends back what it gets, and comes back.
pub(crate) async fn assert_echo(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

/// A server on loopback.
pub(crate) struct FarEnd {
    /// Where it listens.
    pub(crate) port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
    sent: AtomicUsize,
    received: AtomicUsize,
}

#[derive(Clone)]
enum Manner {
    Echo,
    Swallow,
    Source(Arc<[u8]>),
}

impl FarEnd {
    /// Sends back what it gets.
    pub(crate) async fn echo() -> Self {
        Self::start(Manner::Echo).await
    }

    /// Takes all, and counts it.
    pub(crate) async fn swallow() -> Self {
        Self::start(Manner::Swallow).await
    }

    /// Sends so many bytes of `pattern(0, …)`.
    pub(crate) async fn source(length: usize) -> Self {
        Self::start(Manner::Source(pattern(0, length).into())).await
    }

    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        let counting = Arc::clone(&counts);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counting.open.fetch_add(1, Ordering::SeqCst);
                counting.accepted.fetch_add(1, Ordering::SeqCst);
                let (counting, manner) = (Arc::clone(&counting), manner.clone());
                tokio::spawn(async move {
                    serve(stream, &manner, &counting).await;
                    counting.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, counts }
    }

    /// How many connections came.
    pub(crate) fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// How many bytes were sent.
    pub(crate) fn sent(&self) -> usize {
        self.counts.sent.load(Ordering::SeqCst)
    }

    /// How many bytes came.
    pub(crate) fn received(&self) -> usize {
        self.counts.received.load(Ordering::SeqCst)
    }
}

/// Until the other side leaves, in one way or another.
async fn serve(mut stream: TcpStream, manner: &Manner, counts: &Counts) {
    let mut buffer = vec![0; 64 << 10];
    if let Manner::Source(bytes) = manner {
        for piece in bytes.chunks(64 << 10) {
            if stream.write_all(piece).await.is_err() {
                return;
            }
            counts.sent.fetch_add(piece.len(), Ordering::SeqCst);
        }
        let _ = stream.shutdown().await;
    }
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        counts.received.fetch_add(length, Ordering::SeqCst);
        let bytes = buffer.get(..length).unwrap();
        if matches!(manner, Manner::Echo) && stream.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// Bytes that differ at every place, so that none may be lost, doubled or moved.
pub(crate) fn pattern(seed: u32, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32 ^ seed;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(length).collect()
}
