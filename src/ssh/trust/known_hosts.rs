//! Whether a server's key is the one that is known: our own reading of the `known_hosts` files, as OpenSSH does it.
//!
//! russh's own check takes a revoked key for a good one, knows no patterns, and calls a key changed where several keys
//! stand for one name, as they do for a login name that is shared by several machines.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use russh::keys::ssh_key::known_hosts::Marker;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::algorithms::{HostKeyAlgorithms, same_kind};
use super::certificate;
use super::key_scan::key_scan;
use super::learned::{Learned, Server};
use super::line::KnownHostsLine;
use super::revoked::RevokedKeys;
use crate::ssh::config::Target;
use crate::ssh::{ChangedServer, SshError, UnknownServer, Vouched, regular_file};

/// How large a file of known hosts may be, in bytes: the lists of large sites have some hundred thousand lines.
const LARGEST_FILE: u64 = 64 << 20;

/// What stands for a file where only this process knows a key.
const THIS_RUN: &str = "this run of llm-proxy";

/// What the files say about one host.
#[derive(Clone, Debug)]
pub(in crate::ssh) struct KnownHosts {
    /// The name that the key is looked up by, with its port where that is not 22.
    name: String,
    /// The same without a port, as a certificate must hold it.
    certified_name: String,
    /// What a user would type at a shell to come to it, and to look at its keys.
    by_hand: String,
    key_scan: Option<String>,
    /// Where the server was found, for the message about an unknown key.
    address: Option<SocketAddr>,
    /// The user's first file, for the message about an unknown key.
    first_file: PathBuf,
    /// The host that vouches for it, instead of the files.
    vouched_by: Option<String>,
    entries: Vec<Entry>,
    /// The keys of this run, and whose they are.
    learned: Learned,
    server: Server,
    /// What the configuration's lists of revoked keys hold.
    revoked: RevokedKeys,
    algorithms: HostKeyAlgorithms,
}

#[derive(Clone, Debug)]
struct Entry {
    file: Arc<Path>,
    /// Counted from 1; 0 where this process knows the key and no file does.
    line: usize,
    marker: Option<Marker>,
    key: PublicKey,
    /// Whether the line names the port too, if it is not 22. One that does not may only say yes, and only where no line
    /// names the port.
    exact: bool,
}

/// The name that a host's key is looked up by, and written under: `host`, or `[host]:port` where the port is not 22, or the
/// alias of the configuration, which has no port.
pub(super) fn lookup_name(target: &Target) -> String {
    match &target.host_key_alias {
        Some(alias) => alias.to_ascii_lowercase(),
        None if target.port != 22 => format!("[{}]:{}", target.host.to_ascii_lowercase(), target.port),
        None => target.host.to_ascii_lowercase(),
    }
}

