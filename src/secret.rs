//! Secrets: never in a `Debug`, compared without telling how much of a guess was right.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
}
