//! Key files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::{Certificate, PrivateKey, PublicKey, decode_secret_key, load_openssh_certificate, load_public_key};

use super::SshError;

/// What a key file gave.
#[derive(Clone, Debug)]
pub(super) enum Identity {
    /// A key that we can sign with.
    Key {
        file: PathBuf,
        key: Arc<PrivateKey>,
        /// From the file `KEY-cert.pub` beside it.
        certificate: Option<Box<Certificate>>,
    },
    /// A key that only an agent can sign with: ours is encrypted, lives in hardware, or is the public half alone.
    Locked {
        /// Its public half, if it can be read.
        public: Option<Box<PublicKey>>,
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
        let text = match std::fs::read(file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::from_public_half(file),
            Err(error) => return Self::Unusable { problem: unreadable(file, &error) },
        };
        let only_agent = |public, why: &str| Self::Locked {
            public,
            problem: SshError::KeyUnreadable { file: file.to_owned(), problem: why.to_owned() },
        };
        if !text.contains("PRIVATE KEY") && !text.starts_with("PuTTY") {
            return match load_public_key(file) {
                Ok(public) => {
                    only_agent(Some(Box::new(public)), "it is a public key, and no agent holds its private half")
                }
                Err(_) => Self::Unusable {
                    problem: SshError::KeyUnreadable {
                        file: file.to_owned(),
                        problem: "it is not a private key".to_owned(),
                    },
                },
            };
        }
        match decode_secret_key(&text, None) {
            Ok(key) if key.algorithm().as_str().starts_with("sk-") => only_agent(
                Some(Box::new(key.public_key().clone())),
                "its secret is in a hardware token, and no agent holds it",
            ),
            Ok(key) => Self::Key { file: file.to_owned(), key: Arc::new(key), certificate: certificate(file) },
            Err(error) => {
                let encrypted = matches!(error, russh::keys::Error::KeyIsEncrypted) || text.contains("ENCRYPTED");
                if !encrypted {
                    return Self::Unusable { problem: unreadable(file, &error) };
                }
                // OpenSSH's format shows the public half even so.
                let public = PrivateKey::from_openssh(&text).map(|key| Box::new(key.public_key().clone())).ok();
                Self::Locked {
                    public: public.or_else(|| public_half(file)),
                    problem: SshError::KeyEncrypted { file: file.to_owned() },
                }
            }
        }
    }

    fn from_public_half(file: &Path) -> Self {
        match public_half(file) {
            Some(public) => Self::Locked {
                public: Some(public),
                problem: SshError::KeyUnreadable {
                    file: file.to_owned(),
                    problem: "there is only its public half, and no agent holds the private one".to_owned(),
                },
            },
            None => Self::Missing { file: file.to_owned() },
        }
    }
}

fn unreadable(file: &Path, error: &dyn std::error::Error) -> SshError {
    SshError::KeyUnreadable { file: file.to_owned(), problem: error.to_string() }
}

/// The file beside the key, whose name goes on with `ending`.
fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn public_half(file: &Path) -> Option<Box<PublicKey>> {
    load_public_key(beside(file, ".pub")).ok().map(Box::new)
}

fn certificate(file: &Path) -> Option<Box<Certificate>> {
    load_openssh_certificate(beside(file, "-cert.pub")).ok().map(Box::new)
}
