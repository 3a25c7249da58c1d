//! macOS's keychain. Its calls block, and may open a dialog: each runs on a thread of its own, which is left behind when
//! it is not back in time, so that neither a task nor the runtime's end waits for it.

use std::thread;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use security_framework::base::Error;
use security_framework::item::{ItemClass, ItemSearchOptions, Limit};
use security_framework::passwords;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::vault::item::APPLICATION;
use crate::vault::{Item, VaultError};

/// How long a call may take, with the dialog in which macOS asks its user.
const ANSWER: Duration = Duration::from_secs(25);
/// `errSecItemNotFound`.
const NOT_FOUND: i32 = -25300;
/// `errSecUserCanceled`, `errSecAuthFailed`, `errSecInteractionNotAllowed`.
const NOT_OPENED: [i32; 3] = [-128, -25293, -25308];
/// `errSecNotAvailable`, `errSecNoDefaultKeychain`.
const NO_KEYCHAIN: [i32; 2] = [-25291, -25307];
/// How a found entry's attributes call the account, which holds our name of it.
const ACCOUNT: &str = "acct";

pub(super) async fn recall(item: &Item, name: &str) -> Result<Option<SecretString>, VaultError> {
    let name = name.to_owned();
    let Some(bytes) = apart(move || found(passwords::get_generic_password(APPLICATION, &name))).await? else {
        return Ok(None);
    };
    item.secret(bytes).map(Some)
}

pub(super) async fn remember(_item: &Item, name: &str, secret: &SecretString) -> Result<(), VaultError> {
    let (name, secret) = (name.to_owned(), secret.clone());
    apart(move || passwords::set_generic_password(APPLICATION, &name, secret.expose_secret().as_bytes())).await
}

pub(super) async fn forget(name: &str) -> Result<bool, VaultError> {
    let name = name.to_owned();
    apart(move || found(passwords::delete_generic_password(APPLICATION, &name))).await.map(|gone| gone.is_some())
}

pub(super) async fn forget_all() -> Result<Vec<Item>, VaultError> {
    apart(|| {
        let mut forgotten = Vec::new();
        for name in names()? {
            if found(passwords::delete_generic_password(APPLICATION, &name))?.is_some() {
                forgotten.extend(Item::from_name(&name));
            }
        }
        Ok(forgotten)
    })
    .await
}

/// The names of all that is ours.
fn names() -> Result<Vec<String>, Error> {
    let mut search = ItemSearchOptions::new();
    search.class(ItemClass::generic_password()).service(APPLICATION).load_attributes(true).limit(Limit::All);
    let entries = found(search.search())?.unwrap_or_default();
    Ok(entries.iter().filter_map(|entry| entry.simplify_dict()?.remove(ACCOUNT)).collect())
}

fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code() == NOT_FOUND => Ok(None),
        Err(error) => Err(error),
    }
}

async fn apart<T: Send + 'static>(call: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, VaultError> {
    let (answer, answered) = oneshot::channel();
    let started = thread::Builder::new().name("keychain".to_owned()).spawn(move || {
        // Who asked may have given up.
        drop(answer.send(call()));
    });
    started.map_err(|error| VaultError::Refused(error.to_string()))?;
    match timeout(ANSWER, answered).await {
        Err(_) => Err(VaultError::Silent(ANSWER)),
        Ok(Err(_)) => Err(VaultError::NoKeyring),
        Ok(Ok(answer)) => answer.map_err(told),
    }
}

/// The keychain's errors in our words.
fn told(error: Error) -> VaultError {
    match error.code() {
        code if NOT_OPENED.contains(&code) => VaultError::Locked,
        code if NO_KEYCHAIN.contains(&code) => VaultError::NoKeyring,
        _ => VaultError::Refused(error.to_string()),
    }
}
