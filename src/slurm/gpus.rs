//! Whether a job asks for GPUs, and how Slurm tells it which ones it got.

use super::SrunArgs;
use super::options::{self, Given};

/// The kinds of generic resources by which GPUs, or parts of them, are asked for.
const KINDS: [&str; 3] = ["gpu", "shard", "mps"];

/// What Slurm sets to the GPUs of a job, by their maker (`nvidia_gpu_env` and its like in `gres.conf`).
const CHOICES: [&str; 4] = ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "GPU_DEVICE_ORDINAL"];

/// Whether Slurm sets the variable of this name to the GPUs that a job got: another value would name GPUs of other jobs, or
/// none, since they count from 0 in each job where its devices are constrained.
#[must_use]
pub fn chooses_gpus(name: &str) -> bool {
    CHOICES.contains(&name)
}

impl SrunArgs {
    /// Whether they ask for a GPU, or a part of one, in any of the ways there are.
    #[must_use]
    pub fn asks_for_gpu(&self) -> bool {
        // srun takes the last of two equal options.
        let last = |wanted: &str| {
            options::read(self.words()).into_iter().rev().find_map(|given| match given {
                Given::Option { name, value, .. } if name == wanted => value,
                Given::Option { .. } | Given::Ambiguous { .. } | Given::Unfinished { .. } | Given::Word(_) => None,
            })
        };
        let counted = ["gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task"];
        let listed = ["gres", "tres-per-task"];
        counted.into_iter().filter_map(last).any(|value| !is_none(&value))
            || listed.into_iter().filter_map(last).any(|value| value.split(',').any(is_gpu))
    }
}

/// One of a list of resources: `gpu`, `gpu:2`, `gpu:a100:2`, `gres/gpu=2`, `gres:gpu:2`.
fn is_gpu(resource: &str) -> bool {
    let resource = resource.trim();
    let resource = resource.strip_prefix("gres/").or_else(|| resource.strip_prefix("gres:")).unwrap_or(resource);
    KINDS.contains(&resource.split([':', '=']).next().unwrap_or_default()) && !is_none(resource)
}

/// Whether the count at the end is 0.
fn is_none(value: &str) -> bool {
    value.rsplit([':', '=']).next() == Some("0")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use test_case::test_case;

    use super::*;

    #[test_case("--gres=gpu:1")]
    #[test_case("--gres gpu"; "a word of its own, and no count")]
    #[test_case("--gres=craynetwork:0,gpu:a100:2"; "in a list, with a type")]
    #[test_case("--gres=shard:4"; "a part of one")]
    #[test_case("--gres=none --gres=gpu:1"; "the last counts")]
    #[test_case("-G 2"; "by the letter")]
    #[test_case("-Ga100:2"; "by the letter and type")]
    #[test_case("--gpus-per-node=1")]
    #[test_case("--gpus-per-n=1"; "abbreviated")]
    #[test_case("--gpus-per-task=1")]
    #[test_case("--tres-per-task=cpu:4,gres/gpu:1"; "among others for the task")]
    #[test_case("--tres-per-task=gres/gpu=1"; "with an equals sign")]
    fn asks(line: &str) {
        assert!(SrunArgs::new(Some(line), &[]).unwrap().asks_for_gpu());
    }

    #[test_case(""; "nothing")]
    #[test_case("--mem=30G -p gpu -C gpu"; "a partition of that name")]
    #[test_case("--gres=none")]
    #[test_case("--gres=gpu:0")]
    #[test_case("--gpus=0")]
    #[test_case("--gres=gpu:1 --gres=none"; "the last counts")]
    #[test_case("--gres=gputest:1"; "another resource")]
    #[test_case("--comment --gres=gpu:1"; "a comment")]
    #[test_case("--gpu-bind=none --cpus-per-gpu=4"; "how they are used")]
    fn does_not_ask(line: &str) {
        assert!(!SrunArgs::new(Some(line), &[]).unwrap().asks_for_gpu());
    }

    #[test]
    fn the_default_asks() {
        assert!(SrunArgs::new(None, &[]).unwrap().asks_for_gpu());
    }
}
