//! What was typed, and what holds by default, in the form of a configuration file.

use std::path::PathBuf;

use super::ServeArgs;
use crate::config::{Flags, HostBlock, Launcher, Listen, ProfileBlock, ServerBlock, SlurmBlock, Source, Sourced};

/// The options that were typed; or, with `typed` false, the others, with their defaults.
pub(super) fn flags(args: &ServeArgs, typed: bool) -> Flags {
    let said = Said { args, typed };
    Flags {
        listen: Listen { host: said.value("host", "--host", args.host), port: said.value("port", "--port", args.port) },
        access_key: said.maybe("access_key", "--access-key", args.access_key.clone()),
        host: host(&said),
        server: server(&said),
    }
}

/// One of both kinds.
struct Said<'a> {
    args: &'a ServeArgs,
    typed: bool,
}

impl Said<'_> {
    fn value<T>(&self, field: &str, option: &'static str, value: T) -> Option<Sourced<T>> {
        let source = match (self.typed, self.args.typed.has(field)) {
            (true, true) => Source::Flag(option),
            (false, false) => Source::Default,
            (true, false) | (false, true) => return None,
        };
        Some(Sourced::new(value, source))
    }

    fn maybe<T>(&self, field: &str, option: &'static str, value: Option<T>) -> Option<Sourced<T>> {
        self.value(field, option, value?)
    }

    /// What is off unless somebody says so is not worth a line.
    fn switch(&self, field: &str, option: &'static str, on: bool) -> Option<Sourced<bool>> {
        self.value(field, option, on).filter(|found| found.value)
    }

    fn list(&self, field: &str, option: &'static str, list: &[String]) -> Option<Sourced<Vec<String>>> {
        self.value(field, option, list.to_vec()).filter(|found| !found.value.is_empty())
    }
}

fn host(said: &Said<'_>) -> HostBlock {
    let (args, ssh) = (said.args, &said.args.ssh);
    let identities: Vec<String> = args.identity.iter().map(|path: &PathBuf| path.display().to_string()).collect();
    HostBlock {
        login: said.maybe("login", "--login", args.login.clone()),
        jump: said.maybe("jump", "--jump", ssh.jump.clone()),
        identity: said.list("identity", "--identity", &identities),
        ssh_config: said.maybe("ssh_config", "--ssh-config", args.ssh_config.clone()),
        login_name: said.maybe("login_name", "--login-name", ssh.login_name.clone()),
        login_port: said.maybe("login_port", "--login-port", ssh.login_port),
        ssh_option: said.list("ssh_option", "--ssh-option", &ssh.ssh_option),
        accept_new_host_key: said.switch("accept_new_host_key", "--accept-new-host-key", ssh.accept_new_host_key),
    }
}

fn server(said: &Said<'_>) -> ServerBlock {
    let args = said.args;
    let slurm = slurm(said);
    ServerBlock {
        command: said.list("command", "the command line", &args.command),
        port: said.maybe("target_port", "--target-port", args.target_port),
        ready_path: said.maybe("ready_path", "--ready-path", args.ready_path.clone()),
        heartbeat_timeout: said.value("hung_timeout", "--hung-timeout", args.hung_timeout),
        startup_timeout: said.value("startup_timeout", "--startup-timeout", args.startup_timeout),
        queue_timeout: said.value("queue_timeout", "--queue-timeout", args.queue_timeout),
        stop_timeout: said.value("stop_timeout", "--stop-timeout", args.stop_timeout),
        idle_timeout: said.value("idle_timeout", "--idle-timeout", args.idle_timeout),
        debug_mode: said.value("debug", "--debug", args.debug),
        launcher: match said.switch("use_slurm", "--use-slurm", args.use_slurm) {
            Some(found) => Some(Sourced::new(Launcher::Slurm, found.source)),
            None => (!said.typed).then(|| Sourced::new(Launcher::Process, Source::Default)),
        },
        slurm: (slurm != SlurmBlock::default()).then_some(slurm),
        route: said.value("route", "--route", args.route),
        chdir: said.maybe("chdir", "--chdir", args.chdir.clone()),
        prelude: said.maybe("prelude", "--prelude", args.prelude.clone()),
        login_shell: said.switch("login_shell", "--login-shell", args.login_shell),
        profile: profile(said),
        ..ServerBlock::default()
    }
}

/// Who names a tool wants the profile.
fn profile(said: &Said<'_>) -> Option<Sourced<ProfileBlock>> {
    let args = &said.args.profiling;
    let tool = said.maybe("profile", "--profile", args.profile);
    let block = ProfileBlock {
        enabled: tool.as_ref().map(|tool| Sourced::new(true, tool.source.clone())),
        output_dir: said.maybe(
            "profile_output_dir",
            "--profile-output-dir",
            args.profile_output_dir.as_ref().map(PathBuf::from),
        ),
        args: said.list("profile_arg", "--profile-arg", &args.profile_arg),
        tool,
    };
    let source = if block.tool.is_some() { "--profile" } else { "--profile-output-dir or --profile-arg" };
    (block != ProfileBlock::default()).then(|| Sourced::new(block, Source::Flag(source)))
}

fn slurm(said: &Said<'_>) -> SlurmBlock {
    let args = said.args;
    // Only told, never split again: what is run is made of the options themselves.
    let words: Vec<String> = args.srun_args.iter().chain(&args.srun_arg).cloned().collect();
    let field = if said.args.typed.has("srun_args") { "srun_args" } else { "srun_arg" };
    SlurmBlock {
        args: said.list(field, "--srun-args", &words),
        batch: said.switch("batch", "--batch", args.batch),
        loopback_user: said.maybe("loopback_user", "--loopback-user", args.loopback_user.clone()),
        loopback_host: said.maybe("loopback_host", "--loopback-host", args.loopback_host.clone()),
    }
}