impl KnownHosts {
    /// Reads the files, and adds what only this process knows. A file that is not there is passed over.
    ///
    /// # Errors
    /// One that is there and cannot be read, or a list of revoked keys that cannot be used: without it, no key can be
    /// judged.
    pub(in crate::ssh) fn load(target: &Target, learned: &Learned) -> Result<Self, SshError> {
        let (name, server) = (lookup_name(target), Server::of(target));
        let plain = target.host_key_alias.as_ref().unwrap_or(&target.host).to_ascii_lowercase();
        let mut entries = Vec::new();
        let mut take = |file: &Path, text: &str, counts: fn(Option<Marker>) -> bool| {
            let file: Arc<Path> = Arc::from(file);
            entries.extend(text.lines().enumerate().filter_map(|(index, line)| {
                let line = KnownHostsLine::read(line).filter(|line| counts(line.marker))?;
                let exact = line.is_about(&name);
                (exact || line.is_about(&plain)).then(|| Entry {
                    file: Arc::clone(&file),
                    line: index + 1,
                    marker: line.marker,
                    key: line.key,
                    exact,
                })
            }));
        };
        for file in &target.known_hosts {
            let Some(text) = read(file)? else { continue };
            match &target.vouched {
                None => take(file, &text, |_| true),
                // Whom the user knows by this name may be another, and so may the one whom a pattern or an authority is for.
                Some(_) => take(file, &text, |marker| marker == Some(Marker::Revoked)),
            }
        }
        if let Some(vouched) = &target.vouched {
            take(&vouched_file(vouched), &vouched.lines, |_| true);
        }
        let nowhere: Arc<Path> = Arc::from(Path::new(THIS_RUN));
        entries.extend(learned.trusted(&server).into_iter().map(|key| Entry {
            file: Arc::clone(&nowhere),
            line: 0,
            marker: None,
            key,
            exact: true,
        }));
        // As in OpenSSH, the name without its port is only asked where the one with it is unknown: whoever holds the key of
        // another server on that machine must not pass for this one. Authorities speak for the name with every port.
        if entries.iter().any(|entry| entry.exact && entry.marker.is_none()) {
            entries.retain(|entry| entry.exact || entry.marker.is_some());
        }
        let of = |marker: Option<Marker>| entries.iter().filter(move |entry| entry.marker == marker);
        let known: Vec<Algorithm> = of(None).map(|entry| entry.key.algorithm()).collect();
        let authority = of(Some(Marker::CertAuthority)).next().is_some();
        let algorithms = HostKeyAlgorithms::ordered(target.algorithms.host_keys.as_deref(), &known, authority);
        Ok(Self {
            name,
            certified_name: plain,
            by_hand: target.by_hand.clone(),
            key_scan: key_scan(target),
            address: None,
            first_file: match &target.vouched {
                Some(vouched) => vouched_file(vouched),
                None => target.known_hosts.first().cloned().unwrap_or_default(),
            },
            vouched_by: target.vouched.as_ref().map(|vouched| vouched.by.clone()),
            entries,
            learned: learned.clone(),
            server,
            revoked: RevokedKeys::load(target.revoked_host_keys.as_ref())?,
            algorithms,
        })
    }

    /// The same, for a server that was found at this address.
    pub(in crate::ssh) fn reached(self, address: Option<SocketAddr>) -> Self {
        Self { address, ..self }
    }

    /// The kinds of host keys to ask the server for.
    pub(in crate::ssh) fn algorithms(&self) -> HostKeyAlgorithms {
        self.algorithms.clone()
    }

