//! Passphrases: what opens a locked key file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::PrivateKey;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::task::TaskTracker;

use super::asking::Asking;
use super::{identity, remembered};
use crate::ssh::SshError;
use crate::ssh::words::printable;
use crate::vault::Vault;

/// How often a passphrase may be typed.
const TRIES: usize = 3;

/// Opens locked key files, each once.
pub(super) struct Unlocking<'a> {
    vault: &'a Vault,
    tasks: &'a TaskTracker,
    /// What came of those that were to be opened.
    opened: BTreeMap<PathBuf, Opened>,
}

/// What came of a locked key file.
#[derive(Clone)]
pub(super) enum Opened {
    Key(Arc<PrivateKey>),
    /// It stays closed; why, in words.
    Closed(String),
}

impl<'a> Unlocking<'a> {
    pub(super) fn new(vault: &'a Vault, tasks: &'a TaskTracker) -> Self {
        Self { vault, tasks, opened: BTreeMap::new() }
    }

    /// Opens a file: by what the keyring keeps, or by what the person says. An empty answer leaves it closed.
    ///
    /// # Errors
    /// The person does not answer.
    pub(super) async fn open(&mut self, file: &Path, asking: &mut Asking<'_>) -> Result<Opened, SshError> {
        if let Some(known) = self.opened.get(file) {
            return Ok(known.clone());
        }
        let opened = self.ask(file, asking).await?;
        self.opened.insert(file.to_owned(), opened.clone());
        Ok(opened)
    }

    async fn ask(&self, file: &Path, asking: &mut Asking<'_>) -> Result<Opened, SshError> {
        let item = remembered::passphrase_of(file);
        if let Some(passphrase) = remembered::recall(self.vault, &item).await {
            match self.attempt(file, passphrase).await {
                Ok(Some(key)) => return Ok(Opened::Key(key)),
                Ok(None) => remembered::was_wrong(self.vault, item.clone()).await,
                Err(problem) => return Ok(Opened::Closed(problem)),
            }
        }
        let name = printable(&file.display().to_string());
        let what = format!("the passphrase of {name}");
        if !asking.may_ask() {
            asking.want(what);
            return Ok(Opened::Closed("it is protected by a passphrase, and nobody is there to type it".to_owned()));
        }
        let text = format!("Enter passphrase for key '{name}': ");
        let mut words = "";
        for _ in 0..TRIES {
            let passphrase = asking.ask_secret(words, text.clone(), &what).await?;
            if passphrase.expose_secret().is_empty() {
                return Ok(Opened::Closed("its passphrase was not typed".to_owned()));
            }
            match self.attempt(file, passphrase.clone()).await {
                Ok(Some(key)) => {
                    remembered::was_right(self.vault, item, &passphrase, asking).await;
                    return Ok(Opened::Key(key));
                }
                Ok(None) => words = "That is not its passphrase, please try again.",
                Err(problem) => return Ok(Opened::Closed(problem)),
            }
        }
        Ok(Opened::Closed("its passphrase was another".to_owned()))
    }

    /// Makes the key of a passphrase, which takes a processor's whole tenths of a second; an error says in words why the
    /// file cannot be read.
    async fn attempt(&self, file: &Path, passphrase: SecretString) -> Result<Option<Arc<PrivateKey>>, String> {
        let file = file.to_owned();
        let opening = self.tasks.spawn_blocking(move || identity::open(&file, &passphrase));
        match opening.await {
            Ok(opened) => opened.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}
