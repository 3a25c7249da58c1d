//! Passphrases and passwords that the system's keyring keeps.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use secrecy::SecretString;

use super::asking::Asking;
use crate::ssh::config::{Target, Way};
use crate::vault::{Item, Vault};

/// What was recalled in this process and turned out wrong, or was never judged: where the keyring will not forget it, it must not be tried on
/// and on, because sites bar whoever fails to log in too often.
static WRONG: Mutex<BTreeSet<Item>> = Mutex::new(BTreeSet::new());

/// What is kept for a key's file.
pub(super) fn passphrase_of(file: &Path) -> Item {
    Item::Passphrase { file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()) }
}

/// What is kept for an account: on the machine that the user calls so and reaches this way, and on no other. Two tunnels
/// may begin at the same port of this machine, and the same address is another machine behind another jump host.
pub(super) fn password_of(target: &Target) -> Item {
    Item::Password { user: target.user.clone(), host: place(target), port: target.port, through: way(target) }
}

fn place(target: &Target) -> String {
    target.host_key_alias.clone().unwrap_or_else(|| target.called())
}

/// The hops, the first one first.
fn way(target: &Target) -> Option<String> {
    match &target.way {
        Way::Direct => None,
        Way::Command(line) => Some(format!("`{line}`")),
        Way::Jump(hop) => {
            let before = way(hop).map(|before| format!("{before}, ")).unwrap_or_default();
            Some(format!("{before}{}@{}:{}", hop.user, place(hop), hop.port))
        }
    }
}

/// What is kept, if anything is and was not found to be wrong.
pub(super) async fn recall(vault: &Vault, item: &Item) -> Option<SecretString> {
    if wrong().contains(item) {
        return None;
    }
    vault.recall(item).await
}

/// Is never recalled again.
pub(super) async fn was_wrong(vault: &Vault, item: Item) {
    tracing::info!(%item, "what the keyring kept is not right any more");
    if let Err(error) = vault.forget(&item).await {
        tracing::debug!(%error, "the keyring does not forget it");
    }
    wrong().insert(item);
}

/// What was recalled and given, and is not judged yet. Where it never is, whyever that may be, it is not recalled again in
/// this process: it may have been right, but it must not be tried on and on.
pub(super) struct OnTrial(Option<Item>);

impl OnTrial {
    pub(super) fn new(item: Item) -> Self {
        Self(Some(item))
    }

    /// The server said yes or no.
    pub(super) fn judged(mut self) {
        self.0 = None;
    }
}

impl Drop for OnTrial {
    fn drop(&mut self) {
        wrong().extend(self.0.take());
    }
}

/// A person's answer was right: it is kept where that is wanted, and is asked for again where it is not. Says which.
pub(super) async fn was_right(vault: &Vault, item: Item, secret: &SecretString, asking: &mut Asking<'_>) -> bool {
    if asking.wants_it_remembered() {
        match vault.remember(&item, secret).await {
            Ok(()) => {
                wrong().remove(&item);
                return true;
            }
            Err(error) => asking.tell(format!("{item} is not remembered: {error}")).await,
        }
    }
    asking.by_person = true;
    false
}

fn wrong() -> std::sync::MutexGuard<'static, BTreeSet<Item>> {
    WRONG.lock().unwrap_or_else(PoisonError::into_inner)
}
