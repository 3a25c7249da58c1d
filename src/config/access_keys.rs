//! Several access keys, each under a name: where each is, what it is for, and how much of that.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use secrecy::SecretString;

use super::block::Block;
use super::key_place::{KeyError, read_key_in, some_key};
use super::schema::{Digest, OneOrMore};
use super::values::{choice, path, text, texts, whole};
use super::written::KeyUse;
use super::yaml::Node;
use super::{Sourced, is_ours};

/// A key of some clients, and what they may do with it.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct AccessKeyBlock {
    /// The variable that holds the key, in this program's environment or in .env: a name that begins with `LLM_PROXY_`
    pub key_env: Option<Sourced<String>>,
    /// The file that holds the key, and nothing else
    pub key_file: Option<Sourced<PathBuf>>,
    /// The SHA-256 of a long random key, in hexadecimal digits, as sha256sum writes it
    #[schemars(with = "Option<Digest>")]
    pub key_sha256: Option<Sourced<KeySha256>>,
    /// What it is for: management is all of /instances, /launch, /status, /logs, /start, /stop, /events, /metrics, and what
    /// changes an engine [default: inference]
    #[schemars(rename = "for")]
    pub purpose: Option<Sourced<KeyUse>>,
    /// The names of the models that it is for; who may use a model may use it by each of its names [default: all]
    #[schemars(with = "Option<OneOrMore>")]
    pub models: Option<Sourced<Vec<String>>>,
    /// How many requests may be under way with it at once; one more is answered with 429 [default: as many as come]
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub requests_in_flight: Option<Sourced<u32>>,
    /// How many requests it is good for in a minute; one more is answered with 429 [default: as many as come]
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub requests_per_minute: Option<Sourced<u32>>,
}

/// The keys of a file, each under its name.
pub type AccessKeyBlocks = Vec<(String, Sourced<AccessKeyBlock>)>;

/// What people call a key that they write down where it stands.
const KEYS_THEMSELVES: [&str; 6] = ["key", "api_key", "value", "token", "secret", "password"];

/// The SHA-256 of a key, in 64 hexadecimal digits. Of a short key it could be searched for, so a `Debug` leaves it out.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySha256(String);

impl KeySha256 {
    /// Its digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeySha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySha256(…)")
    }
}

/// What a block has of its key.
#[derive(Clone, Debug)]
pub enum NamedKey {
    /// The key itself, out of its place.
    Whole(SecretString),
    /// Its SHA-256 alone.
    Sha256(KeySha256),
}

impl AccessKeyBlock {
    /// Reads the key where it is. `lookup` knows the variables.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn read(&self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<NamedKey, KeyError> {
        match (&self.key_sha256, &self.key_env, &self.key_file) {
            (Some(digest), _, _) => Ok(NamedKey::Sha256(digest.value.clone())),
            (None, Some(name), _) => {
                let text = lookup(&name.value).ok_or_else(|| KeyError::Unset(name.value.clone()))?;
                some_key(&text).map(NamedKey::Whole)
            }
            (None, None, Some(file)) => read_key_in(&file.value).map(NamedKey::Whole),
            (None, None, None) => Err(KeyError::NoPlace),
        }
    }
}

/// Reads all of them, and adds what is wrong.
pub(super) fn access_keys(block: &mut Block<'_, '_>) -> AccessKeyBlocks {
    let mut written_out = Vec::new();
    let keys = block.named("access_keys", |name, block| {
        written_out
            .extend(block.misplaced(&KEYS_THEMSELVES).into_iter().map(|(key, line)| (name.to_owned(), key, line)));
        one(block)
    });
    for (name, key, line) in &written_out {
        let what = format!(
            "'access_keys.{name}.{key}' would be the key itself, and a file like this is shown, copied and kept with \
             others; put the key into a file of its own and write key_file: PATH, or into a variable and write key_env: \
             LLM_PROXY_NAME, or write its key_sha256"
        );
        block.problem(*line, what);
    }
    for (name, found) in &keys {
        let told = written_out.iter().any(|(of, _, _)| of == name);
        check(block, name, found, told);
    }
    keys
}

fn one(block: &mut Block<'_, '_>) -> AccessKeyBlock {
    let number = |node: &Node| whole(node, 1, 1_000_000);
    AccessKeyBlock {
        key_env: block.take("key_env", variable),
        key_file: block.take("key_file", path),
        key_sha256: block.take("key_sha256", digest),
        purpose: block.take("for", |node| choice(node, KeyUse::WORDS)),
        models: block.take("models", |node| {
            let names = texts(node)?;
            if names.is_empty() { Err("is empty; leave it out where all are meant".to_owned()) } else { Ok(names) }
        }),
        requests_in_flight: block.take("requests_in_flight", number),
        requests_per_minute: block.take("requests_per_minute", number),
    }
}

/// What is written is not told again: it may be the key itself.
fn variable(node: &Node) -> Result<String, String> {
    let name = text(node)?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name && is_ours(&name) {
        Ok(name)
    } else {
        Err("must be the name of a variable that begins with LLM_PROXY_, so that no engine inherits the key".to_owned())
    }
}

fn digest(node: &Node) -> Result<KeySha256, String> {
    let text = text(node).unwrap_or_default();
    let digits = text.trim();
    if digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        Ok(KeySha256(digits.to_owned()))
    } else {
        Err("must be the SHA-256 of the key, 64 hexadecimal digits, and not the key itself".to_owned())
    }
}

fn check(block: &mut Block<'_, '_>, name: &str, found: &Sourced<AccessKeyBlock>, told: bool) {
    let (key, line) = (&found.value, found.source.line().unwrap_or(1));
    let places = [
        ("key_env", key.key_env.is_some()),
        ("key_file", key.key_file.is_some()),
        ("key_sha256", key.key_sha256.is_some()),
    ];
    let is_told = |place: &str| block.is_told(&format!("access_keys.{name}.{place}"));
    let told = told || block.is_told(&format!("access_keys.{name}")) || places.iter().any(|(place, _)| is_told(place));
    let given: Vec<&str> = places.iter().filter(|(_, is_given)| *is_given).map(|(place, _)| *place).collect();
    match given.as_slice() {
        [_] => {}
        [] if told => {}
        [] => block.problem(
            line,
            format!(
                "'access_keys.{name}' has no key; write key_file: PATH, key_env: LLM_PROXY_NAME, or key_sha256: DIGITS"
            ),
        ),
        several => {
            block.problem(line, format!("'access_keys.{name}' has {}; leave one of them", several.join(" and ")));
        }
    }
    if let (Some(models), Some(purpose)) = (&key.models, &key.purpose)
        && purpose.value != KeyUse::Inference
    {
        let at = models.source.line().unwrap_or(line);
        let what = "is for inference alone: who manages sees all instances; leave it out, or give two keys";
        block.problem(at, format!("'access_keys.{name}.models' {what}"));
    }
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        block.problem(line, "a key of 'access_keys' has no name that could be told");
    }
}
