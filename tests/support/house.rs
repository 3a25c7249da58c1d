//! A home in which several programs of one user meet, and a login host that asks.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::asking_host::AskingHost;
use super::client::Client;
use super::engine::engine_path;
use super::pty::Pty;
use super::scene::soon;

/// A home folder in which several programs meet.
pub(crate) struct House {
    folder: TempDir,
    /// Where its login host's client is at home, too.
    pub(crate) host: AskingHost,
}

impl House {
    /// Empty at first.
    pub(crate) fn new(host: AskingHost) -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), host }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The line of a `serve` towards the host, and of what is asked of the shell afterwards.
    pub(crate) fn serve(&self, options: &[&str], after: &str) -> Pty {
        let options: Vec<String> =
            self.host.options().into_iter().chain(options.iter().map(ToString::to_string)).collect();
        let engine = engine_path().display().to_string();
        let words =
            [env!("CARGO_BIN_EXE_llm-proxy"), "serve", "--port", "0", "--name", "m", "--lease", "5s"].into_iter();
        let words = words.chain(options.iter().map(String::as_str)).chain(["--", engine.as_str()]);
        let line = shlex::try_join(words).expect("a shell's line");
        // A shell that goes on must not end with the interrupt that is meant for us.
        let line = if after.is_empty() { format!("exec {line}") } else { format!("trap : INT; {line}{after}") };
        Pty::start(&line, self.path(), &[])
    }

    /// A `serve` that is interrupted at a prompt, in the middle of an answer, gives the terminal back as it was.
    pub(crate) async fn is_interrupted_at(&self, prompt: &str, typed: &str) {
        let mut serve = self.serve(&[], "; echo ended with $?; stty -a");
        serve.wait_for(prompt, soon()).await;
        serve.type_keys(&format!("{typed}\u{3}"));
        serve.wait_for("ended with 130", soon()).await;
        let text = serve.wait_for("echoctl", soon()).await;
        assert!(text.contains(" echo ") && !text.contains("-echo "), "{text}");
    }

    /// A verb at a terminal of its own.
    pub(crate) fn at_terminal(&self, words: &str) -> Pty {
        Pty::start(&format!("exec {} {words}", env!("CARGO_BIN_EXE_llm-proxy")), self.path(), &[])
    }

    /// A verb without a terminal.
    pub(crate) fn verb(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_llm-proxy"));
        command.args(words).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path()).current_dir(self.path());
        command.output().expect("llm-proxy runs")
    }

    /// Where the instance stands.
    pub(crate) fn status(&self) -> Value {
        let output = self.verb(&["status", "m", "--json"]);
        let listing: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        listing.pointer("/instances/0").cloned().expect("one instance")
    }

    /// A client of the instance.
    pub(crate) fn client(&self) -> Client {
        let url = self.status().get("url").and_then(Value::as_str).expect("it runs").to_owned();
        Client::tcp(url.trim_start_matches("http://"))
    }
}

/// A proxy in the background would outlive a test that fails.
impl Drop for House {
    fn drop(&mut self) {
        let lock = self.path().join(".local/state/llm-proxy/m/lock");
        let Some(pid) = std::fs::read_to_string(lock).ok().and_then(|pid| pid.trim().parse::<u64>().ok()) else {
            return;
        };
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if command.starts_with(env!("CARGO_BIN_EXE_llm-proxy").as_bytes()) {
            drop(Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status());
        }
    }
}

/// A value's part.
pub(crate) fn at(value: &Value, pointer: &str) -> Value {
    value.pointer(pointer).cloned().unwrap_or_default()
}
