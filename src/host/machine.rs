//! The one type for a host, wherever it is.

use std::sync::Arc;

use super::{Address, HostError, HostStream, LocalHost, Program, SshHost};

/// A machine where we can run a command and dial an address: this one, or one that SSH reaches.
#[derive(Clone, Debug)]
pub enum Host {
    /// This machine.
    Local(LocalHost),
    /// A machine reached by our own SSH client.
    Ssh(Arc<SshHost>),
}

impl Host {
    /// Opens a byte stream to `address`, as this host sees it.
    ///
    /// # Errors
    /// The address refused, could not be found, or the host forbids or cannot carry the connection.
    pub async fn dial(&self, address: &Address) -> Result<HostStream, HostError> {
        match self {
            Self::Local(host) => host.dial(address).await,
            Self::Ssh(host) => host.dial(address).await,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// `/bin/sh -s`.
    Posix,
    /// `/bin/bash -l -s`, for hosts whose `PATH` is made by their profile.
    Login,
}

impl Shell {
    /// The command, in words that sh, bash, csh and fish all read alike.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Posix => "/bin/sh -s",
            Self::Login => "/bin/bash -l -s",
        }
    }
}
