//! What a caller says about a host, and where this user's SSH files are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::vault::Vault;

/// What a caller says about a host. Written down, it is what leads to the same host again, and nothing of this run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SshOptions {
    /// `[user@]host[:port]`, `ssh://[user@]host[:port]`, or an alias of the configuration.
    pub destination: String,
    /// The user's name there, as with `ssh -l`; one in the destination wins.
    pub user: Option<String>,
    /// The port, as with `ssh -p`; one in the destination wins.
    pub port: Option<u16>,
    /// The hosts to go through, as with `ssh -J`.
    pub jump: Option<String>,
    /// Settings of `ssh_config`, each `KEY=VALUE`, as with `ssh -o`: they win over the files.
    pub settings: Vec<String>,
    /// Whether a server whose key is not known is trusted, and its key written down. A changed key is refused all the same,
    /// and about the servers on the way to this one the configuration decides.
    #[serde(skip)]
    pub accept_new_host_key: bool,
    /// Hosts and their keys that another host vouches for, instead of the files of known hosts: they may know another machine
    /// by the same name. Of those files, only what is revoked counts then.
    #[serde(skip)]
    pub vouched: Option<Vouched>,
    /// Key files to offer before any other, as with `ssh -i`.
    pub identities: Vec<PathBuf>,
    /// The one configuration file to read, as with `ssh -F`; `None` is the user's and then the system's.
    pub config_file: Option<PathBuf>,
    /// Where the SSH files are.
    #[serde(skip, default = "SshHome::from_environment")]
    pub home: SshHome,
    /// How much of everything.
    #[serde(skip)]
    pub limits: SshLimits,
}

impl SshOptions {
    /// What a user who names only the destination gets.
    #[must_use]
    pub fn new(destination: impl Into<String>) -> Self {
        Self {
            destination: destination.into(),
            user: None,
            port: None,
            jump: None,
            settings: Vec::new(),
            accept_new_host_key: false,
            vouched: None,
            identities: Vec::new(),
            config_file: None,
            home: SshHome::from_environment(),
            limits: SshLimits::default(),
        }
    }
}

/// Lines of known hosts that did not come from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// The host that vouches, for errors: such as `login`.
    pub by: String,
    /// The lines, as in a file of known hosts.
    pub lines: String,
}

/// Who the user is, and where the SSH files are. Tests put them elsewhere.
#[derive(Clone, Debug)]
pub struct SshHome {
    /// The home folder, which `~` stands for.
    pub home: PathBuf,
    /// The user's own SSH folder.
    pub ssh_dir: PathBuf,
    /// The system's SSH folder: `ssh_config`, `ssh_known_hosts`.
    pub system_dir: PathBuf,
    /// The name of the user on this machine.
    pub user: String,
    /// The agent's socket.
    pub agent_socket: Option<PathBuf>,
    /// The OpenSSH client that is asked what the configuration says (`ssh -G`); `None`: we read it ourselves. Unless
    /// [`SshOptions::config_file`] names one, it reads the files of this process's own user.
    pub ssh_program: Option<PathBuf>,
    /// Where passphrases and passwords are kept that the user asked to be kept.
    pub vault: Vault,
}

impl SshHome {
    /// This process's own.
    #[must_use]
    pub fn from_environment() -> Self {
        let person = nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten();
        // `ssh` takes the home folder of the user database and not $HOME; so do we, where there is one.
        let home = person.as_ref().map(|person| person.dir.clone()).or_else(std::env::home_dir).unwrap_or_default();
        let user = person.map(|person| person.name).or_else(|| std::env::var("USER").ok()).unwrap_or_default();
        Self {
            ssh_dir: home.join(".ssh"),
            home,
            system_dir: PathBuf::from("/etc/ssh"),
            user,
            agent_socket: std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from),
            ssh_program: super::config::find("ssh"),
            vault: Vault::system(),
        }
    }

    /// A home whose every SSH file lies under `home`.
    #[must_use]
    pub fn below(home: &Path, user: &str) -> Self {
        Self {
            home: home.to_owned(),
            ssh_dir: home.join(".ssh"),
            system_dir: home.join("etc-ssh"),
            user: user.to_owned(),
            agent_socket: None,
            ssh_program: None,
            vault: Vault::none(),
        }
    }
}

/// How much of everything. The defaults are meant for all; tests make them small.
#[derive(Clone, Debug)]
pub struct SshLimits {
    /// How long a TCP connection may take, over all addresses of the host.
    pub connect_timeout: Duration,
    /// How long the handshake may take once TCP stands.
    pub handshake_timeout: Duration,
    /// How long an attempt is answered by the last one's error, where the server's key was not trusted.
    pub host_key_pause: Duration,
    /// How long a stream or command waits for a place where all are taken, and only a person could log in for more.
    pub place_timeout: Duration,
    /// How long a stream or command waits while a person is being asked. Less than whoever needs it waits for a host that says
    /// nothing at all, so that the two are told apart.
    pub person_timeout: Duration,
    /// How many streams and commands one connection carries. OpenSSH's server stalls at some thousands and usually has
    /// 1024 descriptors.
    pub channels_per_connection: usize,
    /// How many connections at most.
    pub connections: usize,
    /// After how many streams that we had to close first a connection is given up, once it is empty: russh keeps some
    /// 3.5 KiB for each such stream until the connection ends, so this bounds them to 56 MiB.
    pub closes_per_connection: usize,
    /// How many bytes of one stream wait in memory for their reader.
    pub stream_memory: usize,
    /// How many more bytes of one stream wait on disk before it is given up.
    pub stream_disk: u64,
    /// How many bytes wait on disk, over all streams of a client.
    pub total_disk: u64,
    /// Where such bytes are kept, in files without a name; `None` is the system's folder for temporary files.
    pub disk_dir: Option<PathBuf>,
}

impl Default for SshLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            handshake_timeout: Duration::from_secs(30),
            host_key_pause: Duration::from_secs(3),
            place_timeout: Duration::from_secs(10),
            person_timeout: Duration::from_secs(50),
            channels_per_connection: 256,
            connections: 16,
            closes_per_connection: 16 * 1024,
            stream_memory: 1 << 20,
            stream_disk: 256 << 20,
            total_disk: 4 << 30,
            disk_dir: None,
        }
    }
}
