//! A connection that left HTTP behind: bytes in both directions.

use std::io;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::frames::Frames;
use super::idle::Moved;
use super::keys::Stay;

/// What is read at a time, in bytes, in each direction.
const BUFFER: usize = 16 * 1024;
/// How long one side may go on speaking once the other has closed. A WebSocket knows no half-open state, so this is for
/// bytes that are on their way.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Joins both sides until one of them ends, or nothing moves for `idle_limit`. Holds the engine as long.
///
/// In a WebSocket only data moves: a client's library pings by itself, for as long as its program is forgotten.
pub(super) async fn join(
    client: OnUpgrade,
    engine: OnUpgrade,
    stay: Stay,
    websocket: bool,
    idle_limit: Option<Duration>,
) {
    let (client, engine) = match tokio::try_join!(client, engine) {
        Ok(both) => both,
        Err(error) => return tracing::debug!(error = &error as &dyn std::error::Error, "an upgrade came to nothing"),
    };
    let frames = || websocket.then(Frames::default);
    join_both(TokioIo::new(client), TokioIo::new(engine), stay, [frames(), frames()], idle_limit).await;
}

/// The same, where both have changed already; `frames` tell what the client says, and the engine, where that is a WebSocket.
pub(super) async fn join_both(
    client: TokioIo<Upgraded>,
    engine: TokioIo<Upgraded>,
    stay: Stay,
    frames: [Option<Frames>; 2],
    idle_limit: Option<Duration>,
) {
    let moved = Moved::new();
    let (client_out, client_in) = tokio::io::split(client);
    let (engine_out, engine_in) = tokio::io::split(engine);
    let [of_client, of_engine] = frames;
    let to_engine = pump(client_out, engine_in, of_client, &moved);
    let to_client = pump(engine_out, client_in, of_engine, &moved);
    let still = async {
        match idle_limit {
            Some(limit) => moved.still_for(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(to_engine, to_client);
    let ended = tokio::select! {
        ended = &mut to_engine => ended.and_last_words(to_client).await,
        ended = &mut to_client => ended.and_last_words(to_engine).await,
        () = still => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing moved for too long")),
    };
    tracing::debug!(error = ended.err().as_ref().map(|error| error as &dyn std::error::Error), "an upgrade ended");
    drop(stay);
}

trait LastWords {
    async fn and_last_words(self, other: impl Future<Output = Self>) -> Self;
}

impl LastWords for io::Result<()> {
    async fn and_last_words(self, other: impl Future<Output = Self>) -> Self {
        self?;
        tokio::time::timeout(LAST_WORDS, other).await?
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut frames: Option<Frames>,
    moved: &Moved,
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        buffer.clear();
        if from.read_buf(&mut buffer).await? == 0 {
            return to.shutdown().await;
        }
        let counts = frames.as_mut().is_none_or(|frames| frames.walk(&buffer));
        if counts {
            moved.note();
        }
        to.write_all(&buffer).await?;
        to.flush().await?;
        if counts {
            moved.note();
        }
    }
}
