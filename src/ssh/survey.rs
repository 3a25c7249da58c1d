//! What can be said about a host before anybody logs in: what the configuration comes to, and who answers at its door.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::config::{Target, Way};
use super::tcp::{self, Place};
use super::words::printable;
use super::{SshError, SshOptions};

/// How long a server may take to greet, and an agent to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many bytes before and with a greeting are read.
const MOST_BYTES: u64 = 4096;

/// The longest answer of an agent, in bytes.
const LONGEST_ANSWER: u32 = 256 * 1024;

/// `SSH_AGENTC_REQUEST_IDENTITIES` and its answer (draft-ietf-sshm-ssh-agent).
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;

/// A host as the configuration has it.
#[derive(Clone, Debug)]
pub struct Survey {
    target: Target,
    limit: Duration,
}

/// Who answered at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knock {
    /// Where.
    pub address: SocketAddr,
    /// The lines before the server's greeting, such as `Not allowed at this time`; made fit to be shown.
    pub before: String,
    /// The greeting, such as `SSH-2.0-OpenSSH_9.2p1`; none where it did not come.
    pub greeting: Option<String>,
}

/// A key file that would be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether somebody named it; the others are looked for by themselves.
    pub named: bool,
}

impl Survey {
    /// Reads the destination and the configuration; connects to nothing.
    ///
    /// # Errors
    /// Either cannot be read, or asks for what this version does not do.
    pub fn new(options: &SshOptions) -> Result<Self, SshError> {
        let target = Target::resolve(options)?;
        let limit = target.connect_timeout.unwrap_or(options.limits.connect_timeout);
        Ok(Self { target, limit })
    }

    /// What was passed over in the configuration, one line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.target.warnings
    }

    /// The name or address to connect to.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.target.host
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.target.port
    }

    /// The user's name there.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.target.user
    }

    /// The agent's socket, if one is to be asked.
    #[must_use]
    pub fn agent(&self) -> Option<&Path> {
        self.target.agent.as_deref()
    }

    /// The files of known hosts, the user's own first.
    #[must_use]
    pub fn known_hosts(&self) -> &[PathBuf] {
        &self.target.known_hosts
    }

    /// The key files that would be offered, whether they are there or not.
    #[must_use]
    pub fn key_files(&self) -> Vec<KeyFile> {
        let named = self.target.named.iter().chain(&self.target.configured);
        let named = named.map(|path| KeyFile { path: path.clone(), named: true });
        let usual = self.target.usual.iter().map(|path| KeyFile { path: path.clone(), named: false });
        named.chain(usual).collect()
    }

    /// Whether the host is reached by TCP, and not through another one or by a command.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.target.way == Way::Direct
    }

    /// What the configuration comes to, in the words of `ssh_config`.
    #[must_use]
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let target = &self.target;
        let mut entries =
            vec![("HostName", target.host.clone()), ("Port", target.port.to_string()), ("User", target.user.clone())];
        match &target.way {
            Way::Direct => {}
            Way::Jump(hop) => entries.push(("ProxyJump", way_to(hop))),
            Way::Command(line) => entries.push(("ProxyCommand", printable(line))),
        }
        for file in target.named.iter().chain(&target.configured) {
            entries.push(("IdentityFile", file.display().to_string()));
        }
        if target.identities_only {
            entries.push(("IdentitiesOnly", "yes".to_owned()));
        }
        entries.extend(target.host_key_alias.iter().map(|alias| ("HostKeyAlias", alias.clone())));
        entries.extend(target.known_hosts.first().map(|file| ("UserKnownHostsFile", file.display().to_string())));
        entries
    }

    /// Connects by TCP, and reads what the server says before anything is said to it.
    ///
    /// # Errors
    /// The name has no address, or none of them answers.
    pub async fn knock(&self) -> Result<Knock, SshError> {
        let (mut stream, address) = tcp::connect(Place::of(&self.target), None, self.limit).await?;
        let said = greeting(&mut stream).await;
        Ok(Knock { address, before: printable(&said.0), greeting: said.1.map(|line| printable(&line)) })
    }

    /// Asks whether an SSH server answers at another port of the host.
    pub async fn answers_at(&self, port: u16) -> bool {
        let place = Place { port, ..Place::of(&self.target) };
        let Ok((mut stream, _)) = tcp::connect(place, None, self.limit).await else { return false };
        greeting(&mut stream).await.1.is_some()
    }
}

/// The hosts on the way, the last one first.
fn way_to(hop: &Target) -> String {
    let this = format!("{}@{}:{}", hop.user, hop.host, hop.port);
    match &hop.way {
        Way::Jump(before) => format!("{},{this}", way_to(before)),
        Way::Direct | Way::Command(_) => this,
    }
}

/// What stands before an SSH server's greeting, and the greeting, if there is one.
pub async fn greeting(stream: &mut (impl AsyncRead + Unpin)) -> (String, Option<String>) {
    let mut heard = Vec::new();
    let mut bounded = stream.take(MOST_BYTES);
    let reading = async {
        while let Ok(1..) = bounded.read_buf(&mut heard).await {
            if heard.ends_with(b"\n") && parted(&heard).1.is_some() {
                break;
            }
        }
    };
    let _ = timeout(PATIENCE, reading).await;
    parted(&heard)
}

fn parted(heard: &[u8]) -> (String, Option<String>) {
    let text = String::from_utf8_lossy(heard);
    let mut before = Vec::new();
    for line in text.lines() {
        if line.starts_with("SSH-") {
            return (before.join("\n"), Some(line.to_owned()));
        }
        before.push(line);
    }
    (before.join("\n"), None)
}

/// How many keys the agent at this socket holds.
///
/// # Errors
/// It cannot be asked, or does not answer as an agent does; in words.
pub async fn agent_keys(socket: &Path) -> Result<u32, String> {
    let asking = async {
        let mut agent = UnixStream::connect(socket).await?;
        agent.write_all(&[0, 0, 0, 1, REQUEST_IDENTITIES]).await?;
        let length = agent.read_u32().await?;
        if !(5..=LONGEST_ANSWER).contains(&length) || agent.read_u8().await? != IDENTITIES_ANSWER {
            return Err(std::io::Error::other("it is locked, or no agent"));
        }
        agent.read_u32().await
    };
    match timeout(PATIENCE, asking).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("it does not answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("SSH-2.0-OpenSSH_9.2\r\n", "", Some("SSH-2.0-OpenSSH_9.2"); "a greeting alone")]
    #[test_case("hello\r\nyou\r\nSSH-2.0-x\r\n", "hello\nyou", Some("SSH-2.0-x"); "lines before it")]
    #[test_case("Not allowed at this time\r\n", "Not allowed at this time", None; "turned away")]
    #[test_case("", "", None; "silence")]
    #[tokio::test]
    async fn a_greeting_is_told_from_what_stands_before_it(heard: &str, before: &str, line: Option<&str>) {
        let heard = greeting(&mut heard.as_bytes()).await;
        assert_eq!(heard, (before.to_owned(), line.map(str::to_owned)));
    }

    #[tokio::test]
    async fn what_is_no_agent_is_told() {
        assert!(agent_keys(Path::new("/nowhere/agent")).await.is_err());
    }
}
