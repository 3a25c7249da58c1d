//! The command line that asks Slurm for a job.

use super::{JobName, SrunArgs};

/// `srun`, the user's arguments, ours, and the words of the task.
///
/// Ours come last, because srun takes the last of two equal options. They are only what is needed:
///
/// - `--job-name`: how the job is found again, since nothing prints its number at once.
/// - `--dependency=singleton`: Slurm itself never runs two jobs of this name, whatever was lost in between.
/// - `--nodes=1 --ntasks=1`: one engine; without them `--gpus=4 --ntasks-per-gpu=1` would run four.
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
pub fn srun_argv(args: &SrunArgs, name: &JobName, task: &[&str]) -> Vec<String> {
    let ours = ["--dependency=singleton", "--nodes=1", "--ntasks=1", "--unbuffered"];
    let named = std::iter::once(format!("--job-name={name}"));
    let rest = ours.iter().chain(task).map(|word| (*word).to_owned());
    std::iter::once("srun".to_owned()).chain(args.words().iter().cloned()).chain(named).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::id::InstanceName;

    #[test]
    fn ours_come_after_the_users() {
        let name = JobName::new("ada", "laptop", &InstanceName::from_text("m").unwrap());
        let argv = srun_argv(&SrunArgs::new(None, &[]).unwrap(), &name, &["/bin/sh", "-s"]);
        assert_eq!(
            argv.join(" "),
            "srun --mem=30G --gres=gpu:1 --job-name=llm-proxy-ada-laptop-m --dependency=singleton --nodes=1 --ntasks=1 \
             --unbuffered /bin/sh -s"
        );
    }
}
