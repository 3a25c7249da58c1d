//! The system's keyring: passphrases and passwords that the user asked to be kept. Nothing is kept by default, and a
//! one-time code has no [`Item`] to be kept under.
//!
//! * [`Vault`]: recall, remember, forget, each within a bound; where no keyring answers, an error that says so.
//! * `secret_service`: the desktop's keyring by its D-Bus interface (GNOME, KDE, `KeePassXC`); `keychain`: that of macOS.
//! * `drawer`: this process's own memory, for tests.

mod access;
mod drawer;
mod error;
mod item;
#[cfg(target_os = "macos")]
mod keychain;
#[cfg(not(target_os = "macos"))]
mod secret_service;

pub use access::Vault;
pub use error::VaultError;
pub use item::Item;
