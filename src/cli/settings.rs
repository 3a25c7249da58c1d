//! From what was typed to what is run: every default filled in, every contradiction refused by name.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::serve_args::{ServeArgs, WakeOn};
use super::{Report, gpus, surroundings};
use crate::app::{self, InstanceSettings};
use crate::backend::{self, Engine, HubModel, OwnKeys, PreparedCommand};
use crate::config::{self, RouteName, Variable};
use crate::fleet;
use crate::gateway;
use crate::host::{Bind, Shell};
use crate::id::InstanceName;
use crate::instance::{Policy, Questions};
use crate::keeper::Chdir;
use crate::launch::{Binding, EngineKey, Loopback, Plan, Starter};
use crate::secret::Key;
use crate::slurm::SrunArgs;
use crate::ssh::SshOptions;

/// What is run, and what is said about it.
pub(super) struct Resolved {
    /// The instance.
    pub(super) instance: InstanceSettings,
    /// What the user should know before it runs.
    pub(super) warnings: Vec<String>,
    /// What the first request starts, and where.
    pub(super) summary: String,
}

/// What all instances have in common.
pub(super) fn shared(args: &ServeArgs) -> Result<app::Settings, Report> {
    let access_key = surroundings::access_key(args.access_key.as_deref(), args.found.access_key.as_ref())?;
    if !args.host.is_loopback() && access_key.is_none() {
        return Err(Report::usage(format!("--host {} is open to others, and there is no access key", args.host))
            .hinted("set LLM_PROXY_ACCESS_KEY, or give --access-key file:PATH, or listen on 127.0.0.1"));
    }
    Ok(app::Settings {
        listen: SocketAddr::new(args.host, args.port),
        state_root: surroundings::state_root()?,
        most_running: args.found.most_running,
        gateway: gateway(args, access_key),
    })
}

/// Whether clients must show a key.
fn is_guarded(args: &ServeArgs) -> bool {
    args.access_key.is_some() || args.found.access_key.is_some()
}

/// Fills in what was not typed.
pub(super) fn resolve(args: &ServeArgs) -> Result<Resolved, Report> {
    let mut warnings = args.found.warnings.clone();
    let engine = recognise(args);
    let name = instance_name(args, &engine)?;
    let route = wished_route(args)?;
    let bind = bind(args, route)?;
    let prepared = prepare(args, &engine, &bind)?;
    warnings.extend(prepared.warnings.iter().map(ToString::to_string));
    let starter = starter(args, &name)?;
    let mut env = engine_env(args)?;
    warnings.extend(gpus::left_to_slurm(args, &starter, &mut env));
    let needs = gpus::needs(args, &bind, &env, &mut warnings);
    let engine_key = engine_key(&engine, is_guarded(args), &mut warnings);
    let plan = Plan {
        instance: name.clone(),
        starter,
        backend: engine.backend,
        argv: prepared.words,
        if_prohibited: if_prohibited(args, &engine, &bind)?,
        bind,
        route: route.into(),
        loopback: Loopback { user: args.loopback_user.clone(), host: args.loopback_host.clone() },
        chdir: chdir(args)?,
        prelude: args.prelude.clone(),
        login_shell: args.login_shell,
        profiling: args.found.profiling.clone(),
        env,
        engine_key,
        lease: args.lease,
        stop_timeout: args.stop_timeout,
        model: HubModel::of_command(&args.command, engine.backend, args.found.model.as_deref(), args.found.model_size),
        needs,
    };
    let instance = InstanceSettings {
        name,
        logs: args.found.output_dir.as_ref().map(std::path::absolute).transpose().map_err(Report::usage)?,
        login: args.login.as_deref().map(|login| ssh_options(login, args)),
        shell: if args.login_shell { Shell::Login } else { Shell::Posix },
        plan,
        policy: policy(args),
        questions: Questions { backend: engine.backend, ready_path: args.ready_path.as_deref().map(Arc::from) },
        models: engine.models,
    };
    Ok(Resolved { summary: summary(args), instance, warnings })
}

fn gateway(args: &ServeArgs, access_key: Option<Key>) -> gateway::Settings {
    gateway::Settings {
        access_key,
        listen_host: args.host.to_string(),
        wake_on: gateway::WakeOn {
            inference: args.wake_on.contains(&WakeOn::Inference),
            models: args.wake_on.contains(&WakeOn::Models),
        },
        idle_timeout: unless_zero(args.idle_timeout),
        patience: patience(args),
        ..gateway::Settings::default()
    }
}

