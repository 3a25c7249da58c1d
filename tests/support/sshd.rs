//! A real OpenSSH server on loopback, with its own keys and configuration, and a user's home that fits it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use llm_proxy::ssh::{SshClient, SshError, SshHome, SshOptions};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

const SSHD: &str = "/usr/sbin/sshd";

/// A running server. Dropping it ends it.
pub(crate) struct Sshd {
    dir: TempDir,
    /// The port it listens on.
    pub(crate) port: u16,
    listener: Child,
}

impl Sshd {
    /// Starts a server with an Ed25519 host key, which the user knows, and lines of configuration besides ours.
    pub(crate) fn start(extra: &str) -> Self {
        Self::start_with_host_keys(&["ed25519"], extra)
    }

    /// Starts a server with these kinds of host keys; the user knows all of them.
    pub(crate) fn start_with_host_keys(kinds: &[&str], extra: &str) -> Self {
        assert!(Path::new(SSHD).exists(), "{SSHD} is missing: install Debian's openssh-server");
        // The server's own work folder; only a superuser's server needs it, and Debian makes it when the service starts.
        if nix::unistd::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path(".ssh")).unwrap();
        make_key("ed25519", &path("key"), "");
        fs::copy(path("key.pub"), path("authorized_keys")).unwrap();
        let mut config = String::new();
        for kind in kinds {
            let file = path(&format!("host_{kind}"));
            make_key(kind, &file, "");
            config.extend(["HostKey ", &file.display().to_string(), "\n"]);
        }
        // Of this keyword the last value is the one that counts.
        let startups = if extra.contains("MaxStartups") { "" } else { "MaxStartups 200" };
        // A port that was free a moment ago may be taken by now; then another one is tried.
        for _ in 0..5 {
            let port = free_port();
            let all = format!(
                // The first value of a keyword is the one that counts.
                "{extra}\nListenAddress 127.0.0.1\nPort {port}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nPidFile none\n\
                 {startups}\nLogLevel VERBOSE\nPrintMotd no\n{config}",
                path("authorized_keys").display()
            );
            fs::write(path("sshd_config"), all).unwrap();
            let log = fs::File::create(path("sshd.log")).unwrap();
            let mut listener = Command::new(SSHD)
                .args(["-D", "-e", "-f"])
                .arg(path("sshd_config"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            if comes_up(&mut listener, &path("sshd.log")) {
                let server = Self { dir, port, listener };
                server.write_known_hosts(&server.known_hosts_lines(kinds));
                return server;
            }
        }
        panic!("sshd did not start: {}", fs::read_to_string(path("sshd.log")).unwrap());
    }

    /// A file in the test's folder, which is also the user's home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `known_hosts` lines for these kinds of host keys.
    pub(crate) fn known_hosts_lines(&self, kinds: &[&str]) -> String {
        let line = |kind: &&str| format!("[127.0.0.1]:{} {}\n", self.port, self.host_key(kind));
        kinds.iter().map(line).collect()
    }

    /// The public half of a host key: its kind and the key.
    pub(crate) fn host_key(&self, kind: &str) -> String {
        let text = fs::read_to_string(self.path(&format!("host_{kind}.pub"))).unwrap();
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// What the user knows of hosts.
    pub(crate) fn write_known_hosts(&self, text: &str) {
        fs::write(self.path(".ssh/known_hosts"), text).unwrap();
    }

    /// The user's home, without an agent.
    pub(crate) fn home(&self) -> SshHome {
        SshHome::below(self.dir.path(), &user())
    }

    /// The options of a user who names the right key.
    pub(crate) fn options(&self) -> SshOptions {
        SshOptions {
            identities: vec![self.path("key")],
            home: self.home(),
            ..SshOptions::new(format!("{}@127.0.0.1:{}", user(), self.port))
        }
    }

    /// A client of a user who names the right key.
    pub(crate) fn client(&self) -> SshClient {
        SshClient::new(&self.options(), TaskTracker::new()).unwrap()
    }

    /// Has the server read its configuration and keys anew.
    pub(crate) fn reload(&self) {
        let listening = || self.log().lines().filter(|line| line.contains("Server listening on")).count();
        let before = listening();
        let told = Command::new("kill").args(["-HUP", &self.listener.id().to_string()]).status().unwrap();
        assert!(told.success());
        wait_until("server after it was told to read its keys anew", || listening() > before);
    }

    /// All that the server has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("sshd.log")).unwrap()
    }

    /// How many connections were authenticated.
    pub(crate) fn accepted(&self) -> usize {
        self.log().lines().filter(|line| line.contains("Accepted publickey")).count()
    }

    /// How many of its processes serve connections, or are about to.
    pub(crate) fn processes(&self) -> usize {
        self.process_ids().len()
    }

    /// Those processes.
    pub(crate) fn process_ids(&self) -> Vec<i32> {
        let parent = |stat: &str| stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok();
        let folders = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let stats = folders.filter_map(|folder| fs::read_to_string(folder.path().join("stat")).ok());
        let ours = stats.filter(|stat| parent(stat) == Some(self.listener.id()));
        ours.filter_map(|stat| stat.split_whitespace().next()?.parse().ok()).collect()
    }

    /// How many connections were begun.
    pub(crate) fn begun(&self) -> usize {
        self.log().lines().filter(|line| line.contains("Connection from")).count()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.listener.kill();
        let _ = self.listener.wait();
    }
}

/// What comes of an attempt with nobody there.
pub(crate) async fn connect(options: &SshOptions) -> Result<(), SshError> {
    let client = SshClient::new(options, TaskTracker::new())?;
    let result = tokio::time::timeout(DEADLINE, client.connect()).await.unwrap();
    client.close().await;
    result
}

/// The user who runs the tests, and whom the server lets in.
pub(crate) fn user() -> String {
    nix::unistd::User::from_uid(nix::unistd::Uid::current()).unwrap().unwrap().name
}

/// A key made by OpenSSH.
pub(crate) fn make_key(kind: &str, file: &Path, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", passphrase, "-C", "made by a test", "-f"]).arg(file);
    if kind == "rsa" {
        command.args(["-b", "2048"]);
    }
    let made = command.output().unwrap_or_else(|error| panic!("ssh-keygen: {error}; install Debian's openssh-client"));
    assert!(made.status.success(), "{made:?}");
}

/// A real agent. Dropping it ends it.
pub(crate) struct SshAgent {
    process: Child,
    /// Its socket.
    pub(crate) socket: PathBuf,
}

impl SshAgent {
    /// Starts an agent whose socket is in `dir`, and gives it these keys.
    pub(crate) fn start(dir: &Path, keys: &[&Path]) -> Self {
        let socket = dir.join("agent.sock");
        let process = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let agent = Self { process, socket };
        wait_until("the agent's socket", || agent.socket.exists());
        for key in keys {
            agent.add(key, "");
        }
        agent
    }

    /// Gives it a key whose passphrase is this.
    pub(crate) fn add(&self, key: &Path, passphrase: &str) {
        // Asked for a passphrase without a terminal, `ssh-add` runs this program.
        let answer = self.socket.with_extension("askpass");
        fs::write(&answer, format!("#!/bin/sh\necho '{passphrase}'\n")).unwrap();
        fs::set_permissions(&answer, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket)
            .env("SSH_ASKPASS", &answer)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(added.status.success(), "{added:?}");
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until `done`, and fails a test that would wait too long.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < DEADLINE, "no {what} after {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As [`wait_until`], for tests whose other tasks must go on.
pub(crate) async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < DEADLINE, "no {what} after {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A port that nothing listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn comes_up(listener: &mut Child, log: &Path) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        if fs::read_to_string(log).unwrap().contains("Server listening on") {
            return true;
        }
        if listener.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = listener.kill();
    let _ = listener.wait();
    false
}
