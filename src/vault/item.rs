//! What may be kept, and under which name.

use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;
use secrecy::zeroize::Zeroize;

use crate::vault::VaultError;

/// One secret that may be kept. There is none for one-time codes, on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// What opens a private key's file.
    Passphrase {
        /// The key's file, as an absolute path: a relative one would mean another file from another folder.
        file: PathBuf,
    },
    /// What an account's owner types.
    Password {
        /// The account.
        user: String,
        /// What the user calls the host, and in brackets what its name comes to, if that is another.
        host: String,
        /// The host's TCP port.
        port: u16,
        /// What the way to it leads through, if it leads through anything: the same name means another machine elsewhere.
        through: Option<String>,
    },
}

/// The name under which all of ours stands in the system's keyring.
pub(super) const APPLICATION: &str = "llm-proxy";

/// What stands before the way to a host.
const THROUGH: &str = " through ";

/// SSH's own, which goes without saying.
const USUAL_PORT: u16 = 22;

impl Item {
    /// The name it is kept under: read back by [`Item::from_name`]. None where it would not be found again, or found as
    /// another's.
    pub(super) fn name(&self) -> Option<String> {
        let name = match self {
            Self::Passphrase { file } => format!("passphrase {}", file.to_str()?),
            Self::Password { user, host, port, through: None } => format!("password {user}@{host}:{port}"),
            Self::Password { user, host, port, through: Some(through) } => {
                format!("password {user}@{host}:{port}{THROUGH}{through}")
            }
        };
        let plain = !name.chars().any(char::is_control);
        (plain && Self::from_name(&name).as_ref() == Some(self)).then_some(name)
    }

    /// The item of this name, if it is one of ours.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name.split_once(' ')? {
            ("passphrase", file) => Some(Self::Passphrase { file: PathBuf::from(file) }),
            ("password", account) => {
                let (account, through) = match account.split_once(THROUGH) {
                    Some((account, through)) => (account, Some(through.to_owned())),
                    None => (account, None),
                };
                // A host's name has no `@`, and an IPv6 address has colons: both are split at the last.
                let (user, place) = account.rsplit_once('@')?;
                let (host, port) = place.rsplit_once(':')?;
                Some(Self::Password { user: user.to_owned(), host: host.to_owned(), port: port.parse().ok()?, through })
            }
            _ => None,
        }
    }

    /// What a keyring held for it.
    pub(super) fn secret(&self, bytes: Vec<u8>) -> Result<SecretString, VaultError> {
        String::from_utf8(bytes).map(SecretString::from).map_err(|error| {
            error.into_bytes().zeroize();
            VaultError::NotText(self.clone())
        })
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passphrase { file } => write!(f, "the passphrase of {}", file.display()),
            Self::Password { user, host, port, through } => {
                write!(f, "the password of {user}@{host}")?;
                if *port != USUAL_PORT {
                    write!(f, ", port {port}")?;
                }
                through.iter().try_for_each(|through| write!(f, ",{THROUGH}{through}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    fn password(user: &str, host: &str, port: u16) -> Item {
        Item::Password { user: user.to_owned(), host: host.to_owned(), port, through: None }
    }

    fn behind(through: &str, host: &str) -> Item {
        Item::Password { user: "me".to_owned(), host: host.to_owned(), port: 22, through: Some(through.to_owned()) }
    }

    #[test]
    fn an_item_is_found_by_its_name() {
        let items = [
            Item::Passphrase { file: PathBuf::from("/home/x y/.ssh/id ed25519") },
            password("me", "cluster", 22),
            password("me@example.org", "2001:db8::1", 2222),
            password("me", "cluster (login.example.org)", 22),
            behind("gate, me@other:2222", "cluster"),
            behind("`ssh -W [%h]:%p x through y`", "cluster (2001:db8::1)"),
        ];
        for item in items {
            assert_eq!(Item::from_name(&item.name().unwrap()), Some(item));
        }
        for foreign in ["", "passphrase", "password me@host", "password host:22", "password me@host:x", "code 123456"] {
            assert_eq!(Item::from_name(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn what_would_be_found_as_anothers_has_no_name() {
        let bytes = OsString::from_vec(b"/home/x/\xff".to_vec());
        assert_eq!(Item::Passphrase { file: PathBuf::from(bytes) }.name(), None);
        assert_eq!(password("me", "host@other", 22).name(), None);
        assert_eq!(password("me", "host\n", 22).name(), None);
        assert_eq!(password("me through x", "host", 22).name(), None);
    }

    #[test]
    fn what_is_not_text_is_no_secret() {
        let item = password("me", "cluster", 22);
        assert_eq!(item.secret("pässword".into()).unwrap().expose_secret(), "pässword");
        assert_eq!(item.secret(vec![b'x', 0xff]).unwrap_err(), VaultError::NotText(item));
    }

    #[test]
    fn it_says_what_is_kept() {
        assert_eq!(
            Item::Passphrase { file: "/home/x/.ssh/id".into() }.to_string(),
            "the passphrase of /home/x/.ssh/id"
        );
        assert_eq!(password("me", "cluster", 22).to_string(), "the password of me@cluster");
        assert_eq!(password("me", "cluster", 2222).to_string(), "the password of me@cluster, port 2222");
        assert_eq!(behind("gate", "cluster").to_string(), "the password of me@cluster, through gate");
    }

    proptest! {
        #[test]
        fn no_two_items_share_a_name(user in ".*", host in ".*", port: u16, other_user in ".*", other_host in ".*") {
            let (one, other) = (password(&user, &host, port), password(&other_user, &other_host, port));
            if one != other && let (Some(name), Some(other_name)) = (one.name(), other.name()) {
                prop_assert_ne!(name, other_name);
            }
        }
    }
}
