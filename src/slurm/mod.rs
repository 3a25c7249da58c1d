//! Slurm's words, with no transport: what is asked of `srun`, `sbatch`, `squeue` and `scancel`, and what their answers mean.
//!
//! Measured on Slurm 22.05; what differs in other versions is said where it matters.

mod expected_start;
mod gpus;
mod job_argv;
mod job_name;
mod options;
mod reasons;
mod refused;
mod sbatch;
mod scancel;
mod squeue;
mod srun;
mod srun_args;
mod states;
mod time_left;

pub use expected_start::{short_start, today};
pub use gpus::chooses_gpus;
pub use job_name::JobName;
pub use reasons::held_because;
pub use sbatch::sbatch_argv;
pub use scancel::scancel_argv;
pub use squeue::{JobView, Jobs, Unanswered, parse_squeue, squeue_argv};
pub use srun::{srun_argv, step_argv};
pub use srun_args::{DEFAULT_SRUN_ARGS, SrunArgError, SrunArgs};
pub use states::{JobState, Meaning, Outcome};
pub use time_left::TimeLeft;
