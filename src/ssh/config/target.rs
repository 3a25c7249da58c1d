//! A destination and its configuration, brought together: everything that a connection needs to know.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::assemble::assemble;
use super::destination::Destination;
use super::jump::{self, LastHop, Trail};
use super::{AddressFamily, Algorithms, KeepAlive, Method, UnknownHostKey, Way};
use super::{file, openssh, unheeded};
use crate::ssh::{SshError, SshOptions, Vouched};

/// Everything that a connection needs to know about its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ssh) struct Target {
    /// As the user wrote it.
    pub(in crate::ssh) name: String,
    /// What a user would type at a shell to come to the same host.
    pub(in crate::ssh) by_hand: String,
    /// The name or address to connect to.
    pub(in crate::ssh) host: String,
    pub(in crate::ssh) port: u16,
    pub(in crate::ssh) user: String,
    pub(in crate::ssh) way: Way,
    /// The keys that the caller named.
    pub(in crate::ssh) named: Vec<PathBuf>,
    /// The keys that the configuration names.
    pub(in crate::ssh) configured: Vec<PathBuf>,
    /// The keys that `ssh` looks for by itself; none where others are named.
    pub(in crate::ssh) usual: Vec<PathBuf>,
    /// The certificates that the configuration names; those beside a key are found by themselves.
    pub(in crate::ssh) certificates: Vec<PathBuf>,
    /// Whether the agent may only be asked for keys that were named.
    pub(in crate::ssh) identities_only: bool,
    pub(in crate::ssh) agent: Option<PathBuf>,
    /// The name to look the host's key up by, if it is not its own.
    pub(in crate::ssh) host_key_alias: Option<String>,
    /// The user's own files of known hosts, and then the system's.
    pub(in crate::ssh) known_hosts: Vec<PathBuf>,
    /// What somebody vouches for beside them.
    pub(in crate::ssh) vouched: Option<Vouched>,
    /// The file that a newly trusted key is written to; `None`: it is trusted for as long as this process runs.
    pub(in crate::ssh) learn_into: Option<PathBuf>,
    /// Whether names are hashed there (`HashKnownHosts`).
    pub(in crate::ssh) hash_known_hosts: bool,
    pub(in crate::ssh) unknown_host_key: UnknownHostKey,
    /// The lists of revoked keys, if the configuration names any.
    pub(in crate::ssh) revoked_host_keys: Option<RevokedLists>,
    /// The ways to show who we are, in order (`PreferredAuthentications`, less those that are switched off).
    pub(in crate::ssh) methods: Vec<Method>,
    /// How often a password may be typed (`NumberOfPasswordPrompts`).
    pub(in crate::ssh) password_prompts: usize,
    /// Whether nobody is to be asked anything (`BatchMode`).
    pub(in crate::ssh) batch: bool,
    pub(in crate::ssh) algorithms: Algorithms,
    pub(in crate::ssh) keep_alive: KeepAlive,
    /// How long TCP may take (`ConnectTimeout`); `None`: our own limit.
    pub(in crate::ssh) connect_timeout: Option<Duration>,
    pub(in crate::ssh) address_family: AddressFamily,
    /// The address of this machine to connect from (`BindAddress`).
    pub(in crate::ssh) bind_address: Option<IpAddr>,
    /// What was passed over, for the log.
    pub(in crate::ssh) warnings: Vec<String>,
}

/// The lists of revoked host keys, and where the configuration names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ssh) struct RevokedLists {
    pub(in crate::ssh) lists: Vec<PathBuf>,
    /// A file and its line, or `the SSH configuration` where `ssh -G` told us.
    pub(in crate::ssh) named_by: String,
}

impl Target {
    /// Reads the destination and the configuration, its hops' too; connects to nothing. It waits for `ssh -G`, which takes
    /// milliseconds, and is not waited for longer than 10 s.
    ///
    /// # Errors
    /// Either cannot be read, or allows nothing that this program has.
    pub(in crate::ssh) fn resolve(options: &SshOptions) -> Result<Self, SshError> {
        Self::resolve_after(&Trail::default(), options)
    }

    fn resolve_after(trail: &Trail, options: &SshOptions) -> Result<Self, SshError> {
        let mut destination = Destination::parse(&options.destination)?;
        destination.user = destination.user.or_else(|| options.user.clone());
        destination.port = destination.port.or(options.port);
        let trail = trail.and(&destination)?;
        let told = match &options.home.ssh_program {
            Some(program) => {
                file::check_first(options)?;
                openssh::ask(program, options, &destination)?
            }
            None => None,
        };
        let by_openssh = told.is_some();
        let mut found = match told {
            Some(found) => found,
            None => file::read(options, &destination)?,
        };
        unheeded::name(&mut found, by_openssh);
        let (mut target, jump) = assemble(options, &destination, found)?;
        if let Some(hop) = jump.as_deref().map(jump::last_hop).transpose()?.flatten() {
            let hop = Self::resolve_after(&trail, &hop_options(options, hop))?;
            for warning in &hop.warnings {
                if !target.warnings.contains(warning) {
                    target.warnings.push(warning.clone());
                }
            }
            target.way = Way::Jump(Box::new(hop));
        }
        Ok(target)
    }
}

impl Target {
    /// What the user calls the host, and in brackets what that comes to, if it is another name.
    pub(in crate::ssh) fn called(&self) -> String {
        let typed = Destination::parse(&self.name).map_or_else(|_| self.name.clone(), |destination| destination.host);
        if typed.eq_ignore_ascii_case(&self.host) { typed } else { format!("{typed} ({})", self.host) }
    }
}

/// As `ssh` does it: a hop is told by the configuration, and not by what was said about the target; also not whether its key
/// is to be trusted if nobody knows it.
fn hop_options(options: &SshOptions, hop: LastHop) -> SshOptions {
    SshOptions {
        destination: hop.destination,
        user: None,
        port: None,
        jump: hop.before,
        settings: Vec::new(),
        identities: Vec::new(),
        accept_new_host_key: false,
        vouched: None,
        ..options.clone()
    }
}

#[cfg(test)]
#[path = "target_test.rs"]
mod tests;
