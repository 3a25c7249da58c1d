//! A shell script as text, and what frames its answers.

use std::fmt;
use std::fmt::Write as _;

use secrecy::{ExposeSecret, SecretString};

use crate::host::quote::{QuoteError, quote_word};

/// A script, to be written to a shell's standard input. It may hold secrets, so its `Debug` shows none of it.
#[derive(Clone)]
pub struct Script(SecretString);

/// A random line's start that frames what our scripts say among whatever else a host prints.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(String);

/// A script cannot be written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// A word that no shell can be given.
    #[error(transparent)]
    Quote(#[from] QuoteError),
    /// The name of an environment variable.
    #[error("{0:?} cannot be the name of an environment variable: only letters, digits and _, and no digit first")]
    VariableName(String),
    /// A nonce that could be found by chance, or could not be a word.
    #[error("{0:?} cannot frame a script's answers: at least 16 letters and digits are needed")]
    Nonce(String),
    /// A life's marker, without which a sweep would end other lives.
    #[error("{0:?} cannot mark a life: at least 16 letters and digits are needed")]
    Marker(String),
    /// A folder's name.
    #[error("{0:?} cannot name a life's folder: only letters, digits, '.', '_' and '-', and no '.' first")]
    Folder(String),
    /// No command.
    #[error("there is no command to run")]
    NoCommand,
}

impl Script {
    pub(super) fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The text, for the one who writes it to a shell.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({} bytes)", self.expose().len())
    }
}

impl Nonce {
    /// A new one, of 64 random bits.
    ///
    /// # Errors
    /// The operating system gave no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        Ok(Self(format!("llm-proxy-{:016x}", getrandom::u64()?)))
    }

    /// One that frames nothing, to show what would be run.
    #[must_use]
    pub fn example() -> Self {
        Self("llm-proxy-0000000000000000".to_owned())
    }

    /// One that was kept, such as in the state file.
    ///
    /// # Errors
    /// It is too short, or holds anything but letters, digits and dashes.
    pub fn from_text(text: &str) -> Result<Self, ScriptError> {
        let fits = text.len() >= 16 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(ScriptError::Nonce(text.to_owned())) }
    }

    /// The nonce as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The lines before a script that set what it needs.
#[derive(Default)]
pub(super) struct Assignments(String);

impl Assignments {
    pub(super) fn set(mut self, name: &str, value: &str) -> Result<Self, QuoteError> {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name}={}", quote_word(value)?);
        Ok(self)
    }

    /// A function that runs the words of `line`, which is quoted already.
    pub(super) fn function(mut self, name: &str, line: &str) -> Self {
        let _ = writeln!(self.0, "{name}() {{\n{line}\n}}");
        self
    }

    pub(super) fn then(self, parts: &[&str]) -> Script {
        Script::new(self.0 + &parts.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_does_not_show_itself() {
        let script = Script::new("export HF_TOKEN=hf_secret".to_owned());
        assert_eq!(format!("{script:?}"), "Script(25 bytes)");
    }

    #[test]
    fn a_nonce_cannot_be_met_by_chance() {
        assert_eq!(Nonce::from_text("short"), Err(ScriptError::Nonce("short".to_owned())));
        assert_eq!(Nonce::from_text("0123456789abcdef x"), Err(ScriptError::Nonce("0123456789abcdef x".to_owned())));
        let nonce = Nonce::random().map(|nonce| Nonce::from_text(nonce.as_str()));
        assert!(matches!(nonce, Ok(Ok(_))), "{nonce:?}");
    }
}
