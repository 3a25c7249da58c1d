//! The options of `serve` that say how the engine is profiled.

use clap::Args;

use crate::config::ProfileTool;

/// How the engine is profiled.
#[derive(Args, Clone, Debug, Default)]
pub struct ProfilingArgs {
    /// Profile the engine: nsys or amd (rocprofv3, rocprof) run COMMAND from its start to its end; pytorch profiles while
    /// `llm-proxy profile` asks for it
    #[arg(long, value_enum, value_name = "TOOL")]
    pub profile: Option<ProfileTool>,

    /// Let the profiler write to this folder, where the engine runs [default: ./profiles]
    #[arg(long, value_name = "DIR")]
    pub profile_output_dir: Option<String>,

    /// Give this argument to the profiler; to the engine, with pytorch; repeatable
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub profile_arg: Vec<String>,
}
