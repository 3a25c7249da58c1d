//! The engine's GPUs: under Slurm, Slurm chooses them, where it is asked for any; on this machine, each has one owner.

use secrecy::{ExposeSecret as _, SecretString};

use super::serve_args::ServeArgs;
use crate::host::Bind;
use crate::id::GpuIndex;
use crate::launch::{Needs, Starter, WantedGpus};
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

/// What the engine needs of this machine, where it is to run here; and what the user should know.
pub(super) fn needs(
    args: &ServeArgs,
    bind: &Bind,
    env: &[(String, SecretString)],
    warnings: &mut Vec<String>,
) -> Needs {
    let named = args.found.gpus.as_ref();
    if args.use_slurm || args.login.is_some() {
        if let Some(gpus) = named {
            let why = if args.use_slurm {
                "Slurm gives the job its GPUs, as --srun-args asks for them"
            } else {
                "the GPUs of another machine have no owners here; set CUDA_VISIBLE_DEVICES with env_vars"
            };
            warnings.push(format!("'gpus' ({}) is left out: {why}", gpus.source));
        }
        return Needs::default();
    }
    let gpus =
        named.map_or(WantedGpus::All, |named| WantedGpus::These(named.value.iter().copied().map(GpuIndex).collect()));
    let leaves_port = matches!(bind, Bind::Port { port: None, .. });
    let needs = Needs { gpus, ports: args.found.ports.filter(|_| leaves_port) };
    let needs = needs
        .with_variables(|name| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.expose_secret()));
    if let (WantedGpus::OfVariable(variable), Some(gpus)) = (&needs.gpus, named) {
        warnings.push(format!(
            "'gpus' ({}) is left out: a variable of the engine says '{variable}', and wins",
            gpus.source
        ));
    }
    needs
}