fn policy(args: &ServeArgs) -> Policy {
    Policy {
        idle_timeout: unless_zero(args.idle_timeout),
        queue_timeout: args.queue_timeout,
        startup_timeout: args.startup_timeout,
        hung_timeout: unless_zero(args.hung_timeout),
        heartbeat_interval: args.found.heartbeat_interval,
        max_waiting: args.max_waiting,
        ..Policy::default()
    }
}

/// What the command tells of its engine, and what a file says instead.
fn recognise(args: &ServeArgs) -> Engine {
    let mut engine = backend::recognise(&args.command);
    engine.backend = args.found.backend.unwrap_or(engine.backend);
    if engine.models.is_empty() {
        engine.models.extend(args.found.model.clone());
    }
    engine.models.extend(args.found.aliases.iter().cloned());
    engine
}

fn patience(args: &ServeArgs) -> gateway::Patience {
    gateway::Patience {
        stream_headers_after: unless_zero(args.stream_headers_after),
        body_headers_after: unless_zero(args.body_headers_after),
        keep_alive: unless_zero(args.keep_alive),
    }
}

/// 0 is how never is written.
fn unless_zero(limit: Duration) -> Option<Duration> {
    (!limit.is_zero()).then_some(limit)
}

fn instance_name(args: &ServeArgs, engine: &Engine) -> Result<InstanceName, Report> {
    match &args.name {
        Some(text) => InstanceName::from_text(text).ok_or_else(|| {
            Report::usage(format!("--name {text:?} cannot name the instance")).hinted("give it letters or digits")
        }),
        None => engine.suggested_name.clone().ok_or_else(|| {
            Report::usage("the command tells no name for the instance").hinted("give it one with --name")
        }),
    }
}

/// Whoever says where a tunnel from the job shall end wants one.
fn wished_route(args: &ServeArgs) -> Result<RouteName, Report> {
    let named = [("--loopback-user", &args.loopback_user), ("--loopback-host", &args.loopback_host)];
    let named: Vec<_> = named.iter().filter_map(|(option, value)| Some((option, value.as_ref()?))).collect();
    for (option, value) in &named {
        // They become words of an ssh's, and of lines that are printed to be pasted.
        let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "._-:%".contains(c));
        if !plain || value.is_empty() || value.starts_with('-') {
            return Err(Report::usage(format!("{option} {value:?} is no name"))
                .hinted("give it the name alone, without @ or a port"));
        }
    }
    match (args.route, named.first()) {
        (RouteName::Reverse, _) if !args.use_slurm => {
            Err(Report::usage("--route reverse is a tunnel from a job, and no job is asked for")
                .hinted("give --use-slurm, or leave --route out"))
        }
        (route, None) | (route @ RouteName::Reverse, Some(_)) => Ok(route),
        (RouteName::Auto, Some(_)) => Ok(RouteName::Reverse),
        (RouteName::Direct | RouteName::Nested | RouteName::Relay, Some((option, _))) => {
            Err(Report::usage(format!("{option} asks for a tunnel from the job, and --route for another way"))
                .hinted("leave one of them out"))
        }
    }
}

/// Another machine dials the engine only where Slurm chose its machine.
fn bind(args: &ServeArgs, route: RouteName) -> Result<Bind, Report> {
    if args.engine_socket {
        if args.use_slurm && route == RouteName::Direct {
            return Err(Report::usage(
                "--route direct dials a port of the job's node, and with --engine-socket there is none",
            )
            .hinted("leave --route out: nested, reverse and relay reach the socket; or leave --engine-socket out"));
        }
        return Ok(Bind::Socket);
    }
    let host = match args.target_host.as_str() {
        "auto" if args.use_slurm && matches!(route, RouteName::Auto | RouteName::Direct) => "0.0.0.0".to_owned(),
        // A name with two addresses: which of them an engine then holds is its own affair, and we must know.
        "auto" | "localhost" => Ipv4Addr::LOCALHOST.to_string(),
        given => given.to_owned(),
    };
    Ok(Bind::Port { host, port: args.target_port })
}

/// What is bound where the login host may open no channels. Who gave an address has it.
fn if_prohibited(args: &ServeArgs, engine: &Engine, bind: &Bind) -> Result<Option<Binding>, Report> {
    let instead = Bind::Port { host: Ipv4Addr::LOCALHOST.to_string(), port: args.target_port };
    let settled = args.target_host != "auto" || args.route != RouteName::Auto || args.login.is_none();
    if settled || args.engine_socket || *bind == instead {
        return Ok(None);
    }
    let prepared = prepare(args, engine, &instead)?;
    Ok(Some(Binding { bind: instead, argv: prepared.words }))
}

