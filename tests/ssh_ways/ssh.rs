//! The real `ssh` on the laptop, and what its user has for it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Cluster, Deadline, eventually};

/// `ssh OPTION... HOST hostname` on the laptop, which asks nobody, with an agent or with none.
pub(crate) fn ssh<A: AsRef<OsStr>>(cluster: &Cluster, agent: Option<&Agent>, words: &[A], host: &str) -> Output {
    let mut ssh = cluster.laptop_command("timeout");
    ssh.args(["20", "ssh", "-o", "BatchMode=yes", "-F"]).arg(cluster.ssh_config()).args(words).args([host, "hostname"]);
    ssh.env_remove("SSH_AUTH_SOCK").envs(agent.map(Agent::variable)).stdin(Stdio::null());
    ssh.output().expect("ssh can be run")
}

/// What it must print.
pub(crate) fn ssh_reaches<A: AsRef<OsStr>>(
    cluster: &Cluster,
    agent: Option<&Agent>,
    words: &[A],
    host: &str,
) -> String {
    let output = ssh(cluster, agent, words, host);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Runs `ssh-keygen`, which must succeed.
pub(crate) fn ssh_keygen(words: &[&str]) {
    let output = Command::new("ssh-keygen").arg("-q").args(words).output().expect("ssh-keygen can be run");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A folder of keys on the laptop.
pub(crate) struct Keys(TempDir);

impl Keys {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// A new key; returns its file.
    pub(crate) fn make(&self, name: &str) -> String {
        let file = self.path(name);
        ssh_keygen(&["-t", "ed25519", "-N", "", "-C", name, "-f", &file]);
        file
    }

    /// The public half of a key, as a line of `authorized_keys`.
    pub(crate) fn public(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.pub"))).expect("a public key")
    }
}

/// Who may log in, instead of the laptop's key and the cluster's own.
pub(crate) fn authorize(cluster: &Cluster, lines: &str) {
    fs::write(cluster.home().join(".ssh/authorized_keys"), lines).expect("a file in the user's home");
}

/// An agent on the laptop. Dropping it ends it.
pub(crate) struct Agent {
    process: Child,
    socket: PathBuf,
}

impl Agent {
    pub(crate) async fn start(keys: &Keys, names: &[String]) -> Self {
        let socket = PathBuf::from(keys.path("agent"));
        let process = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn();
        let agent = Self { process: process.expect("ssh-agent can be run"), socket };
        let there = async || agent.socket.exists().then_some(());
        eventually(Deadline::from(Duration::from_secs(10)), "the agent has a socket", there).await;
        for name in names {
            let mut add = Command::new("ssh-add");
            let added =
                add.arg("-q").arg(keys.path(name)).envs([agent.variable()]).output().expect("ssh-add can be run");
            assert!(added.status.success(), "{added:?}");
        }
        agent
    }

    pub(crate) fn variable(&self) -> (&'static str, &Path) {
        ("SSH_AUTH_SOCK", &self.socket)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only for one that has ended, which is what we want.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
