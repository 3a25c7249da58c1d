//! A Slurm cluster of a test's own, made by `scripts/cluster` and gone with the value.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::client::Client;
use super::engine::engine_path;
use super::guard::ChildGuard;
use super::one_time::{hex, hotp};
use super::wait::Deadline;

/// The cluster's hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostName {
    Laptop,
    Login,
    /// Only with [`ClusterBuilder::second_login`].
    Login2,
    Node1,
    Node2,
}

impl HostName {
    /// The host's name, as the hosts call it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Laptop => "laptop",
            Self::Login => "login",
            Self::Login2 => "login2",
            Self::Node1 => "node1",
            Self::Node2 => "node2",
        }
    }
}

/// How a cluster shall be.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterBuilder {
    options: Vec<String>,
}

impl ClusterBuilder {
    /// A setting of login's sshd, such as `AllowTcpForwarding no`.
    pub(crate) fn sshd_option(self, option: &str) -> Self {
        self.words(["--sshd-option", option])
    }

    /// A setting of the nodes' sshd.
    pub(crate) fn node_sshd_option(self, option: &str) -> Self {
        self.words(["--node-sshd-option", option])
    }

    /// A password for the cluster's user; `sshd_option` says what takes it.
    pub(crate) fn password(self, word: &str) -> Self {
        self.words(["--password", word])
    }

    /// Keyboard-interactive on login asks for a one-time code, after the password if there is one.
    pub(crate) fn one_time_codes(self) -> Self {
        self.words(["--otp"])
    }

    /// A host `login2` beside `login`, and the laptop's name `cluster` for both.
    pub(crate) fn second_login(self) -> Self {
        self.words(["--second-login"])
    }

    /// The user's login shell.
    pub(crate) fn shell(self, shell: &str) -> Self {
        self.words(["--shell", shell])
    }

    /// A job that takes more memory than it asked for is killed.
    pub(crate) fn memory_limits(self) -> Self {
        self.words(["--memory-limits"])
    }

    fn words<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.options.extend(words.map(str::to_owned));
        self
    }

    /// Builds it; panics with what to do if that is not possible here.
    pub(crate) fn up(self) -> Cluster {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let pid = std::process::id();
        let prefix = format!("t{pid}-{}", COUNT.fetch_add(1, Ordering::SeqCst));
        // Should this process die without dropping its clusters, the next `up` of anyone takes them down.
        let output = Command::new(script())
            .args(["up", "--prefix", &prefix, "--owner", &pid.to_string()])
            .args(&self.options)
            .output()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", script().display()));
        assert!(
            output.status.success(),
            "these tests need a cluster of network namespaces: run them as root on Debian, best by scripts/test\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let facts = String::from_utf8_lossy(&output.stdout);
        let facts = facts.lines().filter_map(|line| line.split_once('='));
        let facts = facts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Cluster { prefix, facts, next_code: AtomicU64::new(0) }
    }
}

/// A running cluster; taken down when dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    prefix: String,
    facts: HashMap<String, String>,
    next_code: AtomicU64,
}

impl Cluster {
    /// A cluster as `scripts/cluster` makes it.
    pub(crate) fn up() -> Self {
        ClusterBuilder::default().up()
    }

    /// A cluster to be.
    pub(crate) fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// The cluster's user, on login and the nodes.
    pub(crate) fn user(&self) -> &str {
        self.fact("USER")
    }

    /// The user's home folder, the same on login and the nodes.
    pub(crate) fn home(&self) -> &Path {
        Path::new(self.fact("HOME"))
    }

    /// A folder that the user can read, and only root (these tests) can write.
    pub(crate) fn share(&self) -> &Path {
        Path::new(self.fact("SHARE"))
    }

    /// The laptop's private key.
    pub(crate) fn key(&self) -> &Path {
        Path::new(self.fact("KEY"))
    }

    /// The laptop's `known_hosts`, which knows login and the nodes.
    pub(crate) fn known_hosts(&self) -> &Path {
        Path::new(self.fact("KNOWN_HOSTS"))
    }

    /// The laptop's `ssh_config`, with the alias `login`.
    pub(crate) fn ssh_config(&self) -> &Path {
        Path::new(self.fact("SSH_CONFIG"))
    }

    /// The address of a host, as login sees it (login's own: as the laptop sees it).
    pub(crate) fn address(&self, host: HostName) -> &str {
        self.fact(&host.as_str().to_uppercase())
    }

    /// The user's password, for a cluster that was asked for with one.
    pub(crate) fn password(&self) -> &str {
        self.fact("PASSWORD")
    }

    /// A one-time code that has not been given before, for a cluster that was asked for with such. Up to 99 of them may
    /// stay unused between two that are used.
    pub(crate) fn one_time_code(&self) -> String {
        hotp(&hex(self.fact("OTP_SECRET")), self.next_code.fetch_add(1, Ordering::SeqCst))
    }

