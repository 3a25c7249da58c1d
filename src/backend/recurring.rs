//! Which causes come again with every start, until somebody changes something.

use super::Diagnosis;

/// The codes of what is wrong with the command, its model, its surroundings, or what Slurm is asked for. Not here: what
/// passes by itself, such as a node that failed, a full queue or a busy GPU.
const CODES: &[&str] = &[
    "command_not_found",
    "engine_arguments",
    "environment_module_missing",
    "gpu_out_of_memory",
    "host_out_of_memory",
    "invalid_account",
    "invalid_gres",
    "invalid_node",
    "invalid_partition",
    "invalid_qos",
    "invalid_reservation",
    "invalid_time",
    "kv_cache_too_small",
    "library_missing",
    "memory_unavailable",
    "model_gated",
    "model_not_found",
    "model_offline",
    "model_unsupported",
    "node_configuration_unavailable",
    "permission_denied",
    "python_module_missing",
    "slurm_access_denied",
    "srun_arguments",
    "srun_missing",
    "too_few_gpus",
    "weights_damaged",
];

impl Diagnosis {
    /// Whether the same command would fail in the same way again: to try is to wait, and to take a GPU, for nothing.
    #[must_use]
    pub fn recurs(&self) -> bool {
        CODES.contains(&self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::CODES;
    use crate::backend::{Backend, causes};

    #[test]
    fn each_is_the_code_of_a_known_cause() {
        for code in CODES {
            assert!(causes::all(Backend::Custom).any(|cause| cause.code == *code), "{code}");
        }
    }
}
