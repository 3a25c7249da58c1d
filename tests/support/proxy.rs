//! The real `llm-proxy` binary, in surroundings of the test's own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::cluster::{Cluster, HostName};
use super::guard::{ChildGuard, Lines};
use super::wait::Deadline;

/// What the proxy prints once it listens; the address follows.
const LISTENING: &str = "listening on http://";

/// A home folder and all that belongs to it, empty at first; may be handed from one proxy to the next.
#[derive(Clone, Debug)]
pub(crate) struct Home(Arc<TempDir>);

impl Home {
    fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().expect("a temporary folder")))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where the record of an instance's life is, while there is one.
    pub(crate) fn record_file(&self, name: &str) -> PathBuf {
        self.path().join("state/llm-proxy").join(name).join("life.json")
    }

    /// The record of an instance's life.
    pub(crate) fn record(&self, name: &str) -> Value {
        let text = std::fs::read(self.record_file(name)).expect("a record");
        serde_json::from_slice(&text).expect("JSON")
    }
}

/// A proxy to be started.
#[derive(Debug)]
pub(crate) struct ProxyBuilder<'a> {
    place: Option<(&'a Cluster, HostName)>,
    home: Home,
    options: Vec<OsString>,
    command: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    port: u16,
    under: Vec<OsString>,
}

impl<'a> ProxyBuilder<'a> {
    /// Options of `serve`, before the engine's command.
    pub(crate) fn options<A: Into<OsString>>(mut self, options: impl IntoIterator<Item = A>) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// What runs the program, where that is not the system: a command and its options.
    pub(crate) fn under(mut self, words: &[OsString]) -> Self {
        self.under = words.to_vec();
        self
    }

    /// The port that it listens on, instead of a free one.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The engine's command.
    pub(crate) fn command<A: Into<OsString>>(mut self, command: impl IntoIterator<Item = A>) -> Self {
        self.command.extend(command.into_iter().map(Into::into));
        self
    }

    /// One more variable of the environment, which otherwise holds nothing of the test's.
    pub(crate) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The home of a proxy before it: what that one remembered is there.
    pub(crate) fn home(mut self, home: &Home) -> Self {
        self.home = home.clone();
        self
    }

    /// The home that it will have.
    pub(crate) fn its_home(&self) -> Home {
        self.home.clone()
    }

    /// The working folder, where a `.env` may be.
    pub(crate) fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Whose file is `fleet.yaml` in this folder, which it works in.
    pub(crate) fn of_fleet(self, folder: &Path) -> Self {
        self.folder(folder).options(["--config", "fleet.yaml"])
    }

