//! What a run of this program learned about servers, for as long as it lasts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::keys::PublicKey;

use super::known_hosts::lookup_name;
use crate::ssh::config::Target;

/// What this run learned. Cloning it shares that.
#[derive(Clone, Debug, Default)]
pub(in crate::ssh) struct Learned(Arc<Mutex<Lessons>>);

#[derive(Debug, Default)]
struct Lessons {
    keys: Vec<LearnedKey>,
    /// The servers whose key was taken though nobody had seen it.
    unasked: Vec<Server>,
    /// What became of those keys.
    accepted: Vec<AcceptedKey>,
}

/// A key of a server that nobody knew, taken without a question because the configuration says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedKey {
    /// The server, as it is looked up.
    pub host: String,
    /// The key's SHA-256 fingerprint.
    pub fingerprint: String,
    /// The file that it was written to, or why it was not.
    pub kept: Result<String, String>,
}

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

    /// Notes that this server's key was taken without a question.
    pub(super) fn taken_unasked(&self, server: &Server) {
        self.lessons().unasked.push(server.clone());
    }

    /// Notes what became of such a key.
    pub(super) fn accepted(&self, key: AcceptedKey) {
        self.lessons().accepted.push(key);
    }

    /// The keys that were taken in this run without a question.
    pub(in crate::ssh) fn accepted_keys(&self) -> Vec<AcceptedKey> {
        self.lessons().accepted.clone()
    }

    /// Whether this server's key was taken in this run without a question: it may be anybody's, and must not be given a
    /// password that was kept for the one whom the user means.
    pub(in crate::ssh) fn took_unasked(&self, target: &Target) -> bool {
        self.lessons().unasked.contains(&Server::of(target))
    }

    /// A person gave this server a password, and had it kept for it.
    pub(in crate::ssh) fn vouched_for(&self, target: &Target) {
        let server = Server::of(target);
        self.lessons().unasked.retain(|unasked| *unasked != server);
    }

    fn add(&self, server: &Server, key: &PublicKey, trusted: bool) {
        let mut lessons = self.lessons();
        let same = |known: &&mut LearnedKey| known.server == *server && known.key.key_data() == key.key_data();
        match lessons.keys.iter_mut().find(same) {
            Some(known) => known.trusted |= trusted,
            None => lessons.keys.push(LearnedKey { server: server.clone(), key: key.clone(), trusted }),
        }
    }

    /// The keys that are trusted for this server.
    pub(super) fn trusted(&self, server: &Server) -> Vec<PublicKey> {
        let lessons = self.lessons();
        lessons
            .keys
            .iter()
            .filter(|known| known.trusted && known.server == *server)
            .map(|known| known.key.clone())
            .collect()
    }

    /// Whether this server showed another key in this run, and never this one.
    pub(super) fn knows_another(&self, server: &Server, key: &PublicKey) -> bool {
        let lessons = self.lessons();
        let mut keys = lessons.keys.iter().filter(|known| known.server == *server).peekable();
        keys.peek().is_some() && keys.all(|known| known.key.key_data() != key.key_data())
    }

    fn lessons(&self) -> MutexGuard<'_, Lessons> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
