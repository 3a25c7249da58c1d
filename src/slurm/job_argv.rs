//! What `srun` and `sbatch` are asked alike.

use super::{JobName, SrunArgs};

/// The program, the user's arguments, ours, and those of ours that this program alone needs.
///
/// Ours come last, because both programs take the last of two equal options. They are only what is needed:
///
/// - `--job-name`: how the job is found again, since nothing prints its number at once.
/// - `--dependency=singleton`: Slurm itself never runs two jobs of this name, whatever was lost in between.
/// - `--nodes=1 --ntasks=1`: one engine; without them `--gpus=4 --ntasks-per-gpu=1` would run four.
pub(super) fn job_argv(program: &str, args: &SrunArgs, name: &JobName, besides: &[&str]) -> Vec<String> {
    let named = format!("--job-name={name}");
    let ours = [named.as_str(), "--dependency=singleton", "--nodes=1", "--ntasks=1"];
    let ours = ours.iter().chain(besides).map(|word| (*word).to_owned());
    std::iter::once(program.to_owned()).chain(args.words().iter().cloned()).chain(ours).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use crate::id::InstanceName;
    use crate::slurm::{JobName, SrunArgs, sbatch_argv, srun_argv};

    #[test]
    fn ours_come_after_the_users() {
        let (name, args) = (InstanceName::from_text("m").unwrap(), SrunArgs::new(None, &[]).unwrap());
        let name = JobName::new("ada", "laptop", &name);
        assert_eq!(
            srun_argv(&args, &name).join(" "),
            "srun --mem=30G --gres=gpu:1 --job-name=llm-proxy-ada-laptop-m --dependency=singleton --nodes=1 --ntasks=1 \
             --unbuffered"
        );
        assert_eq!(
            sbatch_argv(&args, &name).join(" "),
            "sbatch --mem=30G --gres=gpu:1 --job-name=llm-proxy-ada-laptop-m --dependency=singleton --nodes=1 --ntasks=1 \
             --parsable --no-requeue --open-mode=append --chdir=/"
        );
    }
}
