//! The configuration as it is written: a file, and each other layer that can say the same.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;

use super::schema::{Amount, Arguments, GpuNumbers, Length, NumberOfPort, OneOrMore, Words};
use super::{Sourced, Variable, WrittenArg};

/// What a file may hold: one server, or a fleet of models.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Fleet {
    /// How this program itself is reached
    pub listen: Option<Listen>,
    /// The place of the key that every client is asked for: `env:NAME` or `file:PATH`
    pub access_key: Option<Sourced<String>>,
    /// The hosts that models may run on, each under a name of your choice
    #[schemars(with = "Option<std::collections::BTreeMap<String, HostBlock>>")]
    pub hosts: Vec<(String, Sourced<HostBlock>)>,
    /// What every model is given that does not say it for itself
    pub defaults: Option<ServerBlock>,
    /// The models, each under the name of its instance
    #[schemars(with = "std::collections::BTreeMap<String, ServerBlock>")]
    pub models: Vec<(String, Sourced<ServerBlock>)>,
    /// Which of the models gets the requests that name none [default: they are refused]
    pub default_model: Option<Sourced<String>>,
    /// What callers of the API may do besides asking the models
    pub callers: Option<Sourced<CallersBlock>>,
}

/// What callers of the API may do besides asking the models.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CallersBlock {
    /// Whether they may create instances of their own, and delete them [default: false]
    pub create: Option<Sourced<bool>>,
    /// Whether they may set arguments of the engine that are known to be harmless, such as sizes [default: true]
    pub harmless: Option<Sourced<bool>>,
    /// Arguments that they may set besides: your leave, also for a flag that could run code
    #[schemars(with = "Option<OneOrMore>")]
    pub arguments: Option<Sourced<Vec<String>>>,
}

/// How this program itself is reached.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Listen {
    /// The address; other than loopback only with an access key
    #[schemars(with = "Option<String>")]
    pub host: Option<Sourced<IpAddr>>,
    /// The port; 0 takes a free one
    pub port: Option<Sourced<u16>>,
}

/// How a host is reached, in the words of `serve`'s options.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HostBlock {
    /// The destination: user@host:port (user and port may be left out), or an alias of ~/.ssh/config
    pub login: Option<Sourced<String>>,
    /// Through these, as with ssh -J
    pub jump: Option<Sourced<String>>,
    /// Private keys
    #[schemars(with = "Option<OneOrMore>")]
    pub identity: Option<Sourced<Vec<String>>>,
    /// An SSH configuration instead of ~/.ssh/config
    pub ssh_config: Option<Sourced<PathBuf>>,
    /// The user's name there
    pub login_name: Option<Sourced<String>>,
    /// The port of its SSH server
    #[schemars(with = "Option<NumberOfPort>")]
    pub login_port: Option<Sourced<u16>>,
    /// Options of the SSH configuration, each KEY=VALUE
    #[schemars(with = "Option<OneOrMore>")]
    pub ssh_option: Option<Sourced<Vec<String>>>,
    /// Trust the host if its key is not known yet
    pub accept_new_host_key: Option<Sourced<bool>>,
}

/// One server: its engine, where it runs, and its limits.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ServerBlock {
    /// The kind of engine [default: vllm, or custom where there is a command]
    pub backend: Option<Sourced<BackendName>>,
    /// The model's name or path
    pub model: Option<Sourced<String>>,
    /// Further names that the model is asked for by
    #[schemars(with = "Option<OneOrMore>")]
    pub aliases: Option<Sourced<Vec<String>>>,
    /// The engine's command, where it is not the usual one; {model}, {host} and {port} are filled in
    #[schemars(with = "Option<Words>")]
    pub command: Option<Sourced<Vec<String>>>,
    /// The engine's port [default: a free one, chosen where it runs]
    #[schemars(with = "Option<NumberOfPort>")]
    pub port: Option<Sourced<u16>>,
    /// The folder of the engine's log, where it gets a folder of the instance's name [default: the state folder]
    pub output_dir: Option<Sourced<PathBuf>>,
    /// Environment variables of the engine
    #[schemars(with = "Option<std::collections::BTreeMap<String, super::schema::Scalar>>")]
    pub env_vars: Vec<Sourced<Variable>>,
    /// What only this kind of engine takes
    pub config: Option<EngineBlock>,
    /// Profiling
    pub profile: Option<Sourced<ProfileBlock>>,
    /// What is known of the model's files
    pub serve_config: Option<ServeBlock>,
    /// The engine's path that tells by a 200 whether it is ready [default: what its kind has, such as /health]
    pub ready_path: Option<Sourced<String>>,
    /// Ask a ready engine of which nothing was heard for so long how it is [default: only while requests wait for it]
    #[schemars(with = "Option<Length>")]
    pub heartbeat_interval: Option<Sourced<Duration>>,
    /// Take the engine for hung when it answers nothing for this long, as --hung-timeout; 0: never
    #[schemars(with = "Option<Length>")]
    pub heartbeat_timeout: Option<Sourced<Duration>>,
    /// From allocated to ready
    #[schemars(with = "Option<Length>")]
    pub startup_timeout: Option<Sourced<Duration>>,
    /// How long a job may wait in Slurm's queue
    #[schemars(with = "Option<Length>")]
    pub queue_timeout: Option<Sourced<Duration>>,
    /// From asked to end to killed
    #[schemars(with = "Option<Length>")]
    pub stop_timeout: Option<Sourced<Duration>>,
    /// Stop the engine after this long with nothing in flight; 0: never, nor for requests to others that need its GPUs
    #[schemars(with = "Option<Length>")]
    pub idle_timeout: Option<Sourced<Duration>>,
    /// Show after each end of the engine what was looked at
    pub debug_mode: Option<Sourced<bool>>,
    /// Where it runs: a name of 'hosts', or an SSH destination [default: this machine]
    pub host: Option<Sourced<String>>,
    /// Who starts the engine [default: slurm where there is a 'slurm' block]
    pub launcher: Option<Sourced<Launcher>>,
    /// The job
    pub slurm: Option<SlurmBlock>,
    /// How bytes reach the engine
    pub route: Option<Sourced<RouteName>>,
    /// The GPUs of this machine that it has for itself, by their numbers in nvidia-smi; none: `[]` [default: all]
    #[schemars(with = "Option<GpuNumbers>")]
    pub gpus: Option<Sourced<Vec<u32>>>,
    /// How many engines of this kind
    #[schemars(with = "Option<std::num::NonZeroU16>")]
    pub replicas: Option<Sourced<u16>>,
    /// The folder that the command runs in
    pub chdir: Option<Sourced<String>>,
    /// A shell line before the command, such as 'module load cuda'
    pub prelude: Option<Sourced<String>>,
    /// Use a login shell
    pub login_shell: Option<Sourced<bool>>,
}

