//! The lists of algorithms, and what `+`, `-` and `^` before one do to ours.

use russh::{cipher, kex, mac};

use super::pattern;

/// What a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ssh) enum Kind {
    KeyExchange,
    Cipher,
    Mac,
    HostKey,
    PublicKey,
}

/// The keys, in the order in which `ssh` prefers them.
const KEYS: [&str; 8] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// What only counts where it is asked for: RSA keys whose signatures are made with SHA-1.
const OLD_RSA: &str = "ssh-rsa";

/// The names that begin with what is printed and stand for no protection at all.
const NOTHING: [&str; 2] = ["none", "clear"];

impl Kind {
    /// The keyword that sets this list.
    pub(in crate::ssh) fn keyword(self) -> &'static str {
        match self {
            Self::KeyExchange => "KexAlgorithms",
            Self::Cipher => "Ciphers",
            Self::Mac => "MACs",
            Self::HostKey => "HostKeyAlgorithms",
            Self::PublicKey => "PubkeyAcceptedAlgorithms",
        }
    }

    /// What we offer where nothing is configured.
    fn usual(self) -> Vec<String> {
        match self {
            Self::KeyExchange => owned(&[
                kex::MLKEM768X25519_SHA256.as_ref(),
                kex::CURVE25519.as_ref(),
                kex::CURVE25519_PRE_RFC_8731.as_ref(),
                kex::DH_GEX_SHA256.as_ref(),
                kex::DH_G18_SHA512.as_ref(),
                kex::DH_G17_SHA512.as_ref(),
                kex::DH_G16_SHA512.as_ref(),
                kex::DH_G15_SHA512.as_ref(),
                kex::DH_G14_SHA256.as_ref(),
                kex::ECDH_SHA2_NISTP256.as_ref(),
                kex::ECDH_SHA2_NISTP384.as_ref(),
                kex::ECDH_SHA2_NISTP521.as_ref(),
            ]),
            Self::Cipher => owned(&[
                cipher::AES_128_GCM.as_ref(),
                cipher::AES_256_GCM.as_ref(),
                cipher::CHACHA20_POLY1305.as_ref(),
                cipher::AES_256_CTR.as_ref(),
                cipher::AES_192_CTR.as_ref(),
                cipher::AES_128_CTR.as_ref(),
            ]),
            Self::Mac => owned(&[
                mac::HMAC_SHA512_ETM.as_ref(),
                mac::HMAC_SHA256_ETM.as_ref(),
                mac::HMAC_SHA512.as_ref(),
                mac::HMAC_SHA256.as_ref(),
            ]),
            Self::HostKey | Self::PublicKey => {
                let certificates = KEYS.iter().map(|key| certificate(key));
                certificates.chain(KEYS.iter().map(ToString::to_string)).collect()
            }
        }
    }

    /// What we can do, wanted or not.
    fn all(self) -> Vec<String> {
        let names: Vec<String> = match self {
            Self::KeyExchange => kex::ALL_KEX_ALGORITHMS.iter().map(|name| name.as_ref().to_owned()).collect(),
            Self::Cipher => cipher::ALL_CIPHERS.iter().map(|name| name.as_ref().to_owned()).collect(),
            Self::Mac => mac::ALL_MAC_ALGORITHMS.iter().map(|name| name.as_ref().to_owned()).collect(),
            Self::HostKey | Self::PublicKey => {
                let keys = KEYS.iter().chain(std::iter::once(&OLD_RSA));
                keys.flat_map(|key| [(*key).to_owned(), certificate(key)]).collect()
            }
        };
        names.into_iter().filter(|name| !NOTHING.contains(&name.as_str())).collect()
    }

    /// The list that `written` stands for: one of its own, or ours with more at its end (`+`), at its head (`^`), or less
    /// (`-`). What we cannot do is left out; it may be empty.
    pub(in crate::ssh) fn list(self, written: &str) -> Vec<String> {
        let (sign, patterns) = match written.chars().next() {
            Some(sign @ ('+' | '-' | '^')) => (Some(sign), written.get(1..).unwrap_or_default()),
            Some(_) | None => (None, written),
        };
        let patterns: Vec<&str> = patterns.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).collect();
        if sign == Some('-') {
            let gone = |name: &String| patterns.iter().any(|pattern| pattern::matches(pattern, name));
            return self.usual().into_iter().filter(|name| !gone(name)).collect();
        }
        let all = self.all();
        let named =
            patterns.iter().flat_map(|pattern| all.iter().filter(|name| pattern::matches(pattern, name)).cloned());
        let mut list: Vec<String> = Vec::new();
        let add = |list: &mut Vec<String>, name: String| {
            if !list.contains(&name) {
                list.push(name);
            }
        };
        match sign {
            Some('+') => self.usual().into_iter().chain(named).for_each(|name| add(&mut list, name)),
            Some('^') => named.chain(self.usual()).for_each(|name| add(&mut list, name)),
            Some(_) | None => named.for_each(|name| add(&mut list, name)),
        }
        list
    }
}