fn prepare(args: &ServeArgs, engine: &Engine, bind: &Bind) -> Result<PreparedCommand, Report> {
    let model = engine.models.first().map(String::as_str);
    let mut prepared = backend::prepare(&args.command, bind, model).map_err(Report::usage)?;
    if let Some(profiling) = &args.found.profiling {
        profiling.turn_on(engine.backend, &args.command, &mut prepared.words).map_err(Report::usage)?;
    }
    Ok(prepared)
}

fn starter(args: &ServeArgs, name: &InstanceName) -> Result<Starter, Report> {
    if !args.use_slurm {
        return Ok(Starter::Process);
    }
    let job_name = fleet::job_name(&surroundings::state_root()?, name)
        .map_err(|error| Report::failure(error).hinted("make it writable, or set XDG_STATE_HOME"))?;
    let given = SrunArgs::new(args.srun_args.as_deref(), &args.srun_arg);
    let starter = Starter::slurm(args.batch, given, job_name);
    starter
        .map_err(|faults| Report::usage(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n       ")))
}

fn engine_key(engine: &Engine, guarded: bool, warnings: &mut Vec<String>) -> EngineKey {
    let keys = match &engine.own_keys {
        OwnKeys::None => {
            return match engine.backend.key_variables() {
                [] => EngineKey::OfClient,
                variables => EngineKey::PerLife { variables },
            };
        }
        OwnKeys::Known(keys) => keys.as_slice(),
        OwnKeys::Unreadable => &[],
    };
    warnings.push(
        "the command brings its own --api-key, which other users of the engine's machine can read in the process list; \
         without it, the engine gets a key of its own that they cannot"
            .to_owned(),
    );
    match keys.first() {
        Some(key) if guarded => EngineKey::OfCommand(key.clone()),
        Some(_) | None => EngineKey::OfClient,
    }
}

fn chdir(args: &ServeArgs) -> Result<Chdir, Report> {
    match (&args.chdir, &args.login) {
        (Some(folder), Some(_)) => Ok(Chdir::Folder(folder.clone())),
        (None, Some(_)) => Ok(Chdir::Home),
        (folder, None) => {
            let here = std::env::current_dir()
                .map_err(|error| Report::failure(format!("the current folder is not known: {error}")))?;
            let folder = folder.as_ref().map_or_else(|| here.clone(), |folder| here.join(folder));
            Ok(Chdir::Folder(folder.to_string_lossy().into_owned()))
        }
    }
}

/// A configuration file's, `.env` of this folder, then files, then single variables: a later one wins.
fn engine_env(args: &ServeArgs) -> Result<Vec<(String, SecretString)>, Report> {
    let mut env: Vec<(String, SecretString)> = Vec::new();
    let dotenv = PathBuf::from(".env");
    let files = dotenv.exists().then_some(dotenv).into_iter().chain(args.env_file.iter().cloned());
    let mut pairs = args.found.env.clone();
    for file in files {
        pairs.extend(config::read_env_file(&file).map_err(Report::usage)?);
    }
    for text in &args.env {
        pairs.push(Variable::parse(text, |name| std::env::var(name).ok()).map_err(Report::usage)?);
    }
    for variable in pairs {
        // Ours are not the engine's.
        if !config::is_ours(variable.name()) {
            env.retain(|(known, _)| known != variable.name());
            env.push(variable.into_pair());
        }
    }
    Ok(env)
}

fn ssh_options(login: &str, args: &ServeArgs) -> SshOptions {
    let mut options = SshOptions::new(login);
    options.identities.clone_from(&args.identity);
    options.config_file.clone_from(&args.ssh_config);
    options.user.clone_from(&args.ssh.login_name);
    options.port = args.ssh.login_port;
    options.jump.clone_from(&args.ssh.jump);
    options.settings.clone_from(&args.ssh.ssh_option);
    options.accept_new_host_key = args.ssh.accept_new_host_key;
    options
}

fn summary(args: &ServeArgs) -> String {
    let by = match (args.use_slurm, args.batch) {
        (true, true) => "sbatch",
        (true, false) => "srun",
        (false, _) => "starting",
    };
    let place = args.login.as_deref().map(|login| format!(" on {login}")).unwrap_or_default();
    format!("{by}{place}: {}", backend::redact(&args.command.join(" ")))
}
