//! Secrets: never in a `Debug`, compared without telling how much of a guess was right.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A key that opens something: ours to the proxy's clients, or an engine's own.
#[derive(Clone, Debug)]
pub struct Key(SecretString);

impl Key {
    /// Takes a key as it was given.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// A new key of 256 random bits, in hexadecimal digits.
    ///
    /// # Errors
    /// The operating system gave no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let quarters = [getrandom::u64()?, getrandom::u64()?, getrandom::u64()?, getrandom::u64()?];
        let [a, b, c, d] = quarters;
        Ok(Self::new(format!("{a:016x}{b:016x}{c:016x}{d:016x}")))
    }

    /// The key itself, for the one place that must write it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The key as one of a script's or an environment's secrets.
    #[must_use]
    pub fn to_secret(&self) -> SecretString {
        self.0.clone()
    }

    /// Whether `guess` is this key, in a time that depends on the guess's length alone.
    #[must_use]
    pub fn matches(&self, guess: &[u8]) -> bool {
        let key = self.expose().as_bytes();
        let differing = guess
            .iter()
            .enumerate()
            .fold(0_u8, |seen, (at, byte)| seen | (byte ^ key.get(at % key.len().max(1)).copied().unwrap_or(0)));
        differing == 0 && guess.len() == key.len()
    }
}

/// What is kept of a key that is only ever compared: its SHA-256.
///
/// A fast hash serves here, and a slow one would not: a key is made by a machine, of more bits than anybody can try, and it
/// is looked at with every request.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyDigest([u8; 32]);

/// A digest of a digest, with a salt: what is compared.
#[derive(Clone)]
pub struct SaltedDigest([u8; 32]);

impl Key {
    /// What is kept of it where it is only compared.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        Self::digest_of(self.expose().as_bytes())
    }

    /// The digest of what may be a key.
    #[must_use]
    pub fn digest_of(text: &[u8]) -> KeyDigest {
        KeyDigest(Sha256::digest(text).into())
    }
}

impl KeyDigest {
    /// Reads 64 hexadecimal digits, as `sha256sum` writes them.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let read = base16ct::mixed::decode(text, &mut bytes).ok()?.len();
        (read == bytes.len()).then_some(Self(bytes))
    }

    /// It, and a salt.
    #[must_use]
    pub fn salted(&self, salt: &[u8; 32]) -> SaltedDigest {
        SaltedDigest(Sha256::new().chain_update(salt).chain_update(self.0).finalize().into())
    }
}

impl SaltedDigest {
    /// Whether it is the same, in a time that does not depend on where they differ.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0_u8, |seen, (one, other)| seen | (one ^ other)) == 0
    }
}

/// Of a short key, a digest could be searched for.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

impl fmt::Debug for SaltedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaltedDigest(…)")
    }
}

/// Written only to the state file, which its owner alone may read.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_matches_itself_alone_and_is_not_shown() {
        let key = Key::new("sesame");
        assert!(key.matches(b"sesame"));
        for wrong in ["", "s", "sesam", "sesamE", "sesames", "sesamesesame", "Sesame"] {
            assert!(!key.matches(wrong.as_bytes()), "{wrong}");
        }
        assert!(!Key::new("").matches(b"x"));
        assert!(!format!("{key:?}").contains("sesame"));
    }

    #[test]
    fn a_digest_is_what_sha256sum_writes_and_is_not_shown() {
        let digest = Key::new("sesame").digest();
        let written = "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272";
        assert_eq!(KeyDigest::from_hex(written).as_ref(), Some(&digest));
        assert_eq!(KeyDigest::from_hex(&written.to_uppercase()).as_ref(), Some(&digest));
        for wrong in
            ["", "d0c0", &written[1..], &format!("{written}0"), &format!("{written}00"), &written.replace('d', "g")]
        {
            assert_eq!(KeyDigest::from_hex(wrong), None, "{wrong}");
        }
        assert!(!format!("{digest:?}{:?}", digest.salted(&[7; 32])).contains("d0"));
        assert!(digest.salted(&[1; 32]).is(&digest.salted(&[1; 32])));
        assert!(!digest.salted(&[1; 32]).is(&digest.salted(&[2; 32])));
        assert!(!digest.salted(&[1; 32]).is(&Key::new("Sesame").digest().salted(&[1; 32])));
    }
}
