//! The engine's GPUs under Slurm: Slurm chooses them, where it is asked for any.

use secrecy::SecretString;

use super::serve_args::ServeArgs;
use crate::launch::Starter;
use crate::slurm::{self, DEFAULT_SRUN_ARGS};

/// Drops from the engine's environment what would override Slurm's choice, and says what the user should know.
pub(super) fn left_to_slurm(args: &ServeArgs, starter: &Starter, env: &mut Vec<(String, SecretString)>) -> Vec<String> {
    let Starter::Slurm { args: given, .. } = starter else { return Vec::new() };
    let mut warnings = Vec::new();
    env.retain(|(name, _)| {
        let chosen = slurm::chooses_gpus(name);
        if chosen {
            warnings.push(format!(
                "{name}, from --env or an environment file, is not given to the engine: Slurm sets it to the GPUs of the job"
            ));
        }
        !chosen
    });
    if args.srun_args.is_some() && !given.asks_for_gpu() {
        warnings.push(format!(
            "--srun-args asks for no GPU, and stands in the place of \"{DEFAULT_SRUN_ARGS}\", which did; \
             add --gres=gpu:1 if the engine needs one"
        ));
    }
    warnings
}
