//! Whether a server's key is the one that is known: our own reading of the `known_hosts` files, as OpenSSH does it.
//!
//! russh's own check takes a revoked key for a good one, knows no patterns, and calls a key changed where several keys
//! stand for one name, as they do for a login name that is shared by several machines.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::Preferred;
use russh::keys::ssh_key::known_hosts::Marker;
use russh::keys::{Algorithm, HashAlg, PublicKey};

use super::SshError;
use super::known_hosts_line::KnownHostsLine;
use super::known_hosts_revoked::RevokedKeys;
use super::target::Target;

/// What the files say about one host.
#[derive(Clone, Debug)]
pub(super) struct KnownHosts {
    /// The name that the key is looked up by, with its port where that is not 22.
    name: String,
    /// What a user would give `ssh`.
    destination: String,
    /// The user's first file, for the message about an unknown key.
    first_file: PathBuf,
    entries: Vec<Entry>,
    /// What the configuration's lists of revoked keys hold.
    revoked: RevokedKeys,
}

#[derive(Clone, Debug)]
struct Entry {
    file: Arc<Path>,
    line: usize,
    marker: Option<Marker>,
    key: PublicKey,
    /// Whether the line names the port too, if it is not 22. One that does not may only say yes, and only where no line
    /// names the port.
    exact: bool,
}

impl KnownHosts {
    /// Reads the files. One that is not there is passed over.
    ///
    /// # Errors
    /// One that is there and cannot be read, or a list of revoked keys that cannot be used: without it, no key can be
    /// judged.
    pub(super) fn load(target: &Target) -> Result<Self, SshError> {
        let plain = target.host_key_alias.as_ref().unwrap_or(&target.host).to_ascii_lowercase();
        let name = match target.host_key_alias {
            None if target.port != 22 => format!("[{plain}]:{}", target.port),
            None | Some(_) => plain.clone(),
        };
        let mut entries = Vec::new();
        for file in &target.known_hosts {
            let bytes = match std::fs::read(file) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(SshError::KnownHostsUnreadable { file: file.clone(), source: Arc::new(error) });
                }
            };
            let file: Arc<Path> = Arc::from(file.as_path());
            let text = String::from_utf8_lossy(&bytes);
            entries.extend(text.lines().enumerate().filter_map(|(index, line)| {
                let line = KnownHostsLine::read(line)?;
                let exact = line.is_about(&name);
                (exact || line.is_about(&plain)).then(|| Entry {
                    file: Arc::clone(&file),
                    line: index + 1,
                    marker: line.marker,
                    key: line.key,
                    exact,
                })
            }));
        }
        // As in OpenSSH, the name without its port is only asked where the one with it is unknown: whoever holds the key of
        // another server on that machine must not pass for this one.
        if entries.iter().any(|entry| entry.exact && entry.marker.is_none()) {
            entries.retain(|entry| entry.exact || entry.marker.is_some());
        }
        let revoked = RevokedKeys::load(target.revoked_host_keys.as_ref())?;
        let first_file = target.known_hosts.first().cloned().unwrap_or_default();
        Ok(Self { name, destination: target.name.clone(), first_file, entries, revoked })
    }

    /// Judges a key that the server has proved to hold.
    ///
    /// # Errors
    /// The key is revoked, another than the known one, or unknown.
    pub(super) fn verify(&self, key: &PublicKey) -> Result<(), SshError> {
        let same = |entry: &&Entry| entry.key.key_data() == key.key_data();
        let marked = |marker: Option<Marker>| self.entries.iter().filter(move |entry| entry.marker == marker);
        // First, wherever it stands: a revoked key is refused whatever else is said about it.
        let revoked = marked(Some(Marker::Revoked)).find(same).map(|entry| (&*entry.file, entry.line));
        if let Some((file, line)) = revoked.or_else(|| self.revoked.place_of(key)) {
            return Err(SshError::HostKeyRevoked {
                host: self.name.clone(),
                key_type: key_type(key),
                fingerprint: fingerprint(key),
                file: file.to_owned(),
                line,
            });
        }
        if marked(None).any(|entry| same(&entry)) {
            return Ok(());
        }
        // A key of another kind does not make this one a changed one.
        let other = marked(None).find(|entry| entry.exact && entry.key.algorithm() == key.algorithm());
        if let Some(other) = other {
            return Err(SshError::HostKeyChanged {
                host: self.name.clone(),
                key_type: key_type(key),
                fingerprint: fingerprint(key),
                file: other.file.to_path_buf(),
                line: other.line,
            });
        }
        let authority = marked(Some(Marker::CertAuthority)).next();
        Err(SshError::HostKeyUnknown {
            host: self.name.clone(),
            destination: self.destination.clone(),
            key_type: key_type(key),
            fingerprint: fingerprint(key),
            file: self.first_file.clone(),
            authority: authority.map(|entry| Box::new((entry.file.to_path_buf(), entry.line))),
        })
    }

    /// The host key algorithms to ask for, those of known keys first: a server that has several keys then shows the one
    /// that we can judge.
    pub(super) fn preferred_algorithms(&self) -> Cow<'static, [Algorithm]> {
        let known = |algorithm: &Algorithm| {
            self.entries.iter().any(|entry| {
                let key = entry.key.algorithm();
                // The hash is the signature's, not the key's.
                let both_rsa = matches!((&key, algorithm), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }));
                entry.marker.is_none() && (both_rsa || key == *algorithm)
            })
        };
        let mut algorithms = Preferred::DEFAULT.key.into_owned();
        algorithms.sort_by_key(|algorithm| !known(algorithm));
        Cow::Owned(algorithms)
    }
}

/// The kind of key, as `ssh` names it.
fn key_type(key: &PublicKey) -> Box<str> {
    key.algorithm().as_str().into()
}

/// The SHA-256 fingerprint, as `ssh` shows it.
fn fingerprint(key: &PublicKey) -> Box<str> {
    key.fingerprint(HashAlg::Sha256).to_string().into()
}

#[cfg(test)]
#[path = "known_hosts_test.rs"]
mod tests;
