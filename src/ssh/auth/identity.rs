//! Key files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::{PrivateKey, PublicKey, decode_secret_key, load_public_key};
use secrecy::{ExposeSecret, SecretString};

use super::certificates::Certified;
use crate::ssh::SshError;

/// How large a key file may be, in bytes: an RSA key of 16384 bits has some 13 KiB.
const LARGEST_KEY: u64 = 1 << 20;

/// How OpenSSH encrypted the old PEM form.
const OLD_FORM: &str = "DEK-Info: AES-128-CBC,";

/// What a key file gave.
#[derive(Clone, Debug)]
pub(super) enum Identity {
    /// A key that we can sign with.
    Key { file: PathBuf, key: Arc<PrivateKey>, certificate: Option<Certified> },
    /// A key that we can sign with once a passphrase opens it.
    Locked {
        file: PathBuf,
        /// Its public half, if it can be read.
        public: Option<Box<PublicKey>>,
        certificate: Option<Certified>,
    },
    /// A key that only an agent can sign with: it lives in hardware, or there is the public half alone.
    AgentOnly {
        public: Box<PublicKey>,
        certificate: Option<Certified>,
        /// Why we cannot sign with it.
        problem: SshError,
    },
    /// There is no such file.
    Missing { file: PathBuf },
    /// It cannot be used.
    Unusable { problem: SshError },
}

impl Identity {
    /// Reads a key file.
    pub(super) fn load(file: &Path) -> Self {
        let text = match read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::from_public_half(file),
            Err(error) => return Self::Unusable { problem: unreadable(file, &error.to_string()) },
        };
        let text = text.expose_secret();
        let only_agent = |public, why: &str| Self::AgentOnly {
            public,
            certificate: Certified::beside(file),
            problem: unreadable(file, why),
        };
        if !text.contains("PRIVATE KEY") && !text.starts_with("PuTTY") {
            return match load_public_key(file) {
                Ok(public) => only_agent(Box::new(public), "it is a public key, and no agent holds its private half"),
                Err(_) => Self::Unusable { problem: unreadable(file, "it is not a private key") },
            };
        }
        match decode_secret_key(text, None) {
            Ok(key) if key.algorithm().as_str().starts_with("sk-") => only_agent(
                Box::new(key.public_key().clone()),
                "its secret is in a security key, which only an agent can ask: `ssh-add` it",
            ),
            Ok(key) => Self::Key { file: file.to_owned(), key: Arc::new(key), certificate: Certified::beside(file) },
            Err(error) if !is_encrypted(text, &error) => {
                Self::Unusable { problem: unreadable(file, &error.to_string()) }
            }
            Err(_) => {
                // OpenSSH's format shows the public half even so.
                let public = PrivateKey::from_openssh(text).map(|key| Box::new(key.public_key().clone())).ok();
                let public = public.or_else(|| public_half(file));
                if can_be_opened(text) {
                    return Self::Locked { file: file.to_owned(), public, certificate: Certified::beside(file) };
                }
                let why = format!(
                    "it is encrypted in an old way that this program cannot undo: `ssh-keygen -p -f '{}'` rewrites it",
                    file.display()
                );
                match public {
                    Some(public) => only_agent(public, &why),
                    None => Self::Unusable { problem: unreadable(file, &why) },
                }
            }
        }
    }

    fn from_public_half(file: &Path) -> Self {
        match public_half(file) {
            Some(public) => Self::AgentOnly {
                public,
                certificate: Certified::beside(file),
                problem: unreadable(file, "there is only its public half, and no agent holds the private one"),
            },
            None => Self::Missing { file: file.to_owned() },
        }
    }
}

/// The key in a locked file; `None` where the passphrase is another.
///
/// # Errors
/// It cannot be read any more, or is no locked key any more.
pub(super) fn open(file: &Path, passphrase: &SecretString) -> Result<Option<Arc<PrivateKey>>, SshError> {
    let text = read(file).map_err(|error| unreadable(file, &error.to_string()))?;
    match decode_secret_key(text.expose_secret(), Some(passphrase.expose_secret())) {
        Ok(key) => Ok(Some(Arc::new(key))),
        Err(error) if is_about_the_passphrase(text.expose_secret(), &error) => Ok(None),
        Err(error) => Err(unreadable(file, &error.to_string())),
    }
}

/// Whether a file was decrypted, and nothing came of it: then its passphrase is another. All else is wrong with the file
/// itself.
fn is_about_the_passphrase(text: &str, error: &russh::keys::Error) -> bool {
    use russh::keys::{Error, ssh_key};
    match error {
        Error::SshKey(ssh_key::Error::Crypto) | Error::Pkcs8(_) => true,
        // The old PEM form has no check of its own, so at least it must be whole.
        Error::Unpad(_) | Error::Pkcs1(_) => text.contains(OLD_FORM) && text.contains("\n-----END "),
        _ => false,
    }
}

pub(super) fn unreadable(file: &Path, problem: &str) -> SshError {
    SshError::KeyUnreadable { file: file.to_owned(), problem: problem.to_owned() }
}

/// The whole file. Its text is wiped after use.
fn read(file: &Path) -> io::Result<SecretString> {
    let bytes = crate::ssh::regular_file::read(file, LARGEST_KEY)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()).into())
}

fn is_encrypted(text: &str, error: &russh::keys::Error) -> bool {
    matches!(error, russh::keys::Error::KeyIsEncrypted) || text.contains("ENCRYPTED")
}

/// What is encrypted line by line in the old PEM form can be opened where it is an RSA key under AES-128, which is what
/// OpenSSH wrote; all else can.
fn can_be_opened(text: &str) -> bool {
    let old = text.contains("DEK-Info:");
    !old || (text.contains("BEGIN RSA PRIVATE KEY") && text.contains(OLD_FORM))
}

fn public_half(file: &Path) -> Option<Box<PublicKey>> {
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    load_public_key(PathBuf::from(name)).ok().map(Box::new)
}

#[cfg(test)]
#[path = "identity_test.rs"]
mod tests;
