//! A keyring in this process's memory, gone with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;

use crate::vault::Item;

/// Shared by its clones.
#[derive(Clone, Debug, Default)]
pub(super) struct Drawer(Arc<Mutex<BTreeMap<Item, SecretString>>>);

impl Drawer {
    pub(super) fn recall(&self, item: &Item) -> Option<SecretString> {
        self.with(|kept| kept.get(item).cloned())
    }

    pub(super) fn remember(&self, item: &Item, secret: &SecretString) {
        self.with(|kept| kept.insert(item.clone(), secret.clone()));
    }

    pub(super) fn forget(&self, item: &Item) -> bool {
        self.with(|kept| kept.remove(item)).is_some()
    }

    pub(super) fn forget_all(&self) -> Vec<Item> {
        self.with(std::mem::take).into_keys().collect()
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Item, SecretString>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
