//! What a run of this program learned about servers, for as long as it lasts.

use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::PublicKey;

use super::known_hosts::lookup_name;
use crate::ssh::config::Target;

/// Keys of servers. Cloning it shares them.
#[derive(Clone, Debug, Default)]
pub(in crate::ssh) struct Learned(Arc<Mutex<Vec<LearnedKey>>>);

/// A server: two that are looked up by one name, as a host and one on the way to it may be, have nothing to do with one
/// another here, as they may each have files of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    name: String,
    host: String,
    port: u16,
}

impl Server {
    /// The server that `target` leads to.
    pub(super) fn of(target: &Target) -> Self {
        Self { name: lookup_name(target), host: target.host.clone(), port: target.port }
    }
}

#[derive(Debug)]
struct LearnedKey {
    server: Server,
    key: PublicKey,
    /// Whether it is trusted though no file holds it. The others only say that every further key is another one: who takes
    /// a key out of the files takes the trust out with it.
    trusted: bool,
}

impl Learned {
    /// Trusts a key that could not be written down for this server.
    pub(super) fn trust(&self, server: &Server, key: &PublicKey) {
        self.add(server, key, true);
    }

    /// Notes that this server showed a key that the files hold.
    pub(super) fn seen(&self, server: &Server, key: &PublicKey) {
        self.add(server, key, false);
    }

    fn add(&self, server: &Server, key: &PublicKey, trusted: bool) {
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &&mut LearnedKey| known.server == *server && known.key.key_data() == key.key_data();
        match learned.iter_mut().find(same) {
            Some(known) => known.trusted |= trusted,
            None => learned.push(LearnedKey { server: server.clone(), key: key.clone(), trusted }),
        }
    }

    /// The keys that are trusted for this server.
    pub(super) fn trusted(&self, server: &Server) -> Vec<PublicKey> {
        let learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        learned.iter().filter(|known| known.trusted && known.server == *server).map(|known| known.key.clone()).collect()
    }

    /// Whether this server showed another key in this run, and never this one.
    pub(super) fn knows_another(&self, server: &Server, key: &PublicKey) -> bool {
        let learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = learned.iter().filter(|known| known.server == *server).peekable();
        keys.peek().is_some() && keys.all(|known| known.key.key_data() != key.key_data())
    }
}
