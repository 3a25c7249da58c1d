//! Files and variables, put where nothing was typed: a configuration says what options would.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::layers::flags;
use super::{Report, ServeArgs};
use crate::backend::{self, Backend, DescribedCommand, Profiling};
use crate::config::{
    self, BackendName, ChoiceError, Config, Environment, HostBlock, Instance, Launcher, Layers, ServerBlock, Source,
    Sourced, Variable,
};
use crate::launch::Ports;
use crate::slurm;

/// What options do not say, and a configuration may.
#[derive(Clone, Default)]
pub struct Found {
    /// The access key, out of a variable.
    pub(super) access_key: Option<SecretString>,
    /// Variables of the engine, out of the file.
    pub(super) env: Vec<Variable>,
    /// The kind of engine, where the file names it.
    pub(super) backend: Option<Backend>,
    /// The model, where the file names it.
    pub(super) model: Option<String>,
    /// Further names of the model, that the command does not tell.
    pub(super) aliases: Vec<String>,
    /// The folder of the engines' logs.
    pub(super) output_dir: Option<PathBuf>,
    /// How often the engine is asked how it is.
    pub(super) heartbeat_interval: Option<Duration>,
    /// How the engine is profiled.
    pub(super) profiling: Option<Profiling>,
    /// The size of its files in bytes, where the file says it.
    pub(super) model_size: Option<u64>,
    /// The GPUs of this machine that its engine is to have for itself.
    pub(super) gpus: Option<Sourced<Vec<u32>>>,
    /// Where the ports of this machine's engines are to be.
    pub(super) ports: Option<Ports>,
    /// How many engines may run on this machine at once.
    pub(super) most_running: Option<usize>,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
}

/// `.env` of this folder.
const DOTENV: &str = ".env";

/// Reads all that says something, and puts it one over the other.
pub(super) fn resolve(args: &ServeArgs) -> Result<Config, Report> {
    layers(args).map(|layers| layers.resolve())
}

fn layers(args: &ServeArgs) -> Result<Layers, Report> {
    let environment = environment()?;
    let shared = match &environment.shared_arguments {
        // A command of one's own has its own arguments.
        Some(path) if args.config.is_some() => {
            let arguments = config::read_arguments_file(&path.value).map_err(Report::usage)?;
            Some(Sourced::new(arguments, path.source.clone()))
        }
        Some(_) | None => None,
    };
    let file = args.config.as_deref().map(config::read_file).transpose().map_err(Report::usage)?;
    Ok(Layers { typed: flags(args, true), environment, shared, file, defaults: flags(args, false) })
}

fn environment() -> Result<Environment, Report> {
    let dotenv = if Path::new(DOTENV).exists() {
        config::read_env_file(Path::new(DOTENV)).map_err(Report::usage)?
    } else {
        Vec::new()
    };
    config::read_environment(&|name| std::env::var(name).ok(), &dotenv).map_err(Report::usage)
}

/// The files that say something, and may say something else later.
pub(super) fn files(args: &ServeArgs) -> Vec<PathBuf> {
    let shared = environment().ok().and_then(|environment| environment.shared_arguments).map(|path| path.value);
    args.config.iter().cloned().chain([PathBuf::from(DOTENV)]).chain(shared).collect()
}

/// Fills in what was not typed, for the one instance that is meant.
pub(super) fn apply(args: &mut ServeArgs) -> Result<(), Report> {
    let layers = layers(args)?;
    let config = layers.resolve();
    let instance = config.choose(args.name.as_deref()).map_err(|error| choice_report(&error))?.clone();
    put_all(args, &layers, &config, instance)
}

/// What one `serve` serves.
pub(super) struct Chosen {
    /// What all have in common.
    pub(super) shared: ServeArgs,
    /// The arguments for each instance.
    pub(super) all: Vec<ServeArgs>,
    /// All that is said.
    pub(super) layers: Layers,
    pub(super) config: Config,
    /// Whether a request's model decides among them: so it is with the models of a file, of which none was chosen by name.
    pub(super) by_model: bool,
}

