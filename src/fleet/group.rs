//! The replicas of one model together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::replicas::{Bounds, By};
use crate::id::InstanceName;

/// What the replicas of a model have in common.
#[derive(Debug)]
pub struct Group {
    /// What they are called together, which is the first one's name.
    pub name: InstanceName,
    /// By what one of them is chosen.
    pub by: By,
    /// How many there may be.
    pub bounds: Bounds,
    asked: AtomicBool,
}

/// Which of them an instance is.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Of whom.
    pub group: Arc<Group>,
    /// From 1.
    pub number: u16,
}

impl Group {
    /// Nobody has asked for any yet.
    #[must_use]
    pub fn new(name: InstanceName, by: By, bounds: Bounds) -> Self {
        Self { name, by, bounds, asked: AtomicBool::new(false) }
    }

    /// Somebody asks for one of them. Whether that is news.
    pub(super) fn ask(&self) -> bool {
        !self.asked.swap(true, Ordering::Relaxed)
    }

    /// Whether somebody asked since this was last called.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }
}

/// A request's choice of an instance, until that knows of it.
#[derive(Debug)]
pub struct Claim(Arc<AtomicUsize>);

impl Claim {
    pub(super) fn of(claims: &Arc<AtomicUsize>) -> Self {
        claims.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(claims))
    }

    pub(super) fn count(claims: &AtomicUsize) -> usize {
        claims.load(Ordering::Relaxed)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
