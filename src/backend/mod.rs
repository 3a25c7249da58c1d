//! What we know of each kind of engine: its flags, its readiness, its keys, and what it says when it fails.

mod arguments;
mod argv;
mod causes;
mod clean;
mod command;
mod custom;
mod described;
mod diagnosis;
mod endpoint;
mod engine;
mod engine_causes;
mod flags;
mod hub_model;
mod kind;
mod launch_command;
mod loading;
mod metrics;
mod model_size;
mod placeholder;
mod profile;
mod profiling;
mod program;
mod recurring;
mod redact;
mod sglang;
mod slurm_causes;
pub mod steps;
mod vllm;

pub use arguments::{
    ArgumentError, ArgumentLayer, ArgumentSource, ArgumentWarning, CallerLeave, HeldBack, MergedArguments,
    merge_arguments,
};
pub use argv::{get, list, remove, set};
pub use causes::Cause;
pub use clean::visible;
pub use command::{CommandError, CommandWarning, PreparedCommand, prepare};
pub use described::{DescribedCommand, DescribedError};
pub use diagnosis::{Diagnosis, JobEnd, KILLED, diagnose, diagnose_job};
pub use endpoint::Endpoint;
pub use engine::{Engine, OwnKeys, recognise, short_name};
pub use flags::{Flags, Repeated};
pub use hub_model::HubModel;
pub use kind::Backend;
pub use launch_command::{LaunchCommand, LaunchCommandError};
pub use loading::{Loading, Mark, loading};
pub use model_size::{ModelSize, Space};
pub use profile::{Found, Profile};
pub use profiling::{Profiler, Profiling, ProfilingError};
pub use redact::redact;
