//! Why a tunnel from the job could not be had, and what to do.

use std::time::Duration;

/// What a key of the nodes may do where it is let in: ask for ports on the loopback there, and nothing else (`sshd(8)`,
/// `AUTHORIZED_KEYS FILE FORMAT`). That it opens no connection there cannot be said; to a port that nobody has comes to the same.
pub const KEY_LIMITS: &str =
    r#"restrict,port-forwarding,permitlisten="localhost:*",permitopen="localhost:1",command="exit""#;

/// Ends the last line of the file that keys are appended to, if it has no end: the first key would become a part of it.
const END_LAST_LINE: &str =
    "sh -c '[ -z \"$(tail -c 1 ~/.ssh/authorized_keys 2>/dev/null)\" ] || echo' >> ~/.ssh/authorized_keys";

/// What has to be known for lines that a user can paste.
#[derive(Clone, Debug)]
pub struct Paste {
    /// What runs a command where the job runs, such as `srun --mem=30G`.
    pub launcher: String,
    /// Where that is typed, such as `on login`.
    pub place: String,
    /// Who the tunnel logs in as.
    pub user: String,
    /// Where.
    pub host: String,
    /// Whether that is the place itself, as far as we know.
    pub is_place: bool,
}

/// A tunnel from the job could not be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReverseFault {
    /// The job's machine does not know the far side.
    #[error("the job's ssh does not know the host key of {}", .0.host)]
    UnknownHost(Box<Paste>),
    /// It knows it by another key.
    #[error("{} shows the job's ssh another host key than it knows", .0.host)]
    ChangedHost(Box<Paste>),
    /// The far side does not let the job's user in.
    #[error("{}@{} does not let the job's ssh in: {said}", paste.user, paste.host)]
    Denied {
        /// For the remedy.
        paste: Box<Paste>,
        /// What it said.
        said: String,
    },
    /// The far side hangs up before a key was shown that it would have taken.
    #[error("{}@{} is shown too many keys by the job's ssh, and hangs up before the right one", .0.user, .0.host)]
    TooManyKeys(Box<Paste>),
    /// It did not come to a server of ours.
    #[error("the job's ssh did not come to this program at {address}: {said}")]
    NotCome {
        /// The address of this machine that it was given.
        address: String,
        /// The last that it said.
        said: String,
    },
    /// The far side's sshd may not listen for us.
    #[error("the sshd of {} does not forward a port to the job", .0.host)]
    NotForwarded(Box<Paste>),
    /// It ended for another reason.
    #[error("the job's ssh to {host} ended: {said}")]
    Ended {
        /// Where it led.
        host: String,
        /// The last that it said.
        said: String,
    },
    /// It said nothing for so long.
    #[error("the job's ssh to {host} made no tunnel within {} s", after.as_secs())]
    Silent {
        /// Where it led.
        host: String,
        /// How long.
        after: Duration,
    },
    /// Where the tunnel should end, somebody else listens.
    #[error(
        "port {port} of {host} belongs to another user (number {owner}), and not to our tunnel: nothing was sent there"
    )]
    Foreign {
        /// Where.
        host: String,
        /// The port.
        port: u16,
        /// Whose.
        owner: String,
    },
    /// Where the tunnel should end, it cannot be seen who listens.
    #[error(
        "{host} does not tell whose its port {port} is, at which the tunnel from the job ends: nothing was sent there"
    )]
    Untold {
        /// Where.
        host: String,
        /// The port.
        port: u16,
    },
    /// Where the tunnel ends, there is no way to connect to it.
    #[error("the sshd of {host} opens no channel to the tunnel from the job, and no bash connects to it there")]
    NoChannel {
        /// Where.
        host: String,
    },
    /// It could not be made for a reason that has words of its own.
    #[error("no tunnel from the job could be made: {said}")]
    NotMade {
        /// Those words.
        said: String,
        /// What to do about it.
        remedy: Option<String>,
    },
    /// Where the tunnel should end, nobody listens.
    #[error("the tunnel from the job ends on port {port} of {host}, and nobody listens there")]
    Nobody {
        /// Where.
        host: String,
        /// The port.
        port: u16,
    },
}

