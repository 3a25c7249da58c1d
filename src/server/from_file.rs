//! A server as a configuration file describes it.

use std::num::NonZeroUsize;
use std::path::Path;

use secrecy::ExposeSecret as _;

use super::{InferenceServer, Job, Options, ServerError, create_server};
use crate::backend::{Backend, DescribedCommand, Profiling};
use crate::config::{self, HostBlock, Instance, Launcher, Layers};
use crate::gateway::AccessKey;
use crate::launch::Loopback;
use crate::secret::Key;
use crate::slurm;
use crate::ssh::SshOptions;

/// What a file says of one server.
#[derive(Clone)]
pub struct ServerConfig {
    /// The kind of its engine.
    pub backend: Backend,
    /// Its model.
    pub model: String,
    /// All else.
    pub options: Options,
}

/// Reads what a file says of its one server, and what the variables of this process's environment say where it is silent.
/// `port` is where the API is served; the engine itself takes a free one.
///
/// # Errors
/// All that is wrong with the file, each with its line; or it has several servers.
pub fn load_server_config(file: impl AsRef<Path>) -> Result<ServerConfig, ServerError> {
    let mut environment = config::read_environment(&|name| std::env::var(name).ok(), &[])?;
    // That is where engines begin to look for a port, and here it would be the API's.
    environment.first_port = None;
    let environment_key = environment.access_key.as_ref().map(|key| key.value.clone());
    let layers = Layers { file: Some(config::read_file(file.as_ref())?), environment, ..Layers::default() };
    let config = layers.resolve();
    let instance = config.choose(None)?.clone();
    let server = instance.server.clone();
    let defaults = Options::default();
    let command = DescribedCommand::of(&instance)?.words;
    let job =
        (server.launcher.as_ref().is_some_and(|launcher| launcher.value == Launcher::Slurm)).then(|| job(&instance));
    // Slurm says which devices its job has.
    let ours = server.env_vars.iter().filter(|variable| job.is_none() || !slurm::chooses_gpus(variable.value.name()));
    let env_vars = ours.map(|variable| {
        let (name, value) = variable.value.clone().into_pair();
        (name, value.expose_secret().to_owned())
    });
    let env_vars = env_vars.collect();
    let key = match (environment_key, &config.access_key) {
        (Some(key), _) => Some(Ok(key)),
        (None, place) => place.as_ref().map(|place| config::read_key(&place.value)),
    };
    let key = key.transpose()?.map(|key| Key::new(key.expose_secret()));
    let slurm = server.slurm.clone().unwrap_or_default();
    let [user, host] = [slurm.loopback_user, slurm.loopback_host].map(|found| found.map(|found| found.value));
    let loopback = Loopback { user, host };
    let options = Options {
        name: instance.name.clone(),
        host: config.listen.host.map_or(defaults.host, |host| host.value),
        port: server.port.map_or(defaults.port, |port| port.value),
        command,
        arguments: Vec::new(),
        env_vars,
        output_dir: server.output_dir.map_or(defaults.output_dir, |folder| folder.value),
        startup_timeout: server.startup_timeout.map_or(defaults.startup_timeout, |limit| limit.value),
        stop_timeout: server.stop_timeout.map_or(defaults.stop_timeout, |limit| limit.value),
        login: login(&instance.host),
        access_keys: AccessKey::read_all(&config.access_keys, key.as_ref(), &|name| std::env::var(name).ok())?,
        access_key: key,
        requests_in_flight: server
            .requests_in_flight
            .and_then(|most| NonZeroUsize::new(usize::try_from(most.value).ok()?)),
        chdir: server.chdir.map(|folder| folder.value),
        prelude: server.prelude.map(|line| line.value),
        login_shell: server.login_shell.is_some_and(|on| on.value),
        route: server.route.map_or(defaults.route, |route| route.value.into()),
        loopback,
        ready_path: server.ready_path.map(|path| path.value),
        heartbeat_interval: server.heartbeat_interval.map(|length| length.value),
        heartbeat_timeout: server.heartbeat_timeout.map(|length| length.value),
        idle_timeout: server.idle_timeout.map(|limit| limit.value).filter(|limit| !limit.is_zero()),
        model_size: server.serve_config.and_then(|block| block.model_size).map(|size| size.value),
        profiling: server.profile.map(|profile| Profiling::of(&profile.value)).transpose()?.flatten(),
        job,
    };
    let backend = Backend::from(instance.server.backend_name());
    let model = server.model.map(|model| model.value).unwrap_or_default();
    Ok(ServerConfig { backend, model, options })
}

/// Starts what a file describes; returns when it answers.
///
/// # Errors
/// As [`load_server_config`], [`create_server`] and [`InferenceServer::start`].
pub fn start_server_from_config(file: impl AsRef<Path>) -> Result<InferenceServer, ServerError> {
    let ServerConfig { backend, model, options } = load_server_config(file)?;
    let mut server = create_server(backend, model, options)?;
    server.start()?;
    Ok(server)
}

fn job(instance: &Instance) -> Job {
    let slurm = instance.server.slurm.clone().unwrap_or_default();
    Job {
        arguments: slurm.args.map(|words| words.value).unwrap_or_default(),
        batch: slurm.batch.is_some_and(|batch| batch.value),
        queue_timeout: instance.server.queue_timeout.as_ref().map(|limit| limit.value),
    }
}

fn login(host: &HostBlock) -> Option<SshOptions> {
    let mut options = SshOptions::new(host.login.as_ref()?.value.as_str());
    options.jump = host.jump.as_ref().map(|jump| jump.value.clone());
    if let Some(files) = &host.identity {
        options.identities = files.value.iter().map(Into::into).collect();
    }
    options.config_file = host.ssh_config.as_ref().map(|file| file.value.clone());
    options.user = host.login_name.as_ref().map(|name| name.value.clone());
    options.port = host.login_port.as_ref().map(|port| port.value);
    options.settings = host.ssh_option.as_ref().map(|settings| settings.value.clone()).unwrap_or_default();
    options.accept_new_host_key = host.accept_new_host_key.as_ref().is_some_and(|accept| accept.value);
    Some(options)
}
