//! What becomes of a server whose key is not known: a person is asked, or the configuration has decided; and then the key is
//! written down.

use russh::keys::PublicKey;
use tokio_util::task::TaskTracker;

use super::known_hosts::KnownHosts;
use super::learned::{AcceptedKey, Learned, Server};
use super::question::{self, Shown};
use super::write;
use crate::ssh::config::{Target, UnknownHostKey};
use crate::ssh::{Person, SshError};

/// Decides about `target`, whose connection ended with `error`. On `Ok` its key is known, and the connection is to be made
/// once more: the time that a person thought counts against no handshake then, and the server is judged as always.
///
/// Each server on the way is decided about on its own, by what is configured for it and for no other.
///
/// # Errors
/// The error itself: it is not about an unknown key, or nobody trusts the key.
pub(in crate::ssh) async fn decide(
    target: &Target,
    error: SshError,
    person: &Person,
    tasks: &TaskTracker,
    learned: &Learned,
) -> Result<(), SshError> {
    let SshError::HostKeyUnknown { host, fingerprint, besides, key, .. } = &error else { return Err(error) };
    let trusted = match target.unknown_host_key {
        UnknownHostKey::Refuse => false,
        UnknownHostKey::Accept => {
            learned.taken_unasked(&Server::of(target));
            true
        }
        UnknownHostKey::Ask if target.batch || !person.is_there() => false,
        UnknownHostKey::Ask => {
            let (files, seen) = (target.clone(), key.clone());
            let names = tasks.spawn_blocking(move || question::other_names(&files, &seen)).await;
            let shown = Shown { host, key, fingerprint, besides };
            question::trusts(person, &shown, &names.unwrap_or_default()).await
        }
    };
    if !trusted {
        return Err(error);
    }
    if let Some(problem) = &besides.certificate {
        tracing::warn!(host, "the host is trusted by its key alone, for its certificate is not good: {problem}");
    }
    let (files, seen, by_name) = (target.clone(), (**key).clone(), host.clone());
    let written = tasks.spawn_blocking(move || write_down(&files, &by_name, &seen)).await;
    let kept = written.unwrap_or_else(|error| Err(error.to_string()));
    if target.unknown_host_key == UnknownHostKey::Accept {
        let (host, fingerprint) = (host.clone(), fingerprint.to_string());
        learned.accepted(AcceptedKey { host, fingerprint, kept: kept.clone() });
    }
    match kept {
        Ok(file) => tracing::info!(host, %fingerprint, file, "the host's key was added to the list of known hosts"),
        Err(problem) => {
            tracing::warn!(host, %fingerprint, "the host's key is trusted until this program ends: {problem}");
            learned.trust(&Server::of(target), key);
        }
    }
    Ok(())
}

/// Writes the key down, and looks whether it can be found then: what is written to `/dev/null` cannot. Says where.
fn write_down(target: &Target, name: &str, key: &PublicKey) -> Result<String, String> {
    let file = target.learn_into.as_ref().ok_or("no file of known hosts is set")?;
    let written = write::line(name, key, target.hash_known_hosts).and_then(|line| write::append(file, &line));
    written.map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    let known = KnownHosts::load(target, &Learned::default()).and_then(|known| known.verify_key(key));
    known.map_err(|_| format!("what is written to {} is not found there", file.display()))?;
    Ok(file.display().to_string())
}

#[cfg(test)]
#[path = "learn_test.rs"]
mod tests;
