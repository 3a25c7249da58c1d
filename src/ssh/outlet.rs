//! The task's end of a stream: it takes all that arrives, whatever the reader does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::StreamError;
use super::inbox::{Backlog, Inbox, Item};
use super::spool::{Spool, SpoolRules};

/// How much of a stream may wait, and where.
#[derive(Clone, Debug)]
pub(super) struct OutletRules {
    /// How many bytes wait in memory.
    pub(super) memory: usize,
    /// What happens to the rest.
    pub(super) spool: SpoolRules,
}

/// How long what arrives may wait for a reader that is behind, before it goes to disk: one that reads, and whose turn has
/// only not come yet, is quicker than any disk. Meanwhile messages wait in russh's queue for this stream, of which these are
/// a few hundred at the most.
const PATIENCE: Duration = Duration::from_millis(20);

/// The task's end of a stream. What arrives waits in memory up to a bound, then on disk up to another; beyond that the
/// stream fails. Its caller waits for the reader only for a moment, and not again before the reader has caught up.
#[derive(Debug)]
pub(super) struct Outlet {
    /// Without a bound of its own: `backlog` counts the bytes in it, and `rules` bound those.
    items: mpsc::UnboundedSender<Item>,
    backlog: Arc<Backlog>,
    rules: Arc<OutletRules>,
    /// What waits on disk; while it is there, everything goes behind it.
    spool: Option<Box<Spool>>,
    end: End,
}

#[derive(Debug)]
enum End {
    /// More may come.
    Open,
    /// Nothing more comes, and the reader is told once it has what waits on disk.
    Waiting(Result<(), Box<StreamError>>),
    /// The reader was told.
    Told,
}

impl Outlet {
    pub(super) fn new(rules: &Arc<OutletRules>) -> (Self, Inbox) {
        let (items, received) = mpsc::unbounded_channel();
        let backlog = Arc::new(Backlog::default());
        let inbox = Inbox::new(received, Arc::clone(&backlog));
        (Self { items, backlog, rules: Arc::clone(rules), spool: None, end: End::Open }, inbox)
    }

    /// Takes what has arrived.
    ///
    /// # Errors
    /// More waits than may. The reader is told; the caller should end the stream.
    pub(super) async fn push(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if bytes.is_empty() || !matches!(self.end, End::Open) {
            return Ok(());
        }
        if self.must_wait(bytes.len()) {
            // Boxed, as is all that only a slow reader needs: a stream that has none is small.
            Box::pin(self.be_patient()).await;
        }
        if self.items.is_closed() {
            self.forget_spool();
            return Ok(());
        }
        if self.spool.is_none() && self.backlog.held() + bytes.len() <= self.rules.memory {
            self.send(bytes);
            return Ok(());
        }
        self.backlog.want_room(true);
        let spool = self.spool.get_or_insert_with(|| Box::new(Spool::new(self.rules.spool.clone())));
        match Box::pin(spool.append(&bytes)).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Whether there is no room in memory for so many bytes, and no others wait on disk already.
    fn must_wait(&self, length: usize) -> bool {
        self.spool.is_none() && self.backlog.held() + length > self.rules.memory
    }

    /// Waits a moment for room in memory.
    async fn be_patient(&self) {
        self.backlog.want_room(true);
        // Without room in time, it goes to disk.
        let _ = timeout(PATIENCE, self.room()).await;
        self.backlog.want_room(false);
    }

    /// Nothing more comes. Only the first word on it counts.
    pub(super) fn end(&mut self, how: Result<(), StreamError>) {
        if matches!(self.end, End::Open) {
            self.end = End::Waiting(how.map_err(Box::new));
            self.tell();
        }
    }

    /// Whether something waits on disk, and [`Outlet::room`] is worth waiting for.
    pub(super) fn is_spooling(&self) -> bool {
        self.spool.is_some()
    }

    /// Waits until the reader has room for some of what waits, or is gone.
    pub(super) async fn room(&self) {
        while self.backlog.held() > self.rules.memory / 2 && !self.items.is_closed() {
            tokio::select! {
                () = self.backlog.taken() => {}
                () = self.items.closed() => {}
            }
        }
    }

    /// Gives the reader some of what waits on disk.
    ///
    /// # Errors
    /// It cannot be read. The reader is told.
    pub(super) async fn refill(&mut self) -> Result<(), StreamError> {
        if self.items.is_closed() {
            self.forget_spool();
            return Ok(());
        }
        let Some(spool) = &mut self.spool else { return Ok(()) };
        match Box::pin(spool.next()).await {
            Ok(bytes) => {
                let done = spool.is_empty();
                if !bytes.is_empty() {
                    self.send(bytes);
                }
                if done {
                    self.forget_spool();
                    self.tell();
                }
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn send(&self, bytes: Bytes) {
        self.backlog.add(&bytes);
        // A reader that is gone wants nothing.
        let _ = self.items.send(Item::Bytes(bytes));
    }

    fn tell(&mut self) {
        if self.spool.is_some() {
            return;
        }
        match std::mem::replace(&mut self.end, End::Told) {
            End::Waiting(how) => {
                let _ = self.items.send(Item::End(how));
            }
            other @ (End::Open | End::Told) => self.end = other,
        }
    }

    /// What waits on disk is given up: a reader who gets an error in place of it knows that something is missing.
    fn fail(&mut self, error: StreamError) -> StreamError {
        self.forget_spool();
        self.end = End::Waiting(Err(Box::new(error.clone())));
        self.tell();
        error
    }

    fn forget_spool(&mut self) {
        self.spool = None;
        self.backlog.want_room(false);
    }
}

#[cfg(test)]
#[path = "outlet_test.rs"]
mod tests;
