//! The resolved configuration, line by line, each value with its source. No variable's value is told: it may be a secret.

use super::resolve::{Config, Instance};
use super::written::{HostBlock, ServerBlock, SlurmBlock};
use super::{Source, Sourced, format_duration};

/// One value of the configuration, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    /// What it is called in a file, from the top.
    pub key: String,
    /// What it is.
    pub value: String,
    /// Who said it.
    pub source: String,
}

/// Collects rows under one path.
struct Rows<'a> {
    path: &'a str,
    rows: Vec<Row>,
}

impl Rows<'_> {
    fn add(&mut self, key: &str, value: String, source: &Source) {
        self.rows.push(Row { key: format!("{}{key}", self.path), value, source: source.to_string() });
    }

    fn say<T>(&mut self, key: &str, found: Option<&Sourced<T>>, words: impl Fn(&T) -> String) {
        if let Some(found) = found {
            self.add(key, words(&found.value), &found.source);
        }
    }

    fn plain<T: ToString>(&mut self, key: &str, found: Option<&Sourced<T>>) {
        self.say(key, found, ToString::to_string);
    }
}

impl Config {
    /// How this program is reached, and what all instances share.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Rows { path: "", rows: Vec::new() };
        rows.plain("listen.host", self.listen.host.as_ref());
        rows.plain("listen.port", self.listen.port.as_ref());
        rows.plain("access_key", self.access_key.as_ref());
        rows.plain("default_model", self.default_model.as_ref());
        rows.plain("callers.create", self.callers.create.as_ref());
        rows.plain("callers.harmless", self.callers.harmless.as_ref());
        rows.say("callers.arguments", self.callers.arguments.as_ref(), |names| names.join(", "));
        rows.plain("max_instances", self.max_instances.as_ref());
        rows.plain("first_port", self.first_port.as_ref());
        rows.plain("last_port", self.last_port.as_ref());
        rows.rows
    }
}

impl Instance {
    /// What one instance is given. Its command is told by whoever makes it.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let path = self.name.as_ref().map(|name| format!("models.{name}.")).unwrap_or_default();
        let mut rows = Rows { path: &path, rows: Vec::new() };
        self.server.say(&mut rows);
        self.host.say(&mut rows);
        rows.rows
    }
}

fn numbers(gpus: &[u32]) -> String {
    let gpus: Vec<_> = gpus.iter().map(ToString::to_string).collect();
    if gpus.is_empty() { "none".to_owned() } else { gpus.join(", ") }
}

impl ServerBlock {
    fn say(&self, rows: &mut Rows<'_>) {
        rows.plain("backend", self.backend.as_ref());
        rows.plain("model", self.model.as_ref());
        rows.say("aliases", self.aliases.as_ref(), |names| names.join(", "));
        rows.plain("port", self.port.as_ref());
        rows.say("output_dir", self.output_dir.as_ref(), |path| path.display().to_string());
        for variable in &self.env_vars {
            rows.add(&format!("env_vars.{}", variable.value.name()), "…".to_owned(), &variable.source);
        }
        if let Some(profile) = &self.profile {
            let block = &profile.value;
            rows.plain("profile.enabled", block.enabled.as_ref());
            rows.plain("profile.tool", block.tool.as_ref());
            rows.say("profile.output_dir", block.output_dir.as_ref(), |path| path.display().to_string());
            rows.say("profile.args", block.args.as_ref(), |words| words.join(" "));
        }
        let size = self.serve_config.as_ref().and_then(|block| block.model_size.as_ref());
        rows.say("serve_config.model_size", size, |bytes| format!("{bytes} bytes"));
        rows.plain("ready_path", self.ready_path.as_ref());
        for (key, length) in [
            ("heartbeat_interval", &self.heartbeat_interval),
            ("heartbeat_timeout", &self.heartbeat_timeout),
            ("startup_timeout", &self.startup_timeout),
            ("queue_timeout", &self.queue_timeout),
            ("stop_timeout", &self.stop_timeout),
            ("idle_timeout", &self.idle_timeout),
        ] {
            rows.say(key, length.as_ref(), |length| format_duration(*length).to_string());
        }
        rows.plain("debug_mode", self.debug_mode.as_ref());
        rows.plain("host", self.host.as_ref());
        rows.plain("launcher", self.launcher.as_ref());
        if let Some(slurm) = &self.slurm {
            slurm.say(rows);
        }
        rows.plain("route", self.route.as_ref());
        rows.say("gpus", self.gpus.as_ref(), |gpus| numbers(gpus));
        rows.plain("replicas", self.replicas.as_ref());
        rows.plain("chdir", self.chdir.as_ref());
        rows.plain("prelude", self.prelude.as_ref());
        rows.plain("login_shell", self.login_shell.as_ref());
    }
}

impl SlurmBlock {
    fn say(&self, rows: &mut Rows<'_>) {
        rows.say("slurm.args", self.args.as_ref(), |words| words.join(" "));
        rows.plain("slurm.batch", self.batch.as_ref());
        rows.plain("slurm.loopback_user", self.loopback_user.as_ref());
        rows.plain("slurm.loopback_host", self.loopback_host.as_ref());
    }
}

impl HostBlock {
    fn say(&self, rows: &mut Rows<'_>) {
        rows.plain("login", self.login.as_ref());
        rows.plain("jump", self.jump.as_ref());
        rows.say("identity", self.identity.as_ref(), |files| files.join(", "));
        rows.say("ssh_config", self.ssh_config.as_ref(), |path| path.display().to_string());
        rows.plain("login_name", self.login_name.as_ref());
        rows.plain("login_port", self.login_port.as_ref());
        rows.say("ssh_option", self.ssh_option.as_ref(), |options| options.join(", "));
        rows.plain("accept_new_host_key", self.accept_new_host_key.as_ref());
    }
}
