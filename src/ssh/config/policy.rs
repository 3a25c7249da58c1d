//! What the configuration decides beside names and files.

use std::time::Duration;

use super::Target;

/// How a server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::ssh) enum Way {
    /// By TCP.
    #[default]
    Direct,
    /// By a channel of another server (`ProxyJump`), which may itself be reached through a third.
    Jump(Box<Target>),
    /// By the standard streams of a command of the user's (`ProxyCommand`), its tokens replaced, for the user's own shell.
    Command(String),
}

/// Which of a host's addresses count (`AddressFamily`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ssh) enum AddressFamily {
    #[default]
    Any,
    Inet,
    Inet6,
}

/// What becomes of a server whose key is not known (`StrictHostKeyChecking`). One whose key changed is always refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ssh) enum UnknownHostKey {
    /// A person is asked; where there is none, it is refused.
    #[default]
    Ask,
    /// It is trusted from now on.
    Accept,
    /// It is refused.
    Refuse,
}

/// A way to show who we are that we have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ssh) enum Method {
    PublicKey,
    KeyboardInteractive,
    Password,
}

/// The methods in the order in which `ssh` tries them, if nothing else is said.
pub(in crate::ssh) const METHODS: [Method; 3] = [Method::PublicKey, Method::KeyboardInteractive, Method::Password];

/// The algorithms that the configuration asks for, in its order, as `ssh` names them; `None`: ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::ssh) struct Algorithms {
    /// `KexAlgorithms`.
    pub(in crate::ssh) kex: Option<Vec<String>>,
    /// `Ciphers`.
    pub(in crate::ssh) ciphers: Option<Vec<String>>,
    /// `MACs`.
    pub(in crate::ssh) macs: Option<Vec<String>>,
    /// `HostKeyAlgorithms`.
    pub(in crate::ssh) host_keys: Option<Vec<String>>,
    /// `PubkeyAcceptedAlgorithms`.
    pub(in crate::ssh) public_keys: Option<Vec<String>>,
}

/// How a silent server is found out (`ServerAliveInterval`, `ServerAliveCountMax`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ssh) struct KeepAlive {
    /// How long it may be silent before it is asked whether it lives.
    pub(in crate::ssh) interval: Duration,
    /// How many such questions may go unanswered.
    pub(in crate::ssh) questions: usize,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(15), questions: 3 }
    }
}
