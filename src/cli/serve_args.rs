//! The arguments of `serve`, as they are typed.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};

use super::configured::Found;
use super::profiling_args::ProfilingArgs;
use super::ssh_args::SshArgs;
use super::typed::TypedOptions;
use crate::config::{RouteName, parse_duration, parse_url_path};

/// The arguments of `serve`. Without a `Debug`: they may hold secrets.
#[derive(Args, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct ServeArgs {
    /// Which of these were typed. It must be the first.
    #[command(flatten)]
    pub typed: TypedOptions,

    /// What is known beside the options.
    #[arg(skip)]
    pub(super) found: Found,

    /// Read this YAML file: one server, or several models; what is typed here wins over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Listen on this address; other than loopback only with --access-key
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDR")]
    pub host: IpAddr,

    /// Listen on this port; 0 takes a free one
    #[arg(long, default_value_t = 8085)]
    pub port: u16,

    /// Let the engine listen on this port, whatever COMMAND says [default: a free one, chosen where it runs]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub target_port: Option<u16>,

    /// Let the engine bind this address, whatever COMMAND says; auto: 0.0.0.0 where another machine must and
    /// may reach it
    #[arg(long, default_value = "auto", value_name = "ADDR")]
    pub target_host: String,

    /// Let the engine take requests on a Unix socket in a folder that only you can enter, and on no port: nobody else on its
    /// machine can send it any. By vLLM's --uds, or where COMMAND has {socket}; under Slurm not with --route direct
    #[arg(long, conflicts_with_all = ["target_port", "target_host"])]
    pub engine_socket: bool,

    /// Name the instance [default: from the model]
    #[arg(long)]
    pub name: Option<String>,

    /// Start COMMAND by srun
    #[arg(long)]
    pub use_slurm: bool,

    /// Ask for the job by sbatch, so that it outlives the login host's session
    #[arg(long, requires = "use_slurm")]
    pub batch: bool,

    /// Run everything on this host, reached by SSH: `[user@]host[:port]`, or an alias of `~/.ssh/config`
    #[arg(long, value_name = "DEST", value_hint = ValueHint::Hostname)]
    pub login: Option<String>,

    /// Authenticate with this private key; repeatable
    #[arg(long, short = 'i', value_name = "FILE", requires = "login")]
    pub identity: Vec<PathBuf>,

    /// Read this SSH configuration instead of ~/.ssh/config
    #[arg(long, short = 'F', value_name = "FILE", requires = "login")]
    pub ssh_config: Option<PathBuf>,

    /// The rest of how that host is reached.
    #[command(flatten)]
    pub ssh: SshArgs,

    /// Give these arguments to srun, or to sbatch, split as a shell would [default: "--mem=30G --gres=gpu:1"]
    #[arg(long, value_name = "STRING", requires = "use_slurm", allow_hyphen_values = true)]
    pub srun_args: Option<String>,

    /// Give this one argument to srun, or to sbatch, as it is; repeatable
    #[arg(long, value_name = "ARG", requires = "use_slurm", allow_hyphen_values = true)]
    pub srun_arg: Vec<String>,

    /// Run COMMAND in this folder [default: the home folder of the host, or this folder without --login]
    #[arg(long, value_name = "DIR")]
    pub chdir: Option<String>,

    /// Run this shell line before COMMAND, such as 'module load cuda'
    #[arg(long, value_name = "LINE")]
    pub prelude: Option<String>,

    /// Use a login shell, for hosts whose PATH is made by their profile
    #[arg(long)]
    pub login_shell: bool,

    /// Reach the engine this way: direct (its port is dialled from the host), nested (SSH on to its node, and there its
    /// loopback), reverse (an ssh -R from the job), relay (through the standard streams of a program beside it), auto (the first that works)
    #[arg(long, default_value = "auto", value_enum, value_name = "ROUTE")]
    pub route: RouteName,

    /// Let the job's ssh -R log in as this user [default: the user of the host that srun runs on]; implies --route reverse
    #[arg(long, value_name = "USER", requires = "use_slurm")]
    pub loopback_user: Option<String>,

    /// Let the job's ssh -R go to this host, as the job and this program know it [default: the host that srun runs on];
    /// implies --route reverse
    #[arg(long, value_name = "HOST", requires = "use_slurm")]
    pub loopback_host: Option<String>,

    /// Stop the engine after this long with nothing in flight; 0: never
    #[arg(long, default_value = "30m", value_name = "DURATION", value_parser = parse_duration)]
    pub idle_timeout: Duration,

    /// Let the job wait this long in Slurm's queue
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = parse_duration)]
    pub queue_timeout: Duration,

    /// Let the engine take this long from allocated to ready
    #[arg(long, default_value = "30m", value_name = "DURATION", value_parser = parse_duration)]
    pub startup_timeout: Duration,

    /// Let the engine take this long to end by itself before it is killed
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = parse_duration)]
    pub stop_timeout: Duration,

    /// Take the engine for hung when it says nothing for this long, neither to requests nor when it is asked how it is;
    /// 0: never
    #[arg(long, default_value = "2m", value_name = "DURATION", value_parser = parse_duration)]
    pub hung_timeout: Duration,

    /// Ask the engine at this path whether it is ready, which a 200 says [default: what its kind has, such as /health]
    #[arg(long, value_name = "PATH", value_parser = parse_url_path)]
    pub ready_path: Option<String>,

    /// Let the engine go on this long without hearing from this program; then it ends itself
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = parse_duration)]
    pub lease: Duration,

    /// Let at most this many requests wait for the engine; further ones get 429
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub max_waiting: usize,

    /// Send a waiting stream its headers after this long, and comments that say where it stands; 0: never
    #[arg(long, default_value = "8s", value_name = "DURATION", value_parser = parse_duration)]
    pub stream_headers_after: Duration,

    /// Send other waiting requests for JSON their headers after this long, and white space; 0: never
    #[arg(long, default_value = "240s", value_name = "DURATION", value_parser = parse_duration)]
    pub body_headers_after: Duration,

    /// Send those a sign of life this often; 0: never
    #[arg(long, default_value = "15s", value_name = "DURATION", value_parser = parse_duration)]
    pub keep_alive: Duration,

    /// Let these requests start the engine
    #[arg(long, default_value = "inference,models", value_delimiter = ',', value_name = "WHAT", value_enum)]
    pub wake_on: Vec<WakeOn>,

    /// Ask every client for the key in this place, `env:NAME` or `file:PATH`; else in `LLM_PROXY_ACCESS_KEY`, if that is set. It opens
    /// everything; the `access_keys` of a file, some of it
    #[arg(long, value_name = "SOURCE")]
    pub access_key: Option<String>,

    /// Set a variable for the engine: NAME=VALUE, or NAME to pass on this shell's; repeatable
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,

    /// Set the variables of this file for the engine; repeatable. `.env` in this folder is read first
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,

    /// How the engine is profiled.
    #[command(flatten)]
    pub profiling: ProfilingArgs,

    /// Go on in the background once it listens and its host let it in; `llm-proxy stop NAME --serve` ends it
    #[arg(long)]
    pub detach: bool,

    /// Print what would be run and where, and stop
    #[arg(long)]
    pub dry_run: bool,

    /// Show the engine's own log; twice: what this program decides
    #[arg(long, short, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Show after each end of the engine what was looked at, and what was seen: job, processes, port, GPU memory
    #[arg(long)]
    pub debug: bool,

    /// The engine's command: unchanged but for its --host and --port
    #[arg(trailing_var_arg = true, value_name = "COMMAND", required_unless_present = "config", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<String>,
}

/// Which requests start the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WakeOn {
    /// Chat, completions, embeddings and all else that the model itself answers.
    Inference,
    /// A look at the list of models.
    Models,
}
