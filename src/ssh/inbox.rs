//! The reader's end of a stream: what has arrived, in order, and how it ended.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;
use tokio::sync::{Notify, mpsc};

use super::StreamError;

/// What a place in the queue costs beside its bytes.
const PLACE: usize = 64;

/// What passes from the stream's task to its reader.
#[derive(Debug)]
pub(super) enum Item {
    Bytes(Bytes),
    /// Boxed, because room for 32 items is kept for every stream, and only the last one of each is this.
    End(Result<(), Box<StreamError>>),
}

/// How much waits in memory: the only thing that the stream's task and its reader share, and no lock.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    held: AtomicUsize,
    /// Whether the reader must say when there is room: something waits for it, here or on disk.
    room_wanted: AtomicBool,
    room: Notify,
}

impl Backlog {
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    pub(super) fn add(&self, bytes: &Bytes) {
        self.held.fetch_add(bytes.len() + PLACE, Ordering::SeqCst);
    }

    pub(super) fn want_room(&self, wanted: bool) {
        self.room_wanted.store(wanted, Ordering::SeqCst);
    }

    /// Waits until the reader takes something; one that was taken since the last call counts.
    pub(super) async fn taken(&self) {
        self.room.notified().await;
    }

    fn take(&self, bytes: &Bytes) {
        self.held.fetch_sub(bytes.len() + PLACE, Ordering::SeqCst);
        if self.room_wanted.load(Ordering::SeqCst) {
            self.room.notify_one();
        }
    }
}

/// The reader's end of a stream.
#[derive(Debug)]
pub(super) struct Inbox {
    items: mpsc::UnboundedReceiver<Item>,
    backlog: Arc<Backlog>,
    current: Bytes,
    end: Option<Result<(), Box<StreamError>>>,
}

impl Inbox {
    /// The queue has no bound of its own: the outlet counts its bytes.
    pub(super) fn new(items: mpsc::UnboundedReceiver<Item>, backlog: Arc<Backlog>) -> Self {
        Self { items, backlog, current: Bytes::new(), end: None }
    }

    /// As [`tokio::io::AsyncRead::poll_read`].
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.current.has_remaining() || buf.remaining() == 0 {
                let length = self.current.len().min(buf.remaining());
                buf.put_slice(&self.current.split_to(length));
                return Poll::Ready(Ok(()));
            }
            if let Some(end) = &self.end {
                return Poll::Ready(end.clone().map_err(|error| io::Error::from(*error)));
            }
            match ready!(self.items.poll_recv(cx)) {
                Some(Item::Bytes(bytes)) => {
                    self.backlog.take(&bytes);
                    self.current = bytes;
                }
                Some(Item::End(end)) => self.end = Some(end),
                None => self.end = Some(Err(Box::new(StreamError::Reset))),
            }
        }
    }
}
