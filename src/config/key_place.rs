//! The access key, out of the place that is named: it never comes from an argument, which everybody here can read.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::is_ours;

/// The access key cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Variables of ours are taken out of the engine's environment; another could be handed on to it.
    #[error("the access key in env:{0}: the engine would inherit that variable")]
    Inherited(String),
    /// There is none in the environment.
    #[error("the access key in env:{0}: that variable is not set")]
    Unset(String),
    /// Its file.
    #[error("the access key in {} cannot be read: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no place.
    #[error("--access-key takes the place of a key, not the key itself")]
    NoPlace,
    /// There is nothing in it.
    #[error("the access key is empty")]
    Empty,
}

impl KeyError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Inherited(_) => Some("give it a name that starts with LLM_PROXY_, such as LLM_PROXY_ACCESS_KEY"),
            Self::NoPlace => {
                Some("give env:NAME or file:PATH; a key in an argument could be read by every user of this machine")
            }
            Self::Empty => Some("put a key there, or ask for none"),
            Self::Unset(_) | Self::File { .. } => None,
        }
    }
}

/// Reads the key in `env:NAME` or `file:PATH`.
///
/// # Errors
/// See [`KeyError`].
pub fn read_key(place: &str) -> Result<SecretString, KeyError> {
    let text = match place.split_once(':') {
        Some(("env", name)) if !is_ours(name) => return Err(KeyError::Inherited(name.to_owned())),
        Some(("env", name)) => std::env::var(name).map_err(|_| KeyError::Unset(name.to_owned()))?,
        Some(("file", path)) => return read_key_in(Path::new(path)),
        _ => return Err(KeyError::NoPlace),
    };
    some_key(&text)
}

/// Reads the key in a file.
///
/// # Errors
/// See [`KeyError`].
pub(super) fn read_key_in(path: &Path) -> Result<SecretString, KeyError> {
    some_key(&std::fs::read_to_string(path).map_err(|source| KeyError::File { path: path.into(), source })?)
}

/// A key without the white space around it.
///
/// # Errors
/// There is nothing else.
pub fn some_key(text: &str) -> Result<SecretString, KeyError> {
    let text = text.trim();
    if text.is_empty() { Err(KeyError::Empty) } else { Ok(SecretString::from(text)) }
}
