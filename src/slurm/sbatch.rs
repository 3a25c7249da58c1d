//! The command line that asks Slurm for a job of its own, which nobody waits for.

use super::job_argv::job_argv;
use super::{JobName, SrunArgs};

/// `sbatch`, the user's arguments, and ours; the script comes on its standard input, and whoever runs it adds `--output`.
///
/// What ours are for, beside those that a job asked for by srun has, too:
///
/// - `--parsable`: the job's number and nothing else is printed.
/// - `--no-requeue`: a job that Slurm started anew would be another life, which nobody asked for.
/// - `--open-mode=append`: the output is the life's log, where the login host's own words stand already.
/// - `--chdir=/`: it exists on each node. The keeper goes where the engine shall run.
///
/// The environment is the caller's (`--export=ALL`), as srun's is: that is the default once `SBATCH_EXPORT` is cleared.
#[must_use]
pub fn sbatch_argv(args: &SrunArgs, name: &JobName) -> Vec<String> {
    job_argv("sbatch", args, name, &["--parsable", "--no-requeue", "--open-mode=append", "--chdir=/"])
}
