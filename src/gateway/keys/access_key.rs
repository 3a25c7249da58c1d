//! A named key, as it is configured.

use std::num::{NonZeroU32, NonZeroUsize};

use secrecy::ExposeSecret as _;

use crate::config::{AccessKeyBlock, AccessKeyBlocks, KeyError, KeyUse, NamedKey, Sourced};
use crate::secret::{Key, KeyDigest};

/// A key of some clients, and what they may do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// What it is called where the key itself must not be.
    pub name: String,
    /// What is kept of it.
    pub digest: KeyDigest,
    /// What it is for.
    pub purpose: KeyUse,
    /// The names of the models that may be used with it: an instance that has one of them may be used by each of its names.
    /// None: all. It limits inference alone: who manages sees all instances.
    pub models: Option<Vec<String>>,
    /// How many requests may be under way with it at once; none: as many as come.
    pub requests_in_flight: Option<NonZeroUsize>,
    /// How many requests it is good for in a minute; none: as many as come.
    pub requests_per_minute: Option<NonZeroU32>,
}

/// A named key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessKeyError {
    /// It cannot be read.
    #[error("access_keys.{name}: {source}")]
    Unread {
        /// Which.
        name: String,
        /// Why not.
        source: KeyError,
    },
    /// It is another's: what it opens would be left to chance.
    #[error("the access keys {} and '{name}' are the same key", match .other { Some(other) => format!("'{other}'"), None => "'access_key'".to_owned() })]
    Twice {
        /// Which.
        name: String,
        /// The other one; none: the one that opens everything.
        other: Option<String>,
    },
}

impl AccessKey {
    /// Reads the keys that `blocks` name, beside the one that opens everything. `lookup` knows the variables.
    ///
    /// # Errors
    /// One cannot be read, or is another's.
    pub fn read_all(
        blocks: &AccessKeyBlocks,
        beside: Option<&Key>,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<Self>, AccessKeyError> {
        let mut keys: Vec<Self> = Vec::new();
        let beside = beside.map(Key::digest);
        for (name, block) in blocks {
            let name = name.clone();
            let digest = match block.value.read(lookup) {
                Ok(NamedKey::Whole(key)) => Some(Key::digest_of(key.expose_secret().as_bytes())),
                Ok(NamedKey::Sha256(digits)) => KeyDigest::from_hex(digits.hex()),
                Err(source) => return Err(AccessKeyError::Unread { name, source }),
            };
            // Its digits were looked at when it was read.
            let Some(digest) = digest else { continue };
            let key = Self::of(name, digest, &block.value);
            if beside.as_ref() == Some(&key.digest) {
                return Err(AccessKeyError::Twice { name: key.name, other: None });
            }
            if let Some(other) = keys.iter().find(|other| other.digest == key.digest) {
                return Err(AccessKeyError::Twice { name: key.name, other: Some(other.name.clone()) });
            }
            keys.push(key);
        }
        Ok(keys)
    }

    fn of(name: String, digest: KeyDigest, block: &AccessKeyBlock) -> Self {
        let limit = |found: &Option<Sourced<u32>>| found.as_ref().and_then(|found| NonZeroU32::new(found.value));
        Self {
            name,
            digest,
            purpose: block.purpose.as_ref().map_or(KeyUse::Inference, |purpose| purpose.value),
            models: block.models.as_ref().map(|names| names.value.clone()),
            requests_in_flight: limit(&block.requests_in_flight).and_then(|limit| limit.try_into().ok()),
            requests_per_minute: limit(&block.requests_per_minute),
        }
    }
}
