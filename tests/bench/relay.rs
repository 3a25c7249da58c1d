//! Carries TCP connections, and delays what they carry: each piece by the moment it was read, so that the delay takes
//! nothing from how much passes. What it cannot delay is the connecting itself, which is as quick as the network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

/// Read at once.
const PIECE: usize = 256 * 1024;
/// On the way at once, one way of a connection: more than 3 GiB/s at 80 ms.
const ON_THE_WAY: usize = 256 * 1024 * 1024;

/// TCP connections, carried and delayed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 is a free one
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Where to
    #[arg(long, value_name = "IP:PORT")]
    to: SocketAddr,
    /// Each way: half of a round trip
    #[arg(long, value_name = "MILLISECONDS")]
    delay_ms: u64,
}

/// What was read, when it may go on, and its room among what is on the way.
type Piece = (Instant, Bytes, OwnedSemaphorePermit);

pub(crate) async fn run(args: &Args) {
    let listener = TcpListener::bind(args.listen).await.expect("the address is free");
    println!("listening on {}", listener.local_addr().expect("a bound socket"));
    let delay = Duration::from_millis(args.delay_ms);
    loop {
        let (near, _) = listener.accept().await.expect("a connection");
        let to = args.to;
        tokio::spawn(async move {
            let Ok(far) = TcpStream::connect(to).await else { return };
            near.set_nodelay(true).expect("a socket");
            far.set_nodelay(true).expect("a socket");
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::join!(carry(near_in, far_out, delay), carry(far_in, near_out, delay));
        });
    }
}

async fn carry(from: OwnedReadHalf, to: OwnedWriteHalf, delay: Duration) {
    let (pieces, taken) = mpsc::unbounded_channel();
    tokio::join!(take(from, pieces, delay), give(taken, to));
}

async fn take(mut from: OwnedReadHalf, pieces: mpsc::UnboundedSender<Piece>, delay: Duration) {
    let room = Arc::new(Semaphore::new(ON_THE_WAY));
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        // The end is delayed as well: whoever gives knows it by the channel's end, after all pieces.
        let Ok(1..) = from.read_buf(&mut buffer).await else { return };
        let due = Instant::now() + delay;
        let piece = buffer.split().freeze();
        let bytes = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&room).acquire_many_owned(bytes).await else { return };
        if pieces.send((due, piece, permit)).is_err() {
            return;
        }
    }
}

async fn give(mut pieces: mpsc::UnboundedReceiver<Piece>, mut to: OwnedWriteHalf) {
    while let Some((due, piece, _room)) = pieces.recv().await {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
    drop(to.shutdown().await);
}
