//! What this process knows of servers and no file does, for as long as it runs: keys that were trusted and could not be
//! written down, and which servers were trusted without a question.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::keys::PublicKey;

use super::known_hosts::lookup_name;
use crate::ssh::config::Target;

/// What this process learned of servers. Cloning it shares that.
#[derive(Clone, Debug, Default)]
pub(in crate::ssh) struct Learned(Arc<Mutex<Lessons>>);

#[derive(Debug, Default)]
struct Lessons {
    /// Keys that only this process knows, each with the name that it stands for.
    keys: Vec<(String, PublicKey)>,
    /// The names of servers whose key was taken though nobody had seen it.
    unasked: BTreeSet<String>,
}

impl Learned {
    /// Whether this server's key was taken by this process without a question: it may be anybody's, and must not be given a
    /// password that was kept for the one whom the user means.
    pub(in crate::ssh) fn took_unasked(&self, target: &Target) -> bool {
        self.lessons().unasked.contains(&lookup_name(target))
    }

    /// A person gave this server a password, and had it kept for it.
    pub(in crate::ssh) fn vouched_for(&self, target: &Target) {
        self.lessons().unasked.remove(&lookup_name(target));
    }

    pub(super) fn add_unasked(&self, name: &str) {
        self.lessons().unasked.insert(name.to_owned());
    }

    /// Trusts the key under this name.
    pub(super) fn add(&self, name: &str, key: &PublicKey) {
        self.lessons().keys.push((name.to_owned(), key.clone()));
    }

    /// The keys of this name.
    pub(super) fn keys_of(&self, name: &str) -> Vec<PublicKey> {
        self.lessons().keys.iter().filter(|(known, _)| known == name).map(|(_, key)| key.clone()).collect()
    }

    fn lessons(&self) -> MutexGuard<'_, Lessons> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
