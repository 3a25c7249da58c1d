//! The one door to what is kept.

use secrecy::SecretString;

use crate::vault::drawer::Drawer;
use crate::vault::{Item, VaultError};

#[cfg(target_os = "macos")]
use crate::vault::keychain as system;
#[cfg(not(target_os = "macos"))]
use crate::vault::secret_service as system;

/// Where passphrases and passwords are kept, if the user asked for it. Each call ends within a bound: 5 s for a keyring
/// that does not answer, 20 s more where its owner is asked on the desktop to unlock it.
#[derive(Clone, Debug)]
pub struct Vault(Store);

#[derive(Clone, Debug)]
enum Store {
    None,
    System,
    Memory(Drawer),
}

impl Vault {
    /// The keyring of this user's session. Is asked only when something is recalled, remembered or forgotten.
    #[must_use]
    pub fn system() -> Self {
        Self(Store::System)
    }

    /// Keeps nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(Store::None)
    }

    /// Keeps until this vault and its clones are dropped.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(Store::Memory(Drawer::default()))
    }

    /// What was kept, or nothing: a keyring that fails must not keep anybody from typing.
    pub async fn recall(&self, item: &Item) -> Option<SecretString> {
        let recalled = match &self.0 {
            Store::None => Ok(None),
            Store::System => match item.name() {
                Some(name) => system::recall(item, &name).await,
                None => Ok(None),
            },
            Store::Memory(drawer) => Ok(drawer.recall(item)),
        };
        recalled.unwrap_or_else(|error| {
            tracing::debug!(%error, %item, "the keyring was no help");
            None
        })
    }

    /// Keeps it, in the place of what was kept before. Only where the user asked for it.
    ///
    /// # Errors
    /// There is no keyring here, or it did not do it.
    pub async fn remember(&self, item: &Item, secret: &SecretString) -> Result<(), VaultError> {
        match &self.0 {
            Store::None => Err(VaultError::NoKeyring),
            Store::System => {
                let name = item.name().ok_or_else(|| VaultError::Unnameable(item.clone()))?;
                system::remember(item, &name, secret).await
            }
            Store::Memory(drawer) => {
                drawer.remember(item, secret);
                Ok(())
            }
        }
    }

    /// Forgets one, which is due when a server or a key's file did not accept it; says whether it was kept.
    ///
    /// # Errors
    /// There is no keyring here, or it did not do it.
    pub async fn forget(&self, item: &Item) -> Result<bool, VaultError> {
        match &self.0 {
            Store::None => Ok(false),
            Store::System => match item.name() {
                Some(name) => system::forget(&name).await,
                None => Ok(false),
            },
            Store::Memory(drawer) => Ok(drawer.forget(item)),
        }
    }

    /// Forgets everything that we ever kept, from whichever process; says what it was, sorted.
    ///
    /// # Errors
    /// There is no keyring here, or it did not do it; a part may be forgotten, and trying again is safe.
    pub async fn forget_all(&self) -> Result<Vec<Item>, VaultError> {
        let mut forgotten = match &self.0 {
            Store::None => Vec::new(),
            Store::System => system::forget_all().await?,
            Store::Memory(drawer) => drawer.forget_all(),
        };
        forgotten.sort();
        forgotten.dedup();
        Ok(forgotten)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use secrecy::ExposeSecret;

    use super::*;

    fn item() -> Item {
        Item::Passphrase { file: "/home/x/.ssh/id".into() }
    }

    #[tokio::test]
    async fn a_vault_in_memory_keeps_and_forgets() {
        let vault = Vault::in_memory();
        assert!(vault.recall(&item()).await.is_none());
        vault.clone().remember(&item(), &"first".into()).await.unwrap();
        vault.remember(&item(), &"second".into()).await.unwrap();
        assert_eq!(vault.recall(&item()).await.unwrap().expose_secret(), "second");
        assert!(!format!("{vault:?}").contains("second"));
        assert!(vault.forget(&item()).await.unwrap());
        assert!(!vault.forget(&item()).await.unwrap());
        vault.remember(&item(), &"third".into()).await.unwrap();
        assert_eq!(vault.forget_all().await.unwrap(), [item()]);
        assert!(vault.recall(&item()).await.is_none());
    }

    #[tokio::test]
    async fn no_vault_keeps_nothing_and_says_where_to_turn() {
        let vault = Vault::none();
        assert!(vault.recall(&item()).await.is_none());
        let error = vault.remember(&item(), &"secret".into()).await.unwrap_err();
        assert!(error.to_string().contains("ssh-add"), "{error}");
        assert!(!vault.forget(&item()).await.unwrap());
        assert!(vault.forget_all().await.unwrap().is_empty());
    }
}