/// Arguments of the engine, each in the list or the mapping that its kind is used to.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EngineBlock {
    /// Arguments of vLLM's server
    #[schemars(with = "Option<Arguments>")]
    pub api_server_args: Option<Sourced<Vec<WrittenArg>>>,
    /// Arguments of SGLang's server, or of a command of your own
    #[schemars(with = "Option<Arguments>")]
    pub server_args: Option<Sourced<Vec<WrittenArg>>>,
}

/// What is known of the model's files.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ServeBlock {
    /// Their total size, such as 140GB; checked against the space, and what the download's progress is told by
    #[schemars(with = "Option<Amount>")]
    pub model_size: Option<Sourced<u64>>,
}

/// A Slurm job.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SlurmBlock {
    /// Arguments of srun, or of sbatch: a list, or one line that is split as a shell would [default: --mem=30G --gres=gpu:1]
    #[schemars(with = "Option<Words>")]
    pub args: Option<Sourced<Vec<String>>>,
    /// Ask by sbatch, so that the job outlives the login host's session
    pub batch: Option<Sourced<bool>>,
    /// Who the job's ssh -R logs in as
    pub loopback_user: Option<Sourced<String>>,
    /// Where the job's ssh -R goes
    pub loopback_host: Option<Sourced<String>>,
}

/// How an engine is profiled.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ProfileBlock {
    /// Whether at all
    pub enabled: Option<Sourced<bool>>,
    /// By what
    pub tool: Option<Sourced<ProfileTool>>,
    /// Where the traces go
    pub output_dir: Option<Sourced<PathBuf>>,
    /// Arguments of the tool
    #[schemars(with = "Option<Words>")]
    pub args: Option<Sourced<Vec<String>>>,
}

/// Declares an enum that a file names by words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$said:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, clap::ValueEnum)]
        pub enum $name {
            $($(#[$said])* #[schemars(rename = $word)] #[value(name = $word)] $variant,)*
        }

        impl $name {
            /// Each with its word.
            pub const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),*];

            /// Its word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// A kind of engine.
    BackendName {
        /// vLLM's OpenAI-compatible server
        Vllm = "vllm",
        /// SGLang's server
        Sglang = "sglang",
        /// Any command that speaks HTTP
        Custom = "custom",
    }
}

words! {
    /// Who starts the engine.
    Launcher {
        /// The host's own shell
        Process = "process",
        /// Slurm
        Slurm = "slurm",
    }
}

words! {
    /// How bytes reach the engine.
    RouteName {
        /// The first that works
        Auto = "auto",
        /// The host dials the engine's port
        Direct = "direct",
        /// SSH goes on from the login host to the node, and the engine is dialled on its loopback there
        Nested = "nested",
        /// Through an `ssh -R` that the job makes
        Reverse = "reverse",
        /// Through the standard streams of a program beside the engine; needs a Python there
        Relay = "relay",
    }
}

words! {
    /// What profiles an engine.
    ProfileTool {
        /// NVIDIA's Nsight Systems, around the engine: one report, when it ends
        Nsys = "nsys",
        /// `PyTorch`'s own profiler, in vLLM and `SGLang`: a trace for each time that it is asked for
        Pytorch = "pytorch",
        /// AMD's `rocprofv3`, or `rocprof` where that is not there, around the engine
        Amd = "amd",
    }
}