impl ReverseFault {
    /// What the words of an ssh mean that ended.
    #[must_use]
    pub fn of(said: &[String], known: &Paste) -> Self {
        let paste = || Box::new(known.clone());
        let found = |words: &str| said.iter().find(|line| line.contains(words));
        if found("HOST IDENTIFICATION HAS CHANGED").is_some() {
            return Self::ChangedHost(paste());
        }
        if found("Host key verification failed").is_some() {
            return Self::UnknownHost(paste());
        }
        if found("Too many authentication failures").is_some() {
            return Self::TooManyKeys(paste());
        }
        if let Some(said) = found("Permission denied") {
            return Self::Denied { paste: paste(), said: said.trim().to_owned() };
        }
        if found("remote port forwarding failed").is_some() {
            return Self::NotForwarded(paste());
        }
        Self::ended(said, &known.host)
    }

    /// It ended, and its last words may tell why.
    pub(super) fn ended(said: &[String], host: &str) -> Self {
        Self::Ended { host: host.to_owned(), said: last_words(said) }
    }

    /// It ended, or time did, before it came to a server of ours.
    pub(super) fn not_come(said: &[String], address: &str) -> Self {
        Self::NotCome { address: address.to_owned(), said: last_words(said) }
    }

    /// Whether another try cannot do better before somebody has done something about it.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::UnknownHost(_) | Self::ChangedHost(_) | Self::Denied { .. } | Self::TooManyKeys(_) => true,
            Self::NotForwarded(_)
            | Self::NotCome { .. }
            | Self::Ended { .. }
            | Self::Silent { .. }
            | Self::Foreign { .. }
            | Self::Untold { .. }
            | Self::NoChannel { .. }
            | Self::NotMade { .. }
            | Self::Nobody { .. } => false,
        }
    }

    /// What to do about it, where there is something to say.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::UnknownHost(paste) => Some(paste.learn()),
            Self::ChangedHost(paste) => Some(paste.forget()),
            Self::Denied { paste, .. } => Some(paste.authorise()),
            Self::TooManyKeys(paste) => Some(paste.one_key()),
            Self::NotCome { address, .. } => Some(format!(
                "the nodes must be able to reach a free port of this machine at {address}: ask whether a firewall stands between, \
                 or name an sshd that they can reach with --loopback-user and --loopback-host, or take --route relay, which needs \
                 neither"
            )),
            Self::NotForwarded(paste) => Some(format!(
                "in the sshd_config of {}, AllowTcpForwarding must be yes and PermitListen, if it is there, any; if that is not \
                 yours to change, take --route relay, which needs neither",
                paste.host
            )),
            Self::NotMade { remedy, .. } => remedy.clone(),
            Self::Untold { host, .. } => Some(format!(
                "{host} has no /proc/net/tcp, by which we see that nobody else took the port: name a Linux host with \
                 --loopback-host, or take --route relay"
            )),
            Self::NoChannel { host } => Some(format!(
                "ask those who run {host} for `AllowTcpForwarding yes` in its sshd_config, or install bash there; --route relay \
                 needs neither"
            )),
            Self::Foreign { .. } => Some("try again: the next tunnel gets another port".to_owned()),
            Self::Nobody { host, .. } => Some(format!(
                "if {host} is not where the job's ssh arrives, name the host with --loopback-host, as both the job and this \
                 machine know it"
            )),
            Self::Ended { host, .. } | Self::Silent { host, .. } => Some(format!(
                "check that the nodes can reach {host} by ssh; --loopback-host names another, and --route relay needs none"
            )),
        }
    }
}

