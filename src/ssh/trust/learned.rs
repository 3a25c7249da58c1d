//! Keys that were trusted and could not be written down: they are known for as long as this process runs.

use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::PublicKey;

/// Keys that only this process knows, each with the name that it stands for. Cloning it shares them.
#[derive(Clone, Debug, Default)]
pub(in crate::ssh) struct Learned(Arc<Mutex<Vec<(String, PublicKey)>>>);

impl Learned {
    /// Trusts the key under this name.
    pub(super) fn add(&self, name: &str, key: &PublicKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), key.clone()));
    }

    /// The keys of this name.
    pub(super) fn keys_of(&self, name: &str) -> Vec<PublicKey> {
        let learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        learned.iter().filter(|(known, _)| known == name).map(|(_, key)| key.clone()).collect()
    }
}
