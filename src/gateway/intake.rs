//! Takes in the body of a request that must wait: a little in memory, more in a file that has no name.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::task::spawn_blocking;

use super::budget::{Budget, Reservation};
use super::error::Fault;
use super::idle::Idle;
use super::scan::{Found, Scanner};

/// What is held of one body in memory, in bytes: more than nearly all requests without images have.
const MEMORY_LIMIT: usize = 256 * 1024;

/// The bounds of held bodies.
#[derive(Clone, Debug)]
pub struct IntakeLimits {
    /// The longest body that is held, in bytes.
    pub per_request: u64,
    /// What all held bodies may have together, in bytes.
    pub in_all: u64,
    /// Where the files are made. They have no name, and are gone with the request.
    pub folder: PathBuf,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self { per_request: GIB, in_all: GIB, folder: std::env::temp_dir() }
    }
}

/// Takes bodies in, within one budget.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    limits: IntakeLimits,
    budget: Budget,
    idle_limit: Option<Duration>,
}

/// A body that was taken in. It can be sent as often as need be.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) store: Store,
    pub(super) len: u64,
    pub(super) trailers: Option<HeaderMap>,
    /// What it says, where it is a JSON object.
    pub(super) found: Option<Found>,
    _room: Reservation,
}

/// Where a body is.
#[derive(Debug)]
pub(super) enum Store {
    Memory(Bytes),
    File(Arc<File>),
}

impl Intake {
    pub(super) fn new(limits: IntakeLimits, idle_limit: Option<Duration>) -> Self {
        let budget = Budget::new(limits.in_all);
        Self { limits, budget, idle_limit }
    }

    /// Takes in the whole of `body`. What is left of it after an error may still be read.
    pub(super) async fn take(&self, body: &mut Incoming) -> Result<Taken, Fault> {
        let too_long = Fault::BodyTooLong { limit: self.limits.per_request };
        if body.size_hint().lower() > self.limits.per_request {
            return Err(too_long);
        }
        let (mut room, mut scanner) = (self.budget.reserve(), Scanner::default());
        let (mut buffer, mut file, mut trailers) = (BytesMut::new(), None, None);
        let (mut len, mut idle) = (0_u64, Idle::new(self.idle_limit));
        while let Some(frame) = self.next_frame(body, &mut idle).await? {
            match frame.into_data() {
                Ok(data) => {
                    len += data.len() as u64;
                    if len > self.limits.per_request {
                        return Err(too_long);
                    }
                    if !room.grow(data.len() as u64) {
                        return Err(Fault::NoRoom { limit: self.budget.limit() });
                    }
                    scanner.feed(&data);
                    // Copied: a frame may be a small part of a large buffer.
                    buffer.extend_from_slice(&data);
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
            if buffer.len() > MEMORY_LIMIT {
                self.spill(&mut file, &mut buffer, len).await.map_err(Fault::Spool)?;
            }
        }
        if file.is_some() && !buffer.is_empty() {
            self.spill(&mut file, &mut buffer, len).await.map_err(Fault::Spool)?;
        }
        let store = file.map_or_else(|| Store::Memory(buffer.freeze()), Store::File);
        Ok(Taken { store, len, trailers, found: scanner.finish(), _room: room })
    }

    async fn next_frame(&self, body: &mut Incoming, idle: &mut Idle) -> Result<Option<Frame<Bytes>>, Fault> {
        let limit = self.idle_limit.unwrap_or_default();
        let frame = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending => idle.poll_expired(cx).map(|()| Some(Err(Fault::UploadStalled { limit }))),
            ready @ Poll::Ready(_) => ready
                .map(|frame| frame.map(|frame| frame.map_err(|error| Fault::UploadBroke { cause: error.to_string() }))),
        })
        .await;
        idle.moved();
        frame.transpose()
    }

    /// Moves the buffer to the end of the file, which `len` bytes will then be long. Nothing more is read meanwhile.
    async fn spill(&self, file: &mut Option<Arc<File>>, buffer: &mut BytesMut, len: u64) -> io::Result<()> {
        let (known, folder) = (file.take(), self.limits.folder.clone());
        let mut bytes = std::mem::take(buffer);
        let at = len - bytes.len() as u64;
        let (written, emptied) = spawn_blocking(move || {
            let file = known.map_or_else(|| tempfile::tempfile_in(folder).map(Arc::new), Ok)?;
            file.write_all_at(&bytes, at)?;
            bytes.clear();
            Ok::<_, io::Error>((file, bytes))
        })
        .await
        .map_err(io::Error::other)??;
        (*file, *buffer) = (Some(written), emptied);
        Ok(())
    }
}