impl Paste {
    fn learn(&self) -> String {
        let Self { launcher, place, user, host, .. } = self;
        format!(
            "{place}, run `{launcher} ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new {user}@{host} true`, by which the \
             nodes learn its key, even if it then says Permission denied; then compare what `{launcher} ssh-keygen -lF {host}` prints with what \
             `cat /etc/ssh/ssh_host_*_key.pub | ssh-keygen -lf -` prints on {host} itself (`{launcher} ssh-keygen -R {host}` undoes it)"
        )
    }

    fn forget(&self) -> String {
        let Self { launcher, place, host, .. } = self;
        format!(
            "find out from those who run {host} whether its key was changed; if it was, then {place}, run \
             `{launcher} ssh-keygen -R {host}`, and {}",
            self.learn()
        )
    }

    fn one_key(&self) -> String {
        let Self { launcher, place, host, .. } = self;
        format!(
            "{place}, put these lines at the beginning of ~/.ssh/config, with the file of the key that opens {host}: \
             `Host {host}`, `IdentitiesOnly yes`, `IdentityFile ~/.ssh/id_ed25519`; the nodes read it, too \
             (`{launcher} ssh -G {host}` shows what they make of it)"
        )
    }

    fn authorise(&self) -> String {
        let Self { launcher, place, user, host, is_place } = self;
        let show = format!(
            "{launcher} sh -c 'test -f ~/.ssh/id_ed25519 || ssh-keygen -q -t ed25519 -N \"\" -f ~/.ssh/id_ed25519; \
             printf \"%s \" \"{}\"; cat ~/.ssh/id_ed25519.pub'",
            KEY_LIMITS.replace('"', "\\\"")
        );
        if *is_place {
            format!(
                "{place}, as {user}, run `umask 077; mkdir -p ~/.ssh; {END_LAST_LINE}; {show} >> ~/.ssh/authorized_keys`: the nodes \
                 then have a key, made if there was none, that may make such a tunnel on {host}, and nothing else"
            )
        } else {
            format!(
                "{place}, run `{show}`, which makes a key for the nodes if there is none, and append the line that it prints to \
                 ~/.ssh/authorized_keys of {user} on {host}"
            )
        }
    }
}

/// Slurm tells of every end, after who knows why.
fn last_words(said: &[String]) -> String {
    let telling = |line: &&String| !line.trim().is_empty() && !line.starts_with("srun: ");
    let last = said.iter().rfind(telling).or(said.last());
    last.map_or("it said nothing", |line| line.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    const BY_SLURM: &str = "srun: error: node1: task 0: Exited with exit code 255";

    /// What OpenSSH 9.2 says, and then Slurm.
    #[test_case(&["Host key verification failed."], "the job's ssh does not know the host key of far")]
    #[test_case(&["@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", "Host key verification failed."],
        "far shows the job's ssh another host key than it knows")]
    #[test_case(&["ada@far: Permission denied (publickey)."],
        "ada@far does not let the job's ssh in: ada@far: Permission denied (publickey).")]
    #[test_case(&["Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures", "Permission denied"],
        "ada@far is shown too many keys by the job's ssh, and hangs up before the right one")]
    #[test_case(&["Error: remote port forwarding failed for listen port 0"],
        "the sshd of far does not forward a port to the job")]
    #[test_case(&["ssh: connect to host far port 22: Connection refused"],
        "the job's ssh to far ended: ssh: connect to host far port 22: Connection refused")]
    #[test_case(&[], "the job's ssh to far ended: srun: error: node1: task 0: Exited with exit code 255"; "no words")]
    fn words_of_an_ssh(said: &[&str], means: &str) {
        let said: Vec<String> = said.iter().chain([&BY_SLURM]).map(|line| (*line).to_owned()).collect();
        let fault = ReverseFault::of(&said, &paste());
        assert_eq!(fault.to_string(), means);
        assert!(fault.remedy().is_some());
    }

    fn paste() -> Paste {
        let (launcher, place) = ("srun --mem=1G".to_owned(), "on login".to_owned());
        Paste { launcher, place, user: "ada".to_owned(), host: "far".to_owned(), is_place: true }
    }
}
