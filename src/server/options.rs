//! What may be said of a server beside its backend and its model.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::backend::Profiling;
use crate::gateway::AccessKey;
use crate::launch::Loopback;
use crate::route::Wish;
use crate::secret::Key;
use crate::ssh::SshOptions;

/// What may be said of a server. Without a `Debug`: its environment and its command may hold secrets.
#[derive(Clone)]
pub struct Options {
    /// What it is called; by default after its model.
    pub name: Option<String>,
    /// Where its API is served.
    pub host: IpAddr,
    /// On which port; 0 takes a free one.
    pub port: u16,
    /// The engine's command, in the place of its backend's own; a custom one needs it. `{host}`, `{port}` and `{model}` are
    /// filled in.
    pub command: Vec<String>,
    /// More words of the engine's command.
    pub arguments: Vec<String>,
    /// Variables of the engine's environment.
    pub env_vars: Vec<(String, String)>,
    /// Where its log and what must outlive this process are kept, in a folder of its name.
    pub output_dir: PathBuf,
    /// How long the engine may take to answer.
    pub startup_timeout: Duration,
    /// How long the engine may take to end by itself before it is killed.
    pub stop_timeout: Duration,
    /// The host that it runs on, by SSH; none: this machine.
    pub login: Option<SshOptions>,
    /// What every client must show; without one only loopback is listened on.
    pub access_key: Option<Key>,
    /// Keys that open some of it.
    pub access_keys: Vec<AccessKey>,
    /// How many inference requests the engine is given at once; none: as many as come.
    pub requests_in_flight: Option<NonZeroUsize>,
    /// The folder that the command runs in; none: the current one here, the home on another host.
    pub chdir: Option<String>,
    /// A shell line before the command, such as `module load cuda`.
    pub prelude: Option<String>,
    /// Whether a login shell runs it.
    pub login_shell: bool,
    /// How bytes reach an engine on another machine.
    pub route: Wish,
    /// Where a tunnel from a job ends, for that route.
    pub loopback: Loopback,
    /// The path that answers 200 once the engine is ready; none: its backend's own.
    pub ready_path: Option<String>,
    /// How often an idle engine is asked how it is; none: never.
    pub heartbeat_interval: Option<Duration>,
    /// After how long without an answer it is taken for hung, and started again; none: two minutes; 0: never.
    pub heartbeat_timeout: Option<Duration>,
    /// After how long without a request it is ended, until the next one; none: never.
    pub idle_timeout: Option<Duration>,
    /// The size of its model's files in bytes; none: as the hub says.
    pub model_size: Option<u64>,
    /// How it is profiled.
    pub profiling: Option<Profiling>,
    /// The job of Slurm's that it runs in; none: it is a process of that host.
    pub job: Option<Job>,
}

/// A job of Slurm's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// The arguments of srun, or of sbatch; none: `--mem=30G --gres=gpu:1`.
    pub arguments: Vec<String>,
    /// Whether it is asked for by sbatch, so that it outlives the login host's session.
    pub batch: bool,
    /// How long it may wait in the queue; none: a day.
    pub queue_timeout: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: None,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            command: Vec::new(),
            arguments: Vec::new(),
            env_vars: Vec::new(),
            output_dir: PathBuf::from("server_logs"),
            startup_timeout: Duration::from_mins(10),
            stop_timeout: Duration::from_mins(1),
            login: None,
            job: None,
            access_key: None,
            access_keys: Vec::new(),
            requests_in_flight: None,
            chdir: None,
            prelude: None,
            login_shell: false,
            route: Wish::Auto,
            loopback: Loopback::default(),
            ready_path: None,
            heartbeat_interval: None,
            heartbeat_timeout: None,
            idle_timeout: None,
            model_size: None,
            profiling: None,
        }
    }
}
