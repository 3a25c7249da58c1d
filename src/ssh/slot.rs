//! A channel's place on its connection.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit};

/// A place for one channel, until it is dropped; whoever waits for one is told then.
#[derive(Debug)]
pub(super) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
}

impl Slot {
    pub(super) fn new(permit: OwnedSemaphorePermit, freed: Arc<Notify>) -> Self {
        Self { permit: Some(permit), freed }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // First the place, then the word of it.
        self.permit = None;
        self.freed.notify_waiters();
    }
}