    /// Judges what the server has proved to hold: a key, or a certificate and the key that it is for.
    ///
    /// # Errors
    /// The key is revoked, another than the known one, or unknown.
    pub(in crate::ssh) fn verify(&self, shown: &PublicKeyOrCertificate) -> Result<(), SshError> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.verify_key(key),
            PublicKeyOrCertificate::Certificate(certificate) => self.verify_certificate(certificate, SystemTime::now()),
        }
    }

    /// Judges a key that has no certificate.
    pub(super) fn verify_key(&self, key: &PublicKey) -> Result<(), SshError> {
        self.not_revoked(key, key)?;
        self.known(key, None)
    }

    /// Judges a certificate. As in OpenSSH, one that is not good makes nothing worse: then its key alone is judged. But
    /// nothing helps where the key or the authority is revoked.
    pub(super) fn verify_certificate(&self, certificate: &Certificate, now: SystemTime) -> Result<(), SshError> {
        let key = PublicKey::new(certificate.public_key().clone(), "");
        self.not_revoked(&key, &key)?;
        self.not_revoked(&PublicKey::new(certificate.signature_key().clone(), ""), &key)?;
        let signer = |entry: &&Entry| entry.key.key_data() == certificate.signature_key();
        let note = match self.marked(Some(Marker::CertAuthority)).find(signer) {
            None => "no authority signed it that is named for this host".to_owned(),
            Some(authority) => match certificate::check(certificate, &authority.key, &self.certified_name, now) {
                Ok(()) => {
                    self.learned.seen(&self.server, &key);
                    return Ok(());
                }
                Err(unfit) => unfit.to_string(),
            },
        };
        tracing::debug!(host = %self.name, note, "the host's certificate is not good, so its key is judged alone");
        self.known(&key, Some(note))
    }

    fn marked(&self, marker: Option<Marker>) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.marker == marker)
    }

    /// Comes before all else: a revoked key is refused whatever else is said about it. `shown` is the server's key, and
    /// `key` that or the one of the authority which speaks for it.
    fn not_revoked(&self, key: &PublicKey, shown: &PublicKey) -> Result<(), SshError> {
        let same = |entry: &&Entry| entry.key.key_data() == key.key_data();
        let marked = self.marked(Some(Marker::Revoked)).find(same).map(|entry| (&*entry.file, entry.line));
        match marked.or_else(|| self.revoked.place_of(key)) {
            None => Ok(()),
            Some((file, line)) => Err(SshError::HostKeyRevoked {
                host: self.name.clone(),
                key_type: key_type(shown),
                fingerprint: fingerprint(shown),
                file: file.to_owned(),
                line,
            }),
        }
    }

    /// Whether a line holds this key; `certificate` says why its certificate was not enough, if there was one.
    fn known(&self, key: &PublicKey, certificate: Option<String>) -> Result<(), SshError> {
        if self.marked(None).any(|entry| entry.key.key_data() == key.key_data()) {
            self.learned.seen(&self.server, key);
            return Ok(());
        }
        // As in OpenSSH, also where all that is known is of other kinds: we asked for those first, and the server no longer
        // has them. The line of the same kind is the one to look at, if there is one.
        let exact = || self.marked(None).filter(|entry| entry.exact);
        let other =
            exact().find(|entry| same_kind(&entry.key.algorithm(), &key.algorithm())).or_else(|| exact().next());
        if let Some(other) = other {
            return Err(self.changed(key, &other.file, other.line));
        }
        // Files may have lost what they said; the server of a run stays the one that it was.
        if self.learned.knows_another(&self.server, key) {
            return Err(self.changed(key, Path::new(THIS_RUN), 0));
        }
        let authority = self.marked(Some(Marker::CertAuthority)).next();
        Err(SshError::HostKeyUnknown {
            host: self.name.clone(),
            key_type: key_type(key),
            fingerprint: fingerprint(key),
            file: self.first_file.clone(),
            besides: Box::new(UnknownServer {
                by_hand: self.by_hand.clone(),
                address: self.address,
                authority: authority.map(|entry| (entry.file.to_path_buf(), entry.line)),
                certificate,
                vouched_by: self.vouched_by.clone(),
            }),
            key: Box::new(key.clone()),
        })
    }

    fn changed(&self, key: &PublicKey, file: &Path, line: usize) -> SshError {
        SshError::HostKeyChanged {
            host: self.name.clone(),
            key_type: key_type(key),
            fingerprint: fingerprint(key),
            file: file.to_owned(),
            line,
            besides: Box::new(ChangedServer {
                by_hand: self.by_hand.clone(),
                users_file: self.first_file.display().to_string(),
                key_scan: self.key_scan.clone(),
                vouched_by: self.vouched_by.clone(),
            }),
        }
    }
}

/// What stands for a file where another host vouches.
fn vouched_file(vouched: &Vouched) -> PathBuf {
    PathBuf::from(format!("the known hosts of {}", vouched.by))
}

/// The text of a file of known hosts; `None` where there is no such file.
///
/// # Errors
/// It is there and cannot be read.
pub(super) fn read(file: &Path) -> Result<Option<String>, SshError> {
    match regular_file::read(file, LARGEST_FILE) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SshError::KnownHostsUnreadable { file: file.to_owned(), source: Arc::new(error) }),
    }
}

/// The kind of key, as `known_hosts` names it.
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
