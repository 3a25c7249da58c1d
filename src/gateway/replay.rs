//! Sends a body that was taken in, as often as need be.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use super::body::BoxError;
use super::intake::{Store, Taken};

/// What is read from a file at a time, in bytes.
const PIECE: u64 = 64 * 1024;

/// One sending of a body.
#[derive(Debug)]
pub(super) struct Replay {
    taken: Arc<Taken>,
    at: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    trailers_sent: bool,
}

impl Replay {
    pub(super) fn new(taken: Arc<Taken>) -> Self {
        let trailers_sent = taken.trailers.is_none();
        Self { taken, at: 0, reading: None, trailers_sent }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let file = match &self.taken.store {
            Store::Memory(bytes) => return Poll::Ready(Ok(bytes.clone())),
            Store::File(file) => file,
        };
        let (at, piece) = (self.at, PIECE.min(self.taken.len - self.at));
        let reading = self.reading.get_or_insert_with(|| {
            let file = Arc::clone(file);
            spawn_blocking(move || read_at(&file, at, piece))
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        Poll::Ready(read.unwrap_or_else(|stopped| Err(io::Error::other(stopped))))
    }
}

fn read_at(file: &File, at: u64, len: u64) -> io::Result<Bytes> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let mut piece = BytesMut::zeroed(len);
    file.read_exact_at(&mut piece, at)?;
    Ok(piece.freeze())
}

impl Body for Replay {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.at < self.taken.len {
            let data = ready!(self.poll_data(cx))?;
            self.at += data.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if self.trailers_sent {
            return Poll::Ready(None);
        }
        self.trailers_sent = true;
        Poll::Ready(self.taken.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.taken.len && self.trailers_sent
    }

    fn size_hint(&self) -> SizeHint {
        // A length that is known would be announced, and then no trailers could follow.
        match &self.taken.trailers {
            None => SizeHint::with_exact(self.taken.len - self.at),
            Some(_) => SizeHint::default(),
        }
    }
}