/// Fills in what was not typed, for each instance.
pub(super) fn choose(args: &ServeArgs) -> Result<Chosen, Report> {
    let layers = layers(args)?;
    let config = layers.resolve();
    let by_model = args.name.is_none() && config.instances.iter().all(|instance| instance.name.is_some());
    let instances = if by_model {
        config.instances.clone()
    } else {
        vec![config.choose(args.name.as_deref()).map_err(|error| choice_report(&error))?.clone()]
    };
    let of_each = instances.into_iter().map(|instance| {
        let mut args = args.clone();
        put_all(&mut args, &layers, &config, instance).map(|()| args)
    });
    let all = of_each.collect::<Result<_, _>>()?;
    let mut shared = args.clone();
    put_shared(&mut shared, &layers, &config);
    Ok(Chosen { shared, all, layers, config, by_model })
}

fn put_all(args: &mut ServeArgs, layers: &Layers, config: &Config, instance: Instance) -> Result<(), Report> {
    put_shared(args, layers, config);
    let command = if args.config.is_none() || args.typed.has("command") { None } else { Some(command_of(&instance)?) };
    put_instance(args, instance, command)
}

/// Fills in what all instances have in common.
pub(super) fn put_shared(args: &mut ServeArgs, layers: &Layers, config: &Config) {
    if !args.typed.has("access_key") {
        args.found.access_key = layers.environment.access_key.as_ref().map(|key| key.value.clone());
        args.access_key = config.access_key.as_ref().map(|place| place.value.clone());
    }
    let most = config.max_instances.as_ref();
    args.found.most_running = most.and_then(|most| usize::try_from(most.value).ok());
    args.found.ports = config.first_port.as_ref().map(|first| Ports {
        first: first.value,
        last: config.last_port.as_ref().map_or(u16::MAX, |last| last.value),
        rather: None,
    });
    put(&mut args.host, config.listen.host.clone());
    put(&mut args.port, config.listen.port.clone());
}

/// Fills in what is one instance's; its command, unless one was typed.
pub(super) fn put_instance(
    args: &mut ServeArgs,
    instance: Instance,
    command: Option<DescribedCommand>,
) -> Result<(), Report> {
    args.found.warnings = unheeded(&instance.server);
    args.found.profiling = profiling(&instance.server)?;
    put_command(args, &instance, command);
    put_host(args, instance.host);
    args.name = instance.name.or(args.name.take());
    put_server(args, instance.server);
    Ok(())
}

fn choice_report(error: &ChoiceError) -> Report {
    let hint = match error {
        ChoiceError::Several { names } => format!("choose one with --name: {}", names.join(", ")),
        ChoiceError::Unknown { meant: Some(meant), .. } => format!("did you mean --name {meant}?"),
        ChoiceError::Unknown { names, .. } => format!("it has: {}", names.join(", ")),
    };
    Report::usage(error).hinted(hint)
}

fn put<T>(slot: &mut T, found: Option<Sourced<T>>) {
    if let Some(found) = found {
        *slot = found.value;
    }
}

fn put_some<T>(slot: &mut Option<T>, found: Option<Sourced<T>>) {
    if let Some(found) = found {
        *slot = Some(found.value);
    }
}

fn put_host(args: &mut ServeArgs, host: HostBlock) {
    put_some(&mut args.login, host.login);
    put_some(&mut args.ssh.jump, host.jump);
    if let Some(files) = host.identity {
        args.identity = files.value.into_iter().map(PathBuf::from).collect();
    }
    put_some(&mut args.ssh_config, host.ssh_config);
    put_some(&mut args.ssh.login_name, host.login_name);
    put_some(&mut args.ssh.login_port, host.login_port);
    put(&mut args.ssh.ssh_option, host.ssh_option);
    put(&mut args.ssh.accept_new_host_key, host.accept_new_host_key);
}

/// The engine's command.
fn put_command(args: &mut ServeArgs, instance: &Instance, command: Option<DescribedCommand>) {
    let server = &instance.server;
    args.found.model = server.model.as_ref().map(|model| model.value.clone());
    args.found.model_size = server.serve_config.as_ref().and_then(|block| Some(block.model_size.as_ref()?.value));
    args.found.backend = server.backend.as_ref().map(|backend| backend.value.into());
    let Some(command) = command else { return };
    args.found.warnings.extend(command.warnings.iter().map(ToString::to_string));
    args.command = command.words;
    put_aliases(args, server);
    if server.backend_name() == BackendName::Custom && instance.name.is_none() && args.name.is_none() {
        args.name.clone_from(&args.found.model);
    }
}

