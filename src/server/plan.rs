//! From a backend, a model and options to what `serve` would run.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{Job, Options, ServerError};
use crate::app::{InstanceSettings, Settings};
use crate::backend::{self, Backend, HubModel, OwnKeys};
use crate::config::Variable;
use crate::fleet;
use crate::gateway;
use crate::host::{Bind, Shell};
use crate::id::InstanceName;
use crate::instance::{Policy, Questions};
use crate::keeper::Chdir;
use crate::launch::{EngineKey, Needs, Plan, Starter};
use crate::slurm::{JobName, SrunArgs};

/// How long a job may wait in the queue, where nobody says.
const QUEUE_TIMEOUT: Duration = Duration::from_hours(24);

/// How long the engine goes on if this process is killed.
const LEASE: Duration = Duration::from_mins(2);

/// The engine's command, but for the host and the port, which are filled in where it runs.
pub(super) fn command(backend: Backend, model: &str, options: &Options) -> Vec<String> {
    let own: &[&str] = match backend {
        Backend::Vllm => &["vllm", "serve", model],
        Backend::Sglang => &["python3", "-m", "sglang.launch_server", "--model-path", model],
        Backend::Custom => &[],
    };
    let words: Vec<String> = if options.command.is_empty() {
        own.iter().map(|word| (*word).to_owned()).collect()
    } else {
        options.command.clone()
    };
    words.into_iter().chain(options.arguments.iter().cloned()).collect()
}

/// What it is called.
pub(super) fn name(model: &str, options: &Options) -> Result<InstanceName, ServerError> {
    let short = model.trim_end_matches('/').rsplit('/').next().unwrap_or(model);
    let text = options.name.as_deref().unwrap_or(short);
    InstanceName::from_text(text).ok_or_else(|| ServerError::Name(text.to_owned()))
}

fn starter(job: &Job, job_name: JobName) -> Result<Starter, ServerError> {
    let given = if job.arguments.is_empty() { None } else { Some("") };
    let starter = Starter::slurm(job.batch, SrunArgs::new(given, &job.arguments), job_name);
    starter.map_err(|faults| ServerError::Job(faults.iter().map(ToString::to_string).collect()))
}

fn chdir(options: &Options) -> Result<Chdir, ServerError> {
    Ok(match (&options.chdir, &options.login) {
        (Some(folder), Some(_)) => Chdir::Folder(folder.clone()),
        (Some(folder), None) => Chdir::Folder(std::path::absolute(folder)?.to_string_lossy().into_owned()),
        (None, Some(_)) => Chdir::Home,
        (None, None) => Chdir::Folder(std::env::current_dir()?.to_string_lossy().into_owned()),
    })
}

fn policy(options: &Options) -> Policy {
    let usual = Policy::default();
    Policy {
        idle_timeout: options.idle_timeout,
        hung_timeout: match options.heartbeat_timeout {
            None => usual.hung_timeout,
            Some(limit) => (!limit.is_zero()).then_some(limit),
        },
        heartbeat_interval: options.heartbeat_interval,
        startup_timeout: options.startup_timeout,
        queue_timeout: options.job.as_ref().and_then(|job| job.queue_timeout).unwrap_or(QUEUE_TIMEOUT),
        ..usual
    }
}

/// All that is decided before it starts.
pub(super) fn settings(
    backend: Backend,
    model: &str,
    options: &Options,
) -> Result<(Settings, InstanceSettings), ServerError> {
    // Another machine dials it only where Slurm chooses its machine.
    let bound = if options.job.is_some() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let bind = Bind::Port { host: bound.to_string(), port: None };
    let state_root = std::path::absolute(&options.output_dir)?;
    let words = command(backend, model, options);
    let mut argv = backend::prepare(&words, &bind, Some(model))?.words;
    if let Some(profiling) = &options.profiling {
        profiling.turn_on(backend, &words, &mut argv)?;
    }
    let name = name(model, options)?;
    let starter = match &options.job {
        None => Starter::Process,
        Some(job) => starter(job, fleet::job_name(&state_root, &name)?)?,
    };
    let env = options.env_vars.iter().map(|(name, value)| Ok(Variable::new(name, value)?.into_pair()));
    let engine_key = match (backend::recognise(&words).own_keys, backend.key_variables()) {
        (OwnKeys::Known(_) | OwnKeys::Unreadable, _) | (OwnKeys::None, []) => EngineKey::OfClient,
        (OwnKeys::None, variables) => EngineKey::PerLife { variables },
    };
    if !options.host.is_loopback() && options.access_key.is_none() {
        return Err(ServerError::Open(options.host));
    }
    let chdir = chdir(options)?;
    let settings = Settings {
        listen: SocketAddr::new(options.host, options.port),
        state_root,
        most_running: None,
        gateway: gateway::Settings {
            access_key: options.access_key.clone(),
            listen_host: options.host.to_string(),
            idle_timeout: options.idle_timeout,
            ..gateway::Settings::default()
        },
    };
    let instance = InstanceSettings {
        logs: None,
        login: options.login.clone(),
        shell: if options.login_shell { Shell::Login } else { Shell::Posix },
        plan: Plan {
            instance: name.clone(),
            starter,
            backend,
            argv,
            bind,
            if_prohibited: None,
            route: options.route,
            loopback: options.loopback.clone(),
            chdir,
            prelude: options.prelude.clone(),
            login_shell: options.login_shell,
            profiling: options.profiling.clone(),
            env: env.collect::<Result<_, ServerError>>()?,
            engine_key,
            lease: LEASE,
            stop_timeout: options.stop_timeout,
            model: HubModel::of_command(&words, backend, Some(model), options.model_size),
            needs: Needs::default().with_variables(|name| {
                options.env_vars.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
            }),
        },
        policy: policy(options),
        questions: Questions { backend, ready_path: options.ready_path.as_deref().map(Arc::from) },
        models: vec![model.to_owned()],
        name,
    };
    Ok((settings, instance))
}
