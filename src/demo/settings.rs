//! What the demonstration gives the very code that `serve` runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::FarEnd;
use crate::app::{InstanceSettings, Settings};
use crate::backend::{self, Backend, CommandError};
use crate::gateway;
use crate::host::{Bind, Shell};
use crate::id::InstanceName;
use crate::instance::{Policy, Questions};
use crate::keeper::Chdir;
use crate::launch::{AskedBy, EngineKey, Loopback, Needs, Plan, Starter};
use crate::route::{Route, Wish};
use crate::slurm::{JobName, SrunArgs};

/// The model's name.
pub const MODEL: &str = "demo";

/// How long the engine runs on without a request: short enough to be watched.
pub const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// How long the engine goes on if this program is killed.
const LEASE: Duration = Duration::from_secs(20);

/// How long the engine may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request may wait: on a machine that is very busy, and never for ever.
const STARTUP_TIMEOUT: Duration = Duration::from_mins(2);

/// The settings, for an engine that is `program demo-engine` on `far_end`; `port` is where we listen.
///
/// # Errors
/// The command cannot be run.
pub fn app_settings(far_end: &FarEnd, program: &Path, port: u16) -> Result<(Settings, InstanceSettings), CommandError> {
    let bind = Bind::Port { host: Ipv4Addr::LOCALHOST.to_string(), port: None };
    let command = [&*program.to_string_lossy(), "demo-engine"].map(str::to_owned);
    let prepared = backend::prepare(&command, &bind, None)?;
    // Both are known to be good, and there is nothing else to say.
    let name = InstanceName::from_text(MODEL).ok_or(CommandError::Empty)?;
    let srun_args = SrunArgs::new(None, &[]).map_err(|_| CommandError::Empty)?;
    let idle_timeout = Some(IDLE_TIMEOUT);
    let settings = Settings {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        state_root: far_end.state_root(),
        most_running: None,
        gateway: gateway::Settings { idle_timeout, ..gateway::Settings::default() },
    };
    let instance = InstanceSettings {
        logs: None,
        login: Some(far_end.ssh_options()),
        shell: Shell::Posix,
        plan: Plan {
            instance: name.clone(),
            starter: Starter::Slurm {
                asked_by: AskedBy::Srun,
                args: srun_args,
                job_name: JobName::new("demo", "here", &name),
            },
            backend: Backend::Custom,
            argv: prepared.words,
            bind,
            if_prohibited: None,
            route: Wish::Only(Route::Direct),
            loopback: Loopback::default(),
            chdir: Chdir::Home,
            prelude: None,
            login_shell: false,
            profiling: None,
            env: Vec::new(),
            engine_key: EngineKey::PerLife { variables: Backend::Custom.key_variables() },
            lease: LEASE,
            stop_timeout: STOP_TIMEOUT,
            model: None,
            needs: Needs::default(),
        },
        policy: Policy {
            idle_timeout,
            queue_timeout: STARTUP_TIMEOUT,
            startup_timeout: STARTUP_TIMEOUT,
            ..Policy::default()
        },
        questions: Questions::of(Backend::Custom),
        models: vec![MODEL.to_owned()],
        name,
    };
    Ok((settings, instance))
}
