//! What may be said of a server beside its backend and its model.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

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
        }
    }
}
