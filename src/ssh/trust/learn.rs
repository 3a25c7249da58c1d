//! What becomes of a server whose key is not known: a person is asked, or the configuration has decided; and then the key is
//! written down.

use russh::keys::PublicKey;
use tokio_util::task::TaskTracker;

use super::known_hosts::{KnownHosts, lookup_name};
use super::learned::Learned;
use super::question::{self, Shown};
use super::write;
use crate::ssh::config::{Target, UnknownHostKey, Way};
use crate::ssh::{Person, SshError};

/// Decides about the server that `error` is about, which is the target or one on the way to it, after a connection ended for
/// this reason. On `Ok` its key is known, and the connection is to be made once more: the time that a person thought
/// counts against no handshake then, and the server is judged as always.
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
    let SshError::HostKeyUnknown { host, fingerprint, besides, key, .. } = error.root() else { return Err(error) };
    let Some(hop) = hop(target, host) else { return Err(error) };
    let trusted = match hop.unknown_host_key {
        UnknownHostKey::Refuse => false,
        UnknownHostKey::Accept => {
            learned.add_unasked(host);
            true
        }
        UnknownHostKey::Ask if hop.batch || !person.is_there() => false,
        UnknownHostKey::Ask => {
            let (files, seen) = (hop.clone(), key.clone());
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
    let (files, seen, by_name) = (hop.clone(), (**key).clone(), host.clone());
    let written = tasks.spawn_blocking(move || write_down(&files, &by_name, &seen)).await;
    match written.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(file) => tracing::info!(host, %fingerprint, file, "the host's key was added to the list of known hosts"),
        Err(problem) => {
            tracing::warn!(host, %fingerprint, "the host's key is trusted until this program ends: {problem}");
            learned.add(host, key);
        }
    }
    Ok(())
}

/// The server of this name: the target, or one on the way to it.
fn hop<'a>(target: &'a Target, name: &str) -> Option<&'a Target> {
    let mut next = Some(target);
    while let Some(hop) = next {
        if lookup_name(hop) == name {
            return Some(hop);
        }
        next = match &hop.way {
            Way::Jump(before) => Some(before),
            Way::Direct | Way::Command(_) => None,
        };
    }
    None
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