/// The further names of the model. An engine that can be told them is, by its command, and would refuse any other.
fn put_aliases(args: &mut ServeArgs, server: &ServerBlock) {
    let Some(aliases) = &server.aliases else { return };
    let must_be_told = Backend::from(server.backend_name()).takes_several_names();
    let known = backend::recognise(&args.command).models;
    let others = aliases.value.iter().filter(|alias| !known.contains(alias)).cloned();
    let (answered, untold): (Vec<_>, Vec<_>) = others.partition(|alias| !must_be_told || args.command.contains(alias));
    args.found.aliases = answered;
    if !untold.is_empty() {
        args.found.warnings.push(format!(
            "'aliases' ({}) cannot be told to the engine, whose command names its model itself: write {} there, too",
            aliases.source,
            untold.join(", ")
        ));
    }
}

/// What a file's engine is run by.
pub(super) fn command_of(instance: &Instance) -> Result<DescribedCommand, Report> {
    DescribedCommand::of(instance).map_err(|error| {
        let name = instance.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        Report::usage(format!("{name}{error}"))
    })
}

fn put_server(args: &mut ServeArgs, server: ServerBlock) {
    put_port(args, server.port, server.launcher.as_ref().is_some_and(|it| it.value == Launcher::Slurm));
    args.found.gpus = server.gpus;
    put_some(&mut args.ready_path, server.ready_path);
    put_some(&mut args.found.output_dir, server.output_dir);
    put_some(&mut args.found.heartbeat_interval, server.heartbeat_interval);
    put(&mut args.hung_timeout, server.heartbeat_timeout);
    put(&mut args.startup_timeout, server.startup_timeout);
    put(&mut args.queue_timeout, server.queue_timeout);
    put(&mut args.stop_timeout, server.stop_timeout);
    put(&mut args.idle_timeout, server.idle_timeout);
    put(&mut args.debug, server.debug_mode);
    args.use_slurm = server.launcher.is_some_and(|launcher| launcher.value == Launcher::Slurm);
    if let Some(slurm) = server.slurm.filter(|_| args.use_slurm) {
        if let Some(words) = slurm.args.filter(|words| matches!(words.source, Source::File { .. })) {
            // In the place of the defaults, and each word as it is.
            args.srun_args = Some(String::new());
            args.srun_arg = words.value;
        }
        put(&mut args.batch, slurm.batch);
        put_some(&mut args.loopback_user, slurm.loopback_user);
        put_some(&mut args.loopback_host, slurm.loopback_host);
    }
    if let Some(route) = server.route {
        args.route = route.value;
    }
    put_some(&mut args.chdir, server.chdir);
    put_some(&mut args.prelude, server.prelude);
    put(&mut args.login_shell, server.login_shell);
    for variable in server.env_vars {
        // Slurm says which devices the job has; a number of somebody else's would point at another job's.
        let name = variable.value.name();
        if args.use_slurm && slurm::chooses_gpus(name) {
            let at = &variable.source;
            args.found.warnings.push(format!("{name} ({at}) is left out: Slurm sets it for the job"));
        } else {
            args.found.env.push(variable.value);
        }
    }
}

/// A port of the range is for the one that starts first: only where its engine is another machine's, nobody can look who has it.
fn put_port(args: &mut ServeArgs, port: Option<Sourced<u16>>, by_slurm: bool) {
    let of_range = port.as_ref().is_some_and(|port| matches!(port.source, Source::Environment(_) | Source::DotEnv(_)));
    match &mut args.found.ports {
        Some(ports) if of_range && !by_slurm && args.login.is_none() => ports.rather = port.map(|port| port.value),
        Some(_) | None => put_some(&mut args.target_port, port),
    }
}

fn profiling(server: &ServerBlock) -> Result<Option<Profiling>, Report> {
    let Some(block) = &server.profile else { return Ok(None) };
    let found = Profiling::of(&block.value).map_err(|error| Report::usage(format!("{error} ({})", block.source)))?;
    match (&found, &block.source) {
        (None, Source::Flag(option)) => {
            Err(Report::usage(format!("{option} is for a profiler, and none is asked for"))
                .hinted("give --profile nsys, pytorch or amd"))
        }
        (_, _) => Ok(found),
    }
}

/// What is read, and does nothing yet.
fn unheeded(server: &ServerBlock) -> Vec<String> {
    let replicas = server.replicas.as_ref().filter(|replicas| replicas.value > 1);
    let said = [("replicas", replicas.map(|found| &found.source))];
    let warning = |(key, source): (&str, Option<&Source>)| {
        source.map(|source| format!("'{key}' ({source}) is understood, and does nothing yet"))
    };
    said.into_iter().filter_map(warning).collect()
}
