//! The question whether an unknown server is to be trusted, as `ssh` asks it.

use std::fmt::Write as _;
use std::time::Duration;

use russh::keys::ssh_key::known_hosts::Marker;
use russh::keys::{Algorithm, PublicKey};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::known_hosts::read;
use super::line::KnownHostsLine;
use crate::ssh::config::Target;
use crate::ssh::words::printable;
use crate::ssh::{Form, Person, Prompt, UnknownServer};

/// How often it is asked.
const TIMES: usize = 3;

/// How long a person may think, over all answers: a fingerprint is compared with what a site publishes somewhere.
const PATIENCE: Duration = Duration::from_mins(10);

/// How many other names of the same key are listed.
const MOST_NAMES: usize = 8;

/// What a person is shown about an unknown key.
pub(super) struct Shown<'a> {
    pub(super) host: &'a str,
    pub(super) key: &'a PublicKey,
    pub(super) fingerprint: &'a str,
    pub(super) besides: &'a UnknownServer,
}

/// Whether the person trusts this key. Silence is a no.
pub(super) async fn trusts(person: &Person, shown: &Shown<'_>, other_names: &[String]) -> bool {
    let asking = async {
        let mut words = words(shown, other_names);
        let mut prompt = "Are you sure you want to continue connecting (yes/no/[fingerprint])? ";
        for _ in 0..TIMES {
            let prompts = vec![Prompt { text: prompt.to_owned(), echo: true }];
            let answers = person.ask(Form { words: std::mem::take(&mut words), prompts }).await?;
            let answer = answers.first()?.expose_secret().trim();
            if answer.eq_ignore_ascii_case("yes") || answer == shown.fingerprint {
                return Some(true);
            }
            if answer.is_empty() || answer.eq_ignore_ascii_case("no") {
                return Some(false);
            }
            prompt = "Please type 'yes', 'no' or the fingerprint: ";
        }
        None
    };
    matches!(timeout(PATIENCE, asking).await, Ok(Some(true)))
}

fn words(shown: &Shown<'_>, other_names: &[String]) -> String {
    let address = shown.besides.address.map(|address| match address.port() {
        22 => format!(" ({})", address.ip()),
        port => format!(" ([{}]:{port})", address.ip()),
    });
    let mut words = format!(
        "The authenticity of host '{}{}' can't be established.\n{} key fingerprint is {}.\n",
        printable(shown.host),
        address.unwrap_or_default(),
        kind(shown.key),
        shown.fingerprint
    );
    // Writing into a string cannot fail.
    if let Some(problem) = &shown.besides.certificate {
        let _ = writeln!(words, "It shows a certificate, which says nothing for it: {problem}.");
    } else if let Some((file, line)) = &shown.besides.authority {
        let place = format!("{}:{line}", file.display());
        let _ = writeln!(words, "It shows no certificate, though {} names an authority for it.", printable(&place));
    }
    if other_names.is_empty() {
        words.push_str("This key is not known by any other names.");
    } else {
        words.push_str("This host key is known by the following other names/addresses:");
        for name in other_names.iter().take(MOST_NAMES) {
            let _ = write!(words, "\n    {name}");
        }
        if let Some(more) = other_names.len().checked_sub(MOST_NAMES).filter(|more| *more > 0) {
            let _ = write!(words, "\n    ({more} additional names omitted)");
        }
    }
    words
}

/// The kind of key, as `ssh` says it to people.
fn kind(key: &PublicKey) -> &'static str {
    match key.algorithm() {
        Algorithm::Ed25519 => "ED25519",
        Algorithm::Ecdsa { .. } => "ECDSA",
        Algorithm::Rsa { .. } => "RSA",
        Algorithm::Dsa => "DSA",
        Algorithm::SkEd25519 => "ED25519-SK",
        Algorithm::SkEcdsaSha2NistP256 => "ECDSA-SK",
        _ => "Host",
    }
}

/// Under which other names the files know this key: file, line, and the names, if they can be read. Reads files.
pub(super) fn other_names(target: &Target, key: &PublicKey) -> Vec<String> {
    let mut names = Vec::new();
    for file in &target.known_hosts {
        let Ok(Some(text)) = read(file) else { continue };
        for (index, line) in text.lines().enumerate() {
            let Some(line) = KnownHostsLine::read(line).filter(|line| line.key.key_data() == key.key_data()) else {
                continue;
            };
            let listed = match line.marker {
                None => line.names(),
                // Neither says that this key is that of a host.
                Some(Marker::CertAuthority | Marker::Revoked) => continue,
            };
            names.push(printable(&format!("{}:{}: {listed}", file.display(), index + 1)));
        }
    }
    names
}

#[cfg(test)]
#[path = "question_test.rs"]
mod tests;
