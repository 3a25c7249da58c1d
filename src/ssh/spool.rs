//! Bytes that wait on disk for a slow reader, in files without a name.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio_util::task::TaskTracker;

use super::StreamError;

/// How many bytes are written or read at once.
const CHUNK: usize = 64 * 1024;

/// How large one file grows. A file that was read to its end is given back, so that a long stream with a steadily slow
/// reader needs only as much disk as waits.
const SEGMENT: u64 = 16 << 20;

/// What all streams of a client may keep on disk together.
#[derive(Debug)]
pub(super) struct DiskBudget {
    used: AtomicU64,
    limit: u64,
}

impl DiskBudget {
    pub(super) fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }

    fn take(&self, bytes: u64) -> bool {
        let taken = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// How streams may use the disk.
#[derive(Clone, Debug)]
pub(super) struct SpoolRules {
    /// How many bytes of one stream may wait.
    pub(super) bound: u64,
    /// Where; `None` is the system's folder for temporary files.
    pub(super) dir: Option<PathBuf>,
    /// What all streams share.
    pub(super) budget: Arc<DiskBudget>,
    /// Owns the threads that touch the disk.
    pub(super) tasks: TaskTracker,
}

/// A queue of bytes on disk.
#[derive(Debug)]
pub(super) struct Spool {
    rules: SpoolRules,
    segments: VecDeque<Segment>,
    /// The newest bytes, not worth a write yet.
    tail: BytesMut,
    waiting: u64,
}

#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    written: u64,
    read: u64,
    budget: Arc<DiskBudget>,
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.budget.give_back(self.written);
    }
}

impl Spool {
    pub(super) fn new(rules: SpoolRules) -> Self {
        Self { rules, segments: VecDeque::new(), tail: BytesMut::new(), waiting: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Puts bytes behind all others.
    ///
    /// # Errors
    /// More would wait than may, or the disk cannot take them.
    pub(super) async fn append(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let more = bytes.len() as u64;
        if self.waiting + more > self.rules.bound {
            return Err(StreamError::TooSlow { bound: self.rules.bound });
        }
        self.waiting += more;
        self.tail.extend_from_slice(bytes);
        if self.tail.len() >= CHUNK { self.write_tail().await } else { Ok(()) }
    }

    /// Takes the oldest bytes; nothing where none wait.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub(super) async fn next(&mut self) -> Result<Bytes, StreamError> {
        let Some(segment) = self.segments.front_mut().filter(|segment| segment.read < segment.written) else {
            let bytes = self.tail.split().freeze();
            self.waiting -= bytes.len() as u64;
            return Ok(bytes);
        };
        let length = (segment.written - segment.read).min(CHUNK as u64);
        let (file, at) = (Arc::clone(&segment.file), segment.read);
        let read = move || {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(CHUNK)];
            file.read_exact_at(&mut bytes, at).map(|()| Bytes::from(bytes))
        };
        let bytes = on_disk(&self.rules.tasks, read).await?;
        segment.read += length;
        self.waiting -= length;
        if segment.read == segment.written {
            self.segments.pop_front();
        }
        Ok(bytes)
    }

    async fn write_tail(&mut self) -> Result<(), StreamError> {
        let bytes = self.tail.split().freeze();
        let length = bytes.len() as u64;
        if !self.rules.budget.take(length) {
            return Err(StreamError::TooSlow { bound: self.rules.budget.limit });
        }
        let last = self.segments.back_mut().filter(|segment| segment.written < SEGMENT);
        let (file, at) = last.map_or((None, 0), |segment| (Some(Arc::clone(&segment.file)), segment.written));
        let dir = self.rules.dir.clone();
        let is_new = file.is_none();
        let write = move || {
            let file = match (file, dir) {
                (Some(file), _) => file,
                (None, Some(dir)) => Arc::new(tempfile::tempfile_in(dir)?),
                (None, None) => Arc::new(tempfile::tempfile()?),
            };
            file.write_all_at(&bytes, at).map(|()| file)
        };
        let file = match on_disk(&self.rules.tasks, write).await {
            Ok(file) => file,
            Err(error) => {
                self.rules.budget.give_back(length);
                return Err(error);
            }
        };
        if is_new {
            let budget = Arc::clone(&self.rules.budget);
            self.segments.push_back(Segment { file, written: length, read: 0, budget });
        } else if let Some(segment) = self.segments.back_mut() {
            segment.written += length;
        }
        Ok(())
    }
}

async fn on_disk<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StreamError> {
    let result = tasks.spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    result.map_err(|error| StreamError::Spool(Arc::new(error)))
}

#[cfg(test)]
#[path = "spool_test.rs"]
mod tests;