    /// Whatever goes between the laptop and the login hosts vanishes from now on, and neither side is told.
    pub(crate) fn cut(&self) {
        self.script(&["cut"]);
    }

    /// The same for one of the login hosts.
    pub(crate) fn cut_from(&self, login: HostName) {
        self.script(&["cut", login.as_str()]);
    }

    /// The laptop reaches the login hosts again.
    pub(crate) fn mend(&self) {
        self.script(&["mend"]);
    }

    /// Gives the user another login shell.
    pub(crate) fn set_shell(&self, shell: &str) {
        self.script(&["shell", shell]);
    }

    fn script(&self, words: &[&str]) {
        let output = run(Command::new(script()).args(words).args(["--prefix", &self.prefix]));
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Login's address as the nodes see it.
    pub(crate) fn login_inner_address(&self) -> &str {
        self.fact("LOGIN_INNER")
    }

    fn fact(&self, name: &str) -> &str {
        self.facts.get(name).unwrap_or_else(|| panic!("scripts/cluster up did not tell {name}"))
    }

    /// A command to be run on a host as root; its pid is that of what it runs.
    pub(crate) fn command(&self, host: HostName, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(script());
        command.args(["on", host.as_str(), "--prefix", &self.prefix, "--"]).arg(program);
        command
    }

    /// A command to be run on a host as the cluster's user, in its home folder.
    pub(crate) fn user_command(&self, host: HostName, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(script());
        command.args(["on", host.as_str(), "--user", "--prefix", &self.prefix, "--"]).arg(program);
        command
    }

    /// Runs a command on a host as root to its end.
    pub(crate) fn on<A: AsRef<OsStr>>(&self, host: HostName, argv: &[A]) -> Output {
        let (program, arguments) = argv.split_first().expect("a command has a first word");
        run(self.command(host, program).args(arguments))
    }

    /// Runs a command on a host as the cluster's user to its end.
    pub(crate) fn on_as_user<A: AsRef<OsStr>>(&self, host: HostName, argv: &[A]) -> Output {
        let (program, arguments) = argv.split_first().expect("a command has a first word");
        run(self.user_command(host, program).args(arguments))
    }

    /// What a command prints that must succeed, on a host as the cluster's user, without the last line's end.
    pub(crate) fn say<A: AsRef<OsStr>>(&self, host: HostName, argv: &[A]) -> String {
        let output = self.on_as_user(host, argv);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "on {}: {:?}: {stdout}{stderr}", host.as_str(), output.status);
        stdout.trim_end().to_owned()
    }

    /// The jobs that Slurm knows as not yet ended: `ID STATE NAME` each.
    pub(crate) fn jobs(&self) -> Vec<String> {
        self.say(HostName::Login, &["squeue", "-h", "-o", "%i %T %j"]).lines().map(str::to_owned).collect()
    }

    /// A command to be run on the laptop: what a test's own proxy is started with.
    pub(crate) fn laptop_command(&self, program: impl AsRef<OsStr>) -> Command {
        self.command(HostName::Laptop, program)
    }

    /// The small engine, copied to where the cluster's user can run it.
    pub(crate) fn engine(&self) -> PathBuf {
        self.put(&engine_path())
    }

    /// Copies a file into the shared folder, readable and executable for all, unless it is there.
    pub(crate) fn put(&self, file: &Path) -> PathBuf {
        let name = file.file_name().unwrap_or_else(|| panic!("{} is no file", file.display()));
        let there = self.share().join(name);
        if !there.exists() {
            let status = Command::new("install").args(["-m", "755"]).arg(file).arg(&there).status();
            assert!(status.is_ok_and(|status| status.success()), "cannot copy {}", file.display());
        }
        there
    }

    /// A client for what listens on `address` as seen from `host`, by a relay that runs there.
    pub(crate) async fn client(&self, host: HostName, address: &str) -> Client {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("relay");
        // On login and the nodes /tmp is another one, where neither a socket nor a checkout of ours would be seen.
        let (socket, relay) = match host {
            HostName::Laptop => (socket, engine_path()),
            HostName::Login | HostName::Login2 | HostName::Node1 | HostName::Node2 => {
                (self.share().join(unique("relay")), self.engine())
            }
        };
        let mut command = self.command(host, relay);
        command.arg("relay").arg("--listen").arg(format!("unix:{}", socket.display())).args(["--to", address]);
        let relay = ChildGuard::start("the relay", &mut command);
        relay.stderr().wait_for("listening on", Deadline::in_seconds(10)).await;
        Client::by_relay(socket, folder, relay)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let output = Command::new(script()).args(["down", "--prefix", &self.prefix]).output();
        let done = output.as_ref().is_ok_and(|output| output.status.success());
        // A second panic would hide the first.
        assert!(done || std::thread::panicking(), "cannot take the cluster {} down: {output:?}", self.prefix);
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster")
}

fn run(command: &mut Command) -> Output {
    command
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"))
}

fn unique(stem: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{stem}-{}", COUNT.fetch_add(1, Ordering::SeqCst))
}