/// The name of the certificate of a key of this kind.
fn certificate(key: &str) -> String {
    match key.strip_suffix("@openssh.com") {
        Some(bare) => format!("{bare}-cert-v01@openssh.com"),
        None => format!("{key}-cert-v01@openssh.com"),
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    const KINDS: [Kind; 5] = [Kind::KeyExchange, Kind::Cipher, Kind::Mac, Kind::HostKey, Kind::PublicKey];

    #[test]
    fn our_own_lists_are_of_what_we_can_do() {
        for kind in KINDS {
            let all = kind.all();
            assert!(kind.usual().iter().all(|name| all.contains(name)), "{kind:?}");
            assert!(!kind.usual().is_empty());
            assert!(!all.iter().any(|name| NOTHING.contains(&name.as_str())));
        }
    }

    #[test_case(Kind::Cipher, "aes256-ctr,aes128-ctr", &["aes256-ctr", "aes128-ctr"])]
    #[test_case(Kind::Cipher, "blowfish-cbc,aes128-ctr,none", &["aes128-ctr"]; "what we cannot do and no protection")]
    #[test_case(Kind::Cipher, "blowfish-cbc", &[]; "nothing is left")]
    #[test_case(Kind::Cipher, "", &[])]
    #[test_case(Kind::Cipher, "-aes*", &["chacha20-poly1305@openssh.com"])]
    #[test_case(Kind::Cipher, "-*", &[]; "everything is taken away")]
    #[test_case(Kind::Mac, "hmac-sha2-*", &["hmac-sha2-256", "hmac-sha2-512", "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com"]; "a pattern")]
    #[test_case(Kind::PublicKey, "ssh-rsa", &["ssh-rsa"])]
    fn lists(kind: Kind, written: &str, expected: &[&str]) {
        assert_eq!(kind.list(written), expected);
    }

    #[test]
    fn signs_change_our_own_list() {
        let usual = Kind::Cipher.usual();
        let more = Kind::Cipher.list("+aes256-cbc");
        assert_eq!(more.split_last().map(|(last, rest)| (last.as_str(), rest)), Some(("aes256-cbc", usual.as_slice())));
        let first = Kind::Cipher.list("^aes128-ctr");
        assert_eq!(first.first().map(String::as_str), Some("aes128-ctr"));
        assert_eq!(first.len(), usual.len());
        assert_eq!(Kind::HostKey.list("+ssh-rsa").last().map(String::as_str), Some("ssh-rsa"));
        assert!(!Kind::HostKey.usual().contains(&"ssh-rsa".to_owned()));
    }

    proptest! {
        #[test]
        fn a_list_holds_each_name_once_and_only_what_we_can_do(
            sign in "[-+^]?", names in "([a-z0-9*?-]{0,8},){0,4}[a-z0-9*]{0,4}"
        ) {
            for kind in KINDS {
                let list = kind.list(&format!("{sign}{names}"));
                let all = kind.all();
                prop_assert!(list.iter().all(|name| all.contains(name)));
                let distinct: std::collections::BTreeSet<_> = list.iter().collect();
                prop_assert_eq!(distinct.len(), list.len());
                match sign.as_str() {
                    "+" => prop_assert!(list.starts_with(&kind.usual())),
                    "^" => prop_assert!(kind.usual().iter().all(|name| list.contains(name))),
                    "-" => prop_assert!(list.iter().all(|name| kind.usual().contains(name))),
                    _ => {}
                }
            }
        }
    }
}
