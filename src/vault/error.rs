//! Why nothing was kept, recalled or forgotten.

use std::time::Duration;

use crate::vault::Item;

/// What went wrong with the system's keyring; says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// A host without a desktop, most often.
    #[error("no keyring answers here: an SSH agent (`ssh-add`) holds passphrases as well")]
    NoKeyring,
    /// There, but it has no place for new secrets: no desktop session ever opened it.
    #[error(
        "the keyring here was never set up (it has no default collection): log in to the desktop once, or let an SSH agent (`ssh-add`) hold the passphrase"
    )]
    NoCollection,
    /// Its owner did not open it when the desktop asked.
    #[error(
        "the keyring is locked: unlock it on the desktop and try again, or let an SSH agent (`ssh-add`) hold the passphrase"
    )]
    Locked,
    /// Given up.
    #[error("the keyring did not answer within {} s: is a dialog of it open on the desktop?", .0.as_secs())]
    Silent(Duration),
    /// Its name could not be found again.
    #[error("{0} cannot be kept, because its name is not plain text")]
    Unnameable(Item),
    /// Kept by another program or by hand, or broken.
    #[error("what the keyring holds for {0} is not text: remove it there, or run `llm-proxy login --forget`")]
    NotText(Item),
    /// Anything else, in the keyring's own words.
    #[error("the keyring did not do it: {0}")]
    Refused(String),
}
