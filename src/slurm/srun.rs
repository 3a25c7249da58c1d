//! The command line that asks Slurm for a job.

use super::job_argv::job_argv;
use super::{JobName, SrunArgs};
use crate::id::JobId;

/// `srun`, the user's arguments, and ours; whoever runs it adds the words of the task.
///
/// What ours are for, beside those that a job asked for by sbatch has, too:
///
/// - `--unbuffered`: without it Slurm holds an engine's progress bar back until its line ends or 1024 bytes have come. The
///   task's standard output becomes a pseudo terminal, which has the keeper's reports alone and, as Slurm turns its output
///   processing off, does not change them; the engine writes to standard error, which stays a pipe.
///
/// What is left out, and why:
///
/// - `--input=all` and `--export=ALL` are the defaults once `SLURM_STDINMODE` and `SLURM_EXPORT_ENV` are cleared, as the
///   keeper's launcher does; the user may choose `--export` himself.
/// - `--kill-on-bad-exit` and `--wait` are about several tasks.
/// - `--chdir`: where the folder is missing, srun says so and goes on in `/tmp`. The keeper fails instead.
#[must_use]
pub fn srun_argv(args: &SrunArgs, name: &JobName) -> Vec<String> {
    job_argv("srun", args, name, &["--unbuffered"])
}

/// `srun` and its arguments for one more step beside the one that a job runs.
///
/// - `--overlap`: it takes nothing from the other step, and does not wait for its end (Slurm 20.11 and later).
/// - `--unbuffered`: its standard output carries bytes and not lines. It passes every byte as it is.
#[must_use]
pub fn step_argv(args: &SrunArgs, job: JobId) -> Vec<String> {
    let cluster = args.cluster().map(|cluster| format!("--clusters={cluster}"));
    let ours = ["--overlap", "--unbuffered", "--nodes=1", "--ntasks=1"].map(str::to_owned);
    ["srun".to_owned(), format!("--jobid={job}")].into_iter().chain(cluster).chain(ours).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_step_names_its_job_and_its_cluster() {
        let args = SrunArgs::new(Some("-M far --mem=1G"), &[]).unwrap();
        let line = step_argv(&args, JobId(7)).join(" ");
        assert_eq!(line, "srun --jobid=7 --clusters=far --overlap --unbuffered --nodes=1 --ntasks=1");
    }
}
