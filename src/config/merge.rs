//! One layer over another: what the upper does not say, the lower does.

use super::written::{BackendName, EngineBlock, HostBlock, Listen, ProfileBlock, ServeBlock, ServerBlock, SlurmBlock};
use super::{Source, Sourced};

impl ServerBlock {
    /// This block, and of what it does not say, what `lower` says. Variables count one by one. Arguments do not mix:
    /// they stay layers (see [`super::Instance::arguments`]).
    #[must_use]
    pub fn or(self, lower: Self) -> Self {
        let mut env_vars = lower.env_vars;
        env_vars.retain(|old| self.env_vars.iter().all(|new| new.value.name() != old.value.name()));
        env_vars.extend(self.env_vars);
        Self {
            backend: self.backend.or(lower.backend),
            model: self.model.or(lower.model),
            aliases: self.aliases.or(lower.aliases),
            command: self.command.or(lower.command),
            port: self.port.or(lower.port),
            output_dir: self.output_dir.or(lower.output_dir),
            env_vars,
            config: both(self.config, lower.config, EngineBlock::or),
            profile: both(self.profile, lower.profile, |upper, lower| {
                Sourced::new(upper.value.or(lower.value), upper.source)
            }),
            serve_config: both(self.serve_config, lower.serve_config, |upper, lower| ServeBlock {
                model_size: upper.model_size.or(lower.model_size),
            }),
            ready_path: self.ready_path.or(lower.ready_path),
            heartbeat_interval: self.heartbeat_interval.or(lower.heartbeat_interval),
            heartbeat_timeout: self.heartbeat_timeout.or(lower.heartbeat_timeout),
            startup_timeout: self.startup_timeout.or(lower.startup_timeout),
            queue_timeout: self.queue_timeout.or(lower.queue_timeout),
            stop_timeout: self.stop_timeout.or(lower.stop_timeout),
            idle_timeout: self.idle_timeout.or(lower.idle_timeout),
            debug_mode: self.debug_mode.or(lower.debug_mode),
            host: self.host.or(lower.host),
            launcher: self.launcher.or(lower.launcher),
            slurm: both(self.slurm, lower.slurm, SlurmBlock::or),
            route: self.route.or(lower.route),
            gpus: self.gpus.or(lower.gpus),
            replicas: self.replicas.or(lower.replicas),
            chdir: self.chdir.or(lower.chdir),
            prelude: self.prelude.or(lower.prelude),
            login_shell: self.login_shell.or(lower.login_shell),
        }
    }

    /// The kind of engine: as it is said; else custom where there is a command and no model, and vLLM otherwise.
    #[must_use]
    pub fn backend_name(&self) -> BackendName {
        match (&self.backend, &self.command, &self.model) {
            (Some(said), _, _) => said.value,
            (None, Some(_), None) => BackendName::Custom,
            (None, _, _) => BackendName::Vllm,
        }
    }
}

impl Listen {
    /// This block, and of what it does not say, what `lower` says.
    #[must_use]
    pub fn or(self, lower: Self) -> Self {
        Self { host: self.host.or(lower.host), port: self.port.or(lower.port) }
    }
}

impl EngineBlock {
    fn or(self, lower: Self) -> Self {
        Self {
            api_server_args: self.api_server_args.or(lower.api_server_args),
            server_args: self.server_args.or(lower.server_args),
        }
    }
}

impl ProfileBlock {
    fn or(self, lower: Self) -> Self {
        Self {
            enabled: self.enabled.or(lower.enabled),
            tool: self.tool.or(lower.tool),
            output_dir: self.output_dir.or(lower.output_dir),
            args: self.args.or(lower.args),
        }
    }
}

impl SlurmBlock {
    /// Where the first thing that it says stands; none: it says nothing.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        let args = self.args.as_ref().map(|found| &found.source);
        let rest = || self.batch.as_ref().map(|found| &found.source);
        let loopback = || self.loopback_user.as_ref().or(self.loopback_host.as_ref()).map(|found| &found.source);
        args.or_else(rest).or_else(loopback).cloned()
    }

    fn or(self, lower: Self) -> Self {
        Self {
            args: self.args.or(lower.args),
            batch: self.batch.or(lower.batch),
            loopback_user: self.loopback_user.or(lower.loopback_user),
            loopback_host: self.loopback_host.or(lower.loopback_host),
        }
    }
}

impl HostBlock {
    /// This block, and of what it does not say, what `lower` says.
    #[must_use]
    pub fn or(self, lower: Self) -> Self {
        Self {
            login: self.login.or(lower.login),
            jump: self.jump.or(lower.jump),
            identity: self.identity.or(lower.identity),
            ssh_config: self.ssh_config.or(lower.ssh_config),
            login_name: self.login_name.or(lower.login_name),
            login_port: self.login_port.or(lower.login_port),
            ssh_option: self.ssh_option.or(lower.ssh_option),
            accept_new_host_key: self.accept_new_host_key.or(lower.accept_new_host_key),
        }
    }
}

fn both<T>(upper: Option<T>, lower: Option<T>, or: impl FnOnce(T, T) -> T) -> Option<T> {
    match (upper, lower) {
        (Some(upper), Some(lower)) => Some(or(upper, lower)),
        (upper, lower) => upper.or(lower),
    }
}
