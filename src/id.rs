//! Newtypes for what has an identity: a string is never taken for a name, nor a number for a job.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of an instance: what a user types after `--name`, and part of its job's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceName(String);

impl InstanceName {
    /// The longest name: it becomes part of a folder's and of a Slurm job's name.
    pub const MAX_LEN: usize = 48;

    /// Keeps letters, digits, `.`, `_` and `-` of `text`, and makes a dash of any run of the rest.
    ///
    /// Returns nothing where no letter or digit is left.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut name = String::new();
        for c in text.chars() {
            if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
                name.push(c.to_ascii_lowercase());
            } else if !name.ends_with('-') {
                name.push('-');
            }
        }
        name.truncate(Self::MAX_LEN);
        let name = name.trim_matches(['-', '.', '_']).to_owned();
        (!name.is_empty()).then_some(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One run of an instance's engine: random, so that no two lives ever share a folder or a marker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LifeId(String);

impl LifeId {
    /// A new life, of 64 random bits in hexadecimal digits.
    ///
    /// # Errors
    /// The operating system gave no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        Ok(Self(format!("{:016x}", getrandom::u64()?)))
    }

    /// One that is no life's, to show what would be run.
    #[must_use]
    pub fn example() -> Self {
        Self("0000000000000000".to_owned())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LifeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Slurm job's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A GPU's number on its machine, as `nvidia-smi` counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GpuIndex(pub u32);

impl fmt::Display for GpuIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// FNV-1a, because it is the same on every machine and in every version, which the standard hasher need not be.
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