    /// Which finds the programs of this folder before the system's.
    pub(crate) fn with_programs_of(self, folder: &Path) -> Self {
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("a PATH"));
        self.env("PATH", path)
    }

    /// On the laptop of `cluster`, with `--login login` and the laptop's SSH settings.
    pub(crate) fn on_laptop(self, cluster: &'a Cluster) -> Self {
        self.on_laptop_to(cluster, "login")
    }

    /// The same with another name for `--login`.
    pub(crate) fn on_laptop_to(self, cluster: &'a Cluster, login: &str) -> Self {
        let config = cluster.ssh_config().as_os_str().to_owned();
        self.on_laptop_alone(cluster).options(["--login".into(), login.into(), "--ssh-config".into(), config])
    }

    /// On the laptop of `cluster`; whereto, a file says.
    pub(crate) fn on_laptop_alone(mut self, cluster: &'a Cluster) -> Self {
        self.place = Some((cluster, HostName::Laptop));
        self
    }

    /// On the login host of `cluster`, as its user, with a home of its own there.
    pub(crate) fn on_login(mut self, cluster: &'a Cluster) -> Self {
        self.place = Some((cluster, HostName::Login));
        self
    }

    /// The binary with `arguments` alone, in the same surroundings, run to its end: for verbs other than `serve`.
    pub(crate) fn run<A: Into<OsString>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        let mut command = self.base();
        command.args(arguments.into_iter().map(Into::into)).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot run llm-proxy: {error}"));
        let pid = i32::try_from(child.id()).expect("a process id");
        let (tell, told) = std::sync::mpsc::channel();
        // What it writes is read all the while: a full pipe would keep it from its end.
        let reading = std::thread::spawn(move || {
            let output = child.wait_with_output().expect("a child's output");
            let _ = tell.send(());
            output
        });
        let in_time = told.recv_timeout(Duration::from_secs(20)).is_ok();
        if !in_time {
            // It is not waited for yet, so its number is still its own.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        let output = reading.join().expect("a thread that reads");
        assert!(in_time, "llm-proxy did not end by itself:\n{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Starts `llm-proxy serve --port 0 … -- COMMAND` and waits until it listens.
    pub(crate) async fn start(self) -> Proxy {
        let guard = self.spawn();
        let line = guard.stderr().wait_for(LISTENING, Deadline::in_seconds(20)).await;
        let (_, address) = line.split_once(LISTENING).expect("the line that was waited for");
        let address: String = address.chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
        let client = match self.place {
            Some((cluster, host)) => cluster.client(host, &address).await,
            None => Client::tcp(&address),
        };
        Proxy { guard, address, client, home: self.home }
    }

    /// Starts it without waiting: for a proxy that shall fail.
    pub(crate) fn spawn(&self) -> ChildGuard {
        let mut command = self.base();
        command.args(["serve", "--port", &self.port.to_string()]).args(&self.options);
        if !self.command.is_empty() {
            command.arg("--").args(&self.command);
        }
        ChildGuard::start("llm-proxy", &mut command)
    }

    /// The binary with `arguments` alone, in the same surroundings, while it runs.
    pub(crate) fn spawn_verb<A: Into<OsString>>(&self, arguments: impl IntoIterator<Item = A>) -> ChildGuard {
        let mut command = self.base();
        command.args(arguments.into_iter().map(Into::into));
        ChildGuard::start("llm-proxy", &mut command)
    }

    fn base(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_llm-proxy");
        let mut command = match self.place {
            None => match self.under.split_first() {
                None => Command::new(binary),
                Some((runner, words)) => {
                    let mut command = Command::new(runner);
                    command.args(words).arg(binary);
                    command
                }
            },
            Some((cluster, HostName::Laptop)) => cluster.laptop_command(binary),
            Some((cluster, host)) => {
                // Its user's own home and environment, as after a login.
                let mut command = cluster.user_command(host, cluster.put(Path::new(binary)));
                command.envs(self.environment.iter().map(|(name, value)| (name, value)));
                return command;
            }
        };
        let home = self.home.path();
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LANG", "C.UTF-8");
        command.env("HOME", home).env("XDG_STATE_HOME", home.join("state")).env("XDG_CONFIG_HOME", home.join("config"));
        command.env("XDG_CACHE_HOME", home.join("cache")).env("XDG_RUNTIME_DIR", home.join("run"));
        for folder in ["state", "config", "cache", "run"] {
            std::fs::create_dir_all(home.join(folder)).expect("a folder in a temporary one");
        }
        command.current_dir(self.folder.as_deref().unwrap_or(home));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A proxy that listens; killed by its pid when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    guard: ChildGuard,
    address: String,
    client: Client,
    home: Home,
}

impl Proxy {
    /// A proxy to be started.
    pub(crate) fn builder<'a>() -> ProxyBuilder<'a> {
        ProxyBuilder {
            place: None,
            home: Home::new(),
            options: Vec::new(),
            command: Vec::new(),
            environment: Vec::new(),
            folder: None,
            port: 0,
            under: Vec::new(),
        }
    }

    /// `HOST:PORT`, as the proxy's own host sees it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A client for it, wherever it runs.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Its home, which outlives it for whoever holds it.
    pub(crate) fn home(&self) -> Home {
        self.home.clone()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// What it wrote to standard error.
    pub(crate) fn lines(&self) -> Lines {
        self.guard.stderr()
    }

    /// Waits for a line of standard error that contains `pattern`.
    pub(crate) async fn wait_for_line(&self, pattern: &str, deadline: impl Into<Deadline>) -> String {
        self.guard.stderr().wait_for(pattern, deadline).await
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        self.guard.signal(name);
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self, deadline: impl Into<Deadline>) -> ExitStatus {
        self.guard.wait(deadline).await
    }

    /// Sends a signal and waits for the end.
    pub(crate) async fn stop(mut self, signal: &str, deadline: impl Into<Deadline>) -> ExitStatus {
        self.guard.signal(signal);
        self.guard.wait(deadline).await
    }
}
