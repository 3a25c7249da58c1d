//! How much all held bodies together may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bound in bytes that many share.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    used: AtomicU64,
    limit: u64,
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self(Arc::new(Shared { used: AtomicU64::new(0), limit }))
    }

    pub(super) fn limit(&self) -> u64 {
        self.0.limit
    }

    /// A part that is empty so far.
    pub(super) fn reserve(&self) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }
}

impl Reservation {
    /// Takes `more` bytes, if there is room for all of them.
    pub(super) fn grow(&mut self, more: u64) -> bool {
        let Shared { used, limit } = &*self.budget.0;
        let fits = |used: u64| used.checked_add(more).filter(|used| used <= limit);
        let grown = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if grown {
            self.bytes += more;
        }
        grown
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = Budget::new(10);
        let (mut first, mut second) = (budget.reserve(), budget.reserve());
        assert!(first.grow(6) && first.grow(1));
        assert!(!second.grow(4));
        assert!(second.grow(3));
        drop(first);
        assert!(second.grow(7) && !second.grow(1));
        drop(second);
        assert!(budget.reserve().grow(10));
        assert!(!budget.reserve().grow(u64::MAX));
    }
}
