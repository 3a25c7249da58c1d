//! The desktop's keyring, by the Secret Service's D-Bus interface. Every wait is bounded here: the bus, the service behind
//! it, and the dialog in which the desktop asks to unlock it may each be silent for ever.

use std::collections::HashMap;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use secret_service::{EncryptionType, Error, Item as Entry, SecretService};
use tokio::time::{Instant, timeout, timeout_at};

use crate::vault::item::APPLICATION;
use crate::vault::{Item, VaultError};

/// How long all of one call may take beside the dialog.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a person at the desktop has to unlock the keyring.
const DIALOG: Duration = Duration::from_secs(20);
/// The longest text of the service that we repeat, in characters.
const LONGEST_WORDS: usize = 300;
const CONTENT_TYPE: &str = "text/plain; charset=utf8";
/// The attribute of an entry that holds our name of it.
const NAME: &str = "item";

pub(super) async fn recall(item: &Item, name: &str) -> Result<Option<SecretString>, VaultError> {
    let mut clock = Clock::start();
    let service = open(&clock).await?;
    let found = find(&service, attributes(Some(name)), &mut clock).await?;
    let Some(entry) = found.into_iter().next() else { return Ok(None) };
    let bytes = clock.answer(entry.get_secret()).await?;
    item.secret(bytes).map(Some)
}

pub(super) async fn remember(item: &Item, name: &str, secret: &SecretString) -> Result<(), VaultError> {
    let mut clock = Clock::start();
    let service = open(&clock).await?;
    let collection = clock.answer(service.get_default_collection()).await?;
    if clock.answer(collection.is_locked()).await? {
        clock.person(collection.unlock()).await?;
    }
    let label = format!("{APPLICATION}: {item}");
    let secret = secret.expose_secret().as_bytes();
    // `true`: in the place of an older one of the same attributes.
    let creating = collection.create_item(&label, attributes(Some(name)), secret, true, CONTENT_TYPE);
    clock.person(creating).await.map(drop)
}

pub(super) async fn forget(name: &str) -> Result<bool, VaultError> {
    Ok(!forget_found(attributes(Some(name))).await?.is_empty())
}

pub(super) async fn forget_all() -> Result<Vec<Item>, VaultError> {
    let names = forget_found(attributes(None)).await?;
    Ok(names.iter().filter_map(|name| Item::from_name(name)).collect())
}

/// Deletes what has these attributes; the names of what was deleted.
async fn forget_found(attributes: HashMap<&str, &str>) -> Result<Vec<String>, VaultError> {
    let mut clock = Clock::start();
    let service = open(&clock).await?;
    let mut names = Vec::new();
    for entry in find(&service, attributes, &mut clock).await? {
        let mut theirs = clock.answer(entry.get_attributes()).await?;
        clock.person(entry.delete()).await?;
        names.push(theirs.remove(NAME).unwrap_or_default());
    }
    Ok(names)
}

/// Every entry of ours has the first, and one alone has both.
fn attributes(name: Option<&str>) -> HashMap<&str, &str> {
    std::iter::once(("application", APPLICATION)).chain(name.map(|name| (NAME, name))).collect()
}

/// A connection of its own for each call: they are rare, and a bus that was restarted is no trouble. What passes over the
/// bus is encrypted, so that neither the bus nor a trace of it sees a secret.
async fn open(clock: &Clock) -> Result<SecretService<'static>, VaultError> {
    clock.answer(SecretService::connect(EncryptionType::Dh)).await.map_err(|error| match error {
        // Whatever the words: nobody answers as a keyring does.
        VaultError::Refused(_) | VaultError::NoCollection => VaultError::NoKeyring,
        other => other,
    })
}

/// The entries with these attributes, unlocked.
async fn find<'a>(
    service: &'a SecretService<'static>,
    attributes: HashMap<&str, &str>,
    clock: &mut Clock,
) -> Result<Vec<Entry<'a>>, VaultError> {
    let mut found = clock.answer(service.search_items(attributes)).await?;
    if !found.locked.is_empty() {
        let locked: Vec<&Entry<'_>> = found.locked.iter().collect();
        clock.person(service.unlock_all(&locked)).await?;
    }
    found.unlocked.append(&mut found.locked);
    Ok(found.unlocked)
}

/// How long one call may still take.
struct Clock {
    until: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { until: Instant::now() + ANSWER }
    }

    /// A step that a keyring does by itself. Given up by being dropped: its connection ends with it.
    async fn answer<T>(&self, step: impl Future<Output = Result<T, Error>>) -> Result<T, VaultError> {
        timeout_at(self.until, step).await.map_err(|_| VaultError::Silent(ANSWER))?.map_err(told)
    }

    /// A step for which the desktop may ask a person, whose time is not the keyring's.
    async fn person<T>(&mut self, step: impl Future<Output = Result<T, Error>>) -> Result<T, VaultError> {
        let began = Instant::now();
        let done = timeout(DIALOG, step).await.map_err(|_| VaultError::Locked)?;
        self.until += began.elapsed();
        done.map_err(told)
    }
}

/// The service's errors in our words.
fn told(error: Error) -> VaultError {
    match error {
        Error::Unavailable => VaultError::NoKeyring,
        Error::NoResult => VaultError::NoCollection,
        Error::Locked | Error::Prompt | Error::PromptDisconnected => VaultError::Locked,
        // The words of a foreign process: they may be anything.
        other => VaultError::Refused(other.to_string().escape_debug().take(LONGEST_WORDS).collect()),
    }
}
