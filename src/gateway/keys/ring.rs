//! All keys together, and which of them somebody shows.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::access_key::AccessKey;
use super::reach::Kind;
use super::usage::Usage;
use crate::config::KeyUse;
use crate::fleet::{Member, Roster};
use crate::instance::Party;
use crate::secret::{Key, SaltedDigest};

/// The keys of a moment. A later ring knows what is under way with the keys of the one before.
pub(in crate::gateway) struct KeyRing {
    salt: [u8; 32],
    entries: Vec<(SaltedDigest, Arc<Entry>)>,
}

/// One key, without the key.
#[derive(Debug)]
pub(in crate::gateway) struct Entry {
    /// None: the one key that opens everything.
    pub(super) key: Option<AccessKey>,
    pub(super) usage: Arc<Usage>,
    pub(super) party: Party,
}

impl KeyRing {
    /// Of the key that opens everything, if there is one, and of the named ones; those that `before` has under the same name
    /// go on with what they have used.
    pub(in crate::gateway) fn new(access_key: Option<&Key>, named: Vec<AccessKey>, before: Option<&Self>) -> Self {
        /// The party of those who have no name.
        const NAMELESS: Party = Party(0);
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let salt = random_salt();
        let shared = access_key.map(|key| {
            let entry = Entry { key: None, usage: Arc::new(Usage::new()), party: NAMELESS };
            (key.digest().salted(&salt), Arc::new(entry))
        });
        let of_name = |key: AccessKey| {
            let earlier = before.and_then(|ring| ring.named(&key.name));
            let (usage, party) = match earlier {
                Some(earlier) => (Arc::clone(&earlier.usage), earlier.party),
                None => (Arc::new(Usage::new()), Party(NEXT.fetch_add(1, Ordering::Relaxed))),
            };
            (key.digest.salted(&salt), Arc::new(Entry { key: Some(key), usage, party }))
        };
        let entries = shared.into_iter().chain(named.into_iter().map(of_name)).collect();
        Self { salt, entries }
    }

    /// Whether nobody is asked for a key.
    pub(in crate::gateway) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whose key this is. All are compared, each in a time that depends on none of them: what is compared are digests with
    /// a salt that nobody outside knows, so that not even the place of a difference would say anything of a key.
    pub(in crate::gateway) fn find(&self, guess: &[u8]) -> Option<&Arc<Entry>> {
        let guess = Key::digest_of(guess).salted(&self.salt);
        let mut found = None;
        for (digest, entry) in &self.entries {
            if digest.is(&guess) {
                found = Some(entry);
            }
        }
        found
    }

    fn named(&self, name: &str) -> Option<&Arc<Entry>> {
        let entries = self.entries.iter().map(|(_, entry)| entry);
        entries.into_iter().find(|entry| entry.key.as_ref().is_some_and(|key| key.name == name))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.entries.iter().map(|(_, entry)| entry.key.as_ref().map(|key| key.name.as_str()));
        f.debug_list().entries(names).finish()
    }
}

impl Entry {
    /// What of `roster` may be used with it; nothing where that is all of it.
    pub(super) fn view(&self, roster: &Roster) -> Option<Roster> {
        let models = self.key.as_ref()?.models.as_ref()?;
        let may_be_used = |member: &Member| {
            let own = [Some(member.name()), member.group()];
            let of_file = |model: &str| own.into_iter().flatten().any(|name| name.as_str() == model);
            models.iter().any(|model| of_file(model) || member.names().any(|name| name == model))
        };
        Some(roster.only(may_be_used))
    }

    /// The same, but for who manages: he sees all.
    pub(in crate::gateway) fn view_of_user(&self, roster: &Roster) -> Option<Roster> {
        let manages = Kind::Management.is_for(self.purpose());
        if manages { None } else { self.view(roster) }
    }

    pub(super) fn purpose(&self) -> KeyUse {
        self.key.as_ref().map_or(KeyUse::Both, |key| key.purpose)
    }
}

/// Without any it works as well: a salt only keeps who reads our memory from looking digests up in a table made before.
fn random_salt() -> [u8; 32] {
    let mut salt = [0; 32];
    if let Err(error) = getrandom::fill(&mut salt) {
        tracing::warn!(%error, "the system gave no random bytes: access keys are kept with a salt that is no secret");
    }
    salt
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn named(name: &str, key: &str) -> AccessKey {
        AccessKey {
            name: name.to_owned(),
            digest: Key::new(key).digest(),
            purpose: KeyUse::Both,
            models: None,
            requests_in_flight: None,
            requests_per_minute: None,
        }
    }

    fn name_of(ring: &KeyRing, guess: &str) -> Option<String> {
        ring.find(guess.as_bytes()).map(|entry| entry.key.as_ref().map_or("-", |key| key.name.as_str()).to_owned())
    }

    #[test]
    fn each_key_is_found_by_itself_alone_and_none_is_shown() {
        let ring = KeyRing::new(Some(&Key::new("door")), vec![named("class", "sesame"), named("ops", "simsim")], None);
        assert_eq!(name_of(&ring, "door").as_deref(), Some("-"));
        assert_eq!(name_of(&ring, "sesame").as_deref(), Some("class"));
        assert_eq!(name_of(&ring, "simsim").as_deref(), Some("ops"));
        for wrong in ["", "doo", "doors", "class", "sesamesimsim"] {
            assert_eq!(name_of(&ring, wrong), None, "{wrong}");
        }
        let shown = format!("{ring:?}");
        assert!(shown.contains("class") && !shown.contains("sesame") && !shown.contains("door"), "{shown}");
        let digits = shown.chars().filter(char::is_ascii_digit).count();
        assert!(digits < 20, "neither a digest nor the salt: {shown}");
    }

    #[test]
    fn a_later_ring_goes_on_with_what_is_used_under_a_name() {
        let first = KeyRing::new(None, vec![named("class", "old"), named("gone", "gone")], None);
        let second = KeyRing::new(None, vec![named("class", "new"), named("more", "more")], Some(&first));
        assert_eq!((name_of(&second, "old"), name_of(&second, "gone")), (None, None));
        let (before, after) = (first.find(b"old").unwrap(), second.find(b"new").unwrap());
        assert!(Arc::ptr_eq(&before.usage, &after.usage) && before.party == after.party);
        let parties =
            [first.find(b"gone"), second.find(b"new"), second.find(b"more")].map(|entry| entry.unwrap().party);
        assert!(parties[0] != parties[1] && parties[1] != parties[2] && parties[0] != parties[2], "{parties:?}");
    }

    proptest! {
        #[test]
        fn no_guess_is_fatal_or_opens(guess: Vec<u8>) {
            prop_assume!(guess != b"sesame");
            let ring = KeyRing::new(None, vec![named("class", "sesame")], None);
            prop_assert!(ring.find(&guess).is_none());
        }
    }
}
