//! The one type for a host, wherever it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Endpoint, HostError, HostStream, LocalHost, Program, SshHost};
use crate::ssh::{Link, NetworkWatch, SshClient};

/// A machine where we can run a command and dial an address: this one, or one that SSH reaches.
#[derive(Clone, Debug)]
pub enum Host {
    /// This machine.
    Local(LocalHost),
    /// A machine reached by our own SSH client.
    Ssh(Arc<SshHost>),
}

impl Host {
    /// Opens a byte stream to `endpoint`, as this host sees it.
    ///
    /// # Errors
    /// It refused, could not be found, or the host forbids or cannot carry the connection.
    pub async fn dial(&self, endpoint: &Endpoint) -> Result<HostStream, HostError> {
        match self {
            Self::Local(host) => host.dial(endpoint).await,
            Self::Ssh(host) => host.dial(endpoint).await,
        }
    }

    /// Whether the host can be reached, for those who watch; this machine always can.
    #[must_use]
    pub fn link(&self) -> Option<watch::Receiver<Link>> {
        match self {
            Self::Local(_) => None,
            Self::Ssh(host) => Some(host.client().link()),
        }
    }

    /// The host's SSH client; this machine has none.
    #[must_use]
    pub fn client(&self) -> Option<&SshClient> {
        match self {
            Self::Local(_) => None,
            Self::Ssh(host) => Some(host.client()),
        }
    }

    /// Watches this machine's way to the host.
    #[must_use]
    pub fn network_watch(&self) -> Option<NetworkWatch> {
        match self {
            Self::Local(_) => None,
            Self::Ssh(host) => Some(host.client().network_watch()),
        }
    }

    /// The way to the host may be better than it was: what failed before is tried again without a pause.
    pub fn network_is_back(&self) {
        match self {
            Self::Local(_) => {}
            Self::Ssh(host) => host.client().network_is_back(),
        }
    }

    /// Returns once the host has answered a question, or once there is no connection to ask it by, and says which.
    pub async fn ping(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Ssh(host) => host.client().ping().await,
        }
    }

    /// Starts `program`, one word that every login shell reads alike, with its three standard streams in our hands.
    ///
    /// # Errors
    /// The host cannot be reached, or the program cannot be started.
    pub async fn spawn(&self, shell: Shell) -> Result<Program, HostError> {
        match self {
            Self::Local(_) => LocalHost::spawn(shell),
            Self::Ssh(host) => host.spawn(shell).await,
        }
    }
}

/// Which shell reads our scripts, from its standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shell {
    /// `/bin/sh -s`.
    Posix,
    /// `/bin/sh -s` in what the user's own login shell makes of the environment, for hosts whose `PATH` is made by their
    /// profile: what works at the user's prompt works here, whatever shell it is.
    Login,
}

/// Becomes the user's own shell as a login does (`-tcsh`), which becomes the one that reads our scripts. `-l` would be
/// shorter, but tcsh takes it alone. For bash; without single quotes.
macro_rules! by_login_shell {
    () => {
        r#"exec -l "${SHELL:-/bin/bash}" -c "exec /bin/sh -s""#
    };
}

/// What bash is given to read our scripts in a login's environment.
pub(super) const BY_LOGIN_SHELL: &str = by_login_shell!();

impl Shell {
    /// The command, in words and quotes that sh, bash, csh and fish all read alike.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Posix => "/bin/sh -s",
            Self::Login => concat!("/bin/bash -c '", by_login_shell!(), "'"),
        }
    }
}
