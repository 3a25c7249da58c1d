//! The command line that asks Slurm for a job of its own, which nobody waits for.

use super::{JobName, SrunArgs};

/// `sbatch`, the user's arguments, and ours; the script comes on its standard input, and whoever runs it adds `--output`.
///
/// Ours come last, because sbatch takes the last of two equal options. What they are for, beside those that
/// [`srun_argv`](super::srun_argv) explains:
///
/// - `--parsable`: the job's number and nothing else is printed.
/// - `--no-requeue`: a job that Slurm started anew would be another life, which nobody asked for.
/// - `--open-mode=append`: the output is the life's log, where the login host's own words stand already.
/// - `--chdir=/`: it exists on each node. The keeper goes where the engine shall run.
///
/// The environment is the caller's (`--export=ALL`), as srun's is: that is the default once `SBATCH_EXPORT` is cleared.
#[must_use]
pub fn sbatch_argv(args: &SrunArgs, name: &JobName) -> Vec<String> {
    let ours = [
        "--dependency=singleton",
        "--nodes=1",
        "--ntasks=1",
        "--parsable",
        "--no-requeue",
        "--open-mode=append",
        "--chdir=/",
    ];
    let named = std::iter::once(format!("--job-name={name}"));
    let rest = ours.iter().map(|word| (*word).to_owned());
    std::iter::once("sbatch".to_owned()).chain(args.words().iter().cloned()).chain(named).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::id::InstanceName;

    #[test]
    fn ours_come_after_the_users() {
        let name = JobName::new("ada", "laptop", &InstanceName::from_text("m").unwrap());
        let argv = sbatch_argv(&SrunArgs::new(None, &[]).unwrap(), &name);
        assert_eq!(
            argv.join(" "),
            "sbatch --mem=30G --gres=gpu:1 --job-name=llm-proxy-ada-laptop-m --dependency=singleton --nodes=1 --ntasks=1 \
             --parsable --no-requeue --open-mode=append --chdir=/"
        );
    }
}
