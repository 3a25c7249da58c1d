//! One line of a `known_hosts` file.

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::{HostPatterns, Marker};
use sha1::Sha1;

use crate::ssh::config::pattern;

/// A line that names a key.
#[derive(Clone, Debug)]
pub(in crate::ssh) struct KnownHostsLine {
    pub(in crate::ssh) marker: Option<Marker>,
    hosts: HostPatterns,
    pub(in crate::ssh) key: PublicKey,
}

impl KnownHostsLine {
    /// Reads a line; `None` for an empty one, a comment, and what cannot be read: as in OpenSSH, a broken line is passed
    /// over, for a key that it might have held is then an unknown one, and refused.
    pub(in crate::ssh) fn read(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace().peekable();
        if fields.peek()?.starts_with('#') {
            return None;
        }
        let marker = fields.next_if(|field| field.starts_with('@'));
        let marker = marker.map(|marker| marker.parse().ok());
        let marker = match marker {
            Some(None) => return None,
            Some(Some(known)) => Some(known),
            None => None,
        };
        let hosts = fields.next()?.parse().ok()?;
        let (kind, key) = (fields.next()?, fields.next()?);
        let key = PublicKey::from_openssh(&format!("{kind} {key}")).ok()?;
        Some(Self { marker, hosts, key })
    }

    /// The names, as a person may read them.
    pub(in crate::ssh) fn names(&self) -> String {
        match &self.hosts {
            HostPatterns::Patterns(patterns) => patterns.join(","),
            HostPatterns::HashedName { .. } => "[hashed name]".to_owned(),
        }
    }

    /// Whether the line is about `name`, which is in small letters and has the form `host` or `[host]:port`.
    pub(in crate::ssh) fn is_about(&self, name: &str) -> bool {
        match &self.hosts {
            HostPatterns::Patterns(patterns) => {
                let patterns: Vec<String> = patterns.iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
                pattern::list_matches(patterns.iter().map(String::as_str), name)
            }
            HostPatterns::HashedName { salt, hash } => {
                Hmac::<Sha1>::new_from_slice(salt).is_ok_and(|mac| mac.chain_update(name).verify_slice(hash).is_ok())
            }
        }
    }
}
