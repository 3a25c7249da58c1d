//! The lists of revoked keys that `RevokedHostKeys` names.
//!
//! Whoever sets it counts on it, so what cannot be read stops the connection, and is not taken for an empty list.

use std::path::Path;
use std::sync::Arc;

use russh::keys::{Algorithm, PublicKey};

use crate::ssh::config::RevokedLists;
use crate::ssh::{SshError, regular_file};

/// How large a list may be, in bytes.
const LARGEST_LIST: u64 = 64 << 20;

/// What a binary key revocation list begins with.
const KRL_MAGIC: &[u8] = b"SSHKRL\n\0";

/// The keys that the lists hold.
#[derive(Clone, Debug, Default)]
pub(in crate::ssh) struct RevokedKeys(Vec<RevokedKey>);

#[derive(Clone, Debug)]
struct RevokedKey {
    key: PublicKey,
    list: Arc<Path>,
    line: usize,
}

impl RevokedKeys {
    /// Reads the lists: public keys, one a line, as `ssh-keygen` writes them.
    ///
    /// # Errors
    /// One is missing, cannot be read, or holds something else.
    pub(in crate::ssh) fn load(lists: Option<&RevokedLists>) -> Result<Self, SshError> {
        let mut keys = Vec::new();
        let Some(lists) = lists else { return Ok(Self(keys)) };
        for list in &lists.lists {
            let unusable = |problem| SshError::RevokedHostKeysUnusable {
                list: list.clone(),
                problem,
                named_by: lists.named_by.clone(),
            };
            let bytes = regular_file::read(list, LARGEST_LIST).map_err(|error| unusable(error.to_string()))?;
            if bytes.starts_with(KRL_MAGIC) {
                return Err(unusable("it is a binary key revocation list, which this version cannot read".to_owned()));
            }
            let path: Arc<Path> = Arc::from(list.as_path());
            for (index, text) in String::from_utf8_lossy(&bytes).lines().enumerate() {
                let text = text.trim();
                if text.is_empty() || text.starts_with('#') {
                    continue;
                }
                let line = index + 1;
                let key = public_key(text).ok_or_else(|| unusable(format!("its line {line} is not a public key")))?;
                keys.push(RevokedKey { key, list: Arc::clone(&path), line });
            }
        }
        Ok(Self(keys))
    }

    /// The list that revokes `key`, and the line, counted from 1.
    pub(in crate::ssh) fn place_of(&self, key: &PublicKey) -> Option<(&Path, usize)> {
        let revoked = self.0.iter().find(|revoked| revoked.key.key_data() == key.key_data())?;
        Some((&*revoked.list, revoked.line))
    }
}

/// A key of a kind that we know: of another one we could not tell what it revokes.
fn public_key(text: &str) -> Option<PublicKey> {
    let mut fields = text.split_whitespace();
    let (kind, key) = (fields.next()?, fields.next()?);
    let key = PublicKey::from_openssh(&format!("{kind} {key}")).ok()?;
    (!matches!(key.algorithm(), Algorithm::Other(_))).then_some(key)
}
