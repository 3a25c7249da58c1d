//! A person at the laptop, with a home and terminals.

use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::pty::Pty;
use crate::support::scene::{SRUN_ARGS, soon};
use crate::support::{Client, Cluster, HostName, eventually};

/// A person at a cluster's laptop.
pub(crate) struct Person<'a> {
    cluster: &'a Cluster,
    home: TempDir,
}

impl<'a> Person<'a> {
    pub(crate) fn of(cluster: &'a Cluster) -> Self {
        Self { cluster, home: tempfile::tempdir().expect("a temporary folder") }
    }

    /// `llm-proxy serve` at a terminal, towards login, with Slurm behind it. It is the instance `m`.
    pub(crate) fn serve(&self, options: &[&str]) -> Pty {
        let config = self.cluster.ssh_config().display().to_string();
        let engine = self.cluster.engine().display().to_string();
        let words = ["serve", "--port", "0", "--name", "m", "--login", "login", "--ssh-config", &config];
        let slurm = ["--use-slurm", "--srun-args", SRUN_ARGS];
        let command = ["--", &engine];
        self.at_terminal(&[words.as_slice(), &slurm, options, &command].concat())
    }

    /// A verb at a terminal of its own.
    pub(crate) fn at_terminal(&self, words: &[&str]) -> Pty {
        let mut command = self.cluster.laptop_command(env!("CARGO_BIN_EXE_llm-proxy"));
        command.args(words);
        let line = [command.get_program()].into_iter().chain(command.get_args());
        let line = shlex::try_join(line.map(|word| word.to_str().expect("text"))).expect("a shell's line");
        Pty::start(&format!("exec {line}"), self.home.path(), &[])
    }

    /// A verb without a terminal.
    fn verb(&self, words: &[&str]) -> Output {
        let mut command = self.cluster.laptop_command(env!("CARGO_BIN_EXE_llm-proxy"));
        command.args(words).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path()).output().expect("llm-proxy runs")
    }

    /// Where the instance stands.
    pub(crate) fn status(&self) -> Value {
        let output = self.verb(&["status", "m", "--json"]);
        let listing: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| unreachable!("{output:?}"));
        listing.pointer("/instances/0").cloned().expect("one instance")
    }

    /// Waits until `serve` is connected.
    pub(crate) async fn is_let_in(&self) {
        let connected = async || (self.status().pointer("/link/state") == Some(&json!("connected"))).then_some(());
        eventually(soon(), "serve is let in", connected).await;
    }

    /// A client of the instance.
    pub(crate) async fn client(&self) -> Client {
        let status = self.status();
        let url = status.get("url").and_then(Value::as_str).expect("it listens");
        self.cluster.client(HostName::Laptop, url.trim_start_matches("http://")).await
    }

    /// Ends `serve` as a person does.
    pub(crate) async fn interrupt(&self, mut serve: Pty) {
        serve.type_keys("\u{3}");
        serve.wait_for("done: nothing is left running", soon()).await;
        assert!(serve.ended(soon()).await.success());
    }
}
