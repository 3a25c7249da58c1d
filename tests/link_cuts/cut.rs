//! What happens to a laptop's link.

use std::path::PathBuf;

use crate::support::{ChildGuard, Cluster, HostName, Proxy};

/// What happens to the laptop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Its network is gone, and it can tell: a cable is pulled, a train leaves the station.
    Cable,
    /// What it sends and is sent vanishes on the way, and it cannot tell.
    Silent,
    /// The program stands still, as it does when the lid is closed.
    Stopped,
    /// The login host's SSH server is gone, with all that it carried.
    Server,
}

impl Cut {
    pub(crate) fn begin(self, cluster: &Cluster, proxy: &Proxy) {
        match self {
            Self::Cable => on_login(cluster, &["ip", "link", "set", "outer", "down"]),
            Self::Silent => cluster.cut(),
            Self::Stopped => proxy.signal("STOP"),
            Self::Server => {
                on_login(cluster, &["kill", "-KILL", &listener(cluster)]);
                end_sessions(cluster);
            }
        }
    }

    /// Where the server had gone, it is a new one.
    pub(crate) fn end(self, cluster: &Cluster, proxy: &Proxy) -> Option<ChildGuard> {
        match self {
            Self::Cable => on_login(cluster, &["ip", "link", "set", "outer", "up"]),
            Self::Silent => cluster.mend(),
            Self::Stopped => proxy.signal("CONT"),
            Self::Server => {
                let mut sshd = cluster.command(HostName::Login, "/usr/sbin/sshd");
                return Some(ChildGuard::start("sshd", sshd.args(["-D", "-e", "-f"]).arg(settings(cluster))));
            }
        }
        None
    }
}

/// Ends what login's SSH server carries for the user, and lets the server be.
pub(crate) fn end_sessions(cluster: &Cluster) {
    on_login(cluster, &["pkill", "-KILL", "-u", cluster.user(), "sshd"]);
}

/// What login's SSH server says of logins, those that failed too.
pub(crate) fn logins(cluster: &Cluster) -> usize {
    let log = std::fs::read_to_string(settings(cluster).with_file_name("sshd.log")).unwrap_or_default();
    let of_login = |line: &&str| line.contains("Accepted ") || line.contains("authenticating user");
    log.lines().filter(of_login).count()
}

/// The pid of the listening server, which names itself with its settings.
fn listener(cluster: &Cluster) -> String {
    let settings = settings(cluster).display().to_string();
    let pids = cluster.on(HostName::Login, &["pgrep", "-x", "sshd"]).stdout;
    let ours = |pid: &&str| {
        let said = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&said).contains(&settings)
    };
    let pids = String::from_utf8_lossy(&pids).into_owned();
    pids.lines().find(ours).expect("login's sshd").to_owned()
}

fn settings(cluster: &Cluster) -> PathBuf {
    cluster.key().parent().map(|laptop| laptop.with_file_name("login").join("sshd_config")).unwrap_or_default()
}

fn on_login(cluster: &Cluster, words: &[&str]) {
    let output = cluster.on(HostName::Login, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
