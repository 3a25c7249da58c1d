//! Causes that Slurm tells in its own words.

use super::causes::Cause;

/// Slurm ended what ran.
pub(super) const ENDED: &[Cause] = &[
    Cause {
        code: "time_limit",
        what: "the job reached its time limit",
        signs: &["due to time limit"],
        remedy: "the next request starts it again; ask for more time with --srun-args '--time=…'",
    },
    Cause {
        code: "preempted",
        what: "the job had to make room for another",
        signs: &["due to preemption"],
        remedy: "the next request starts it again; a partition or --qos without preemption lets it stay",
    },
    Cause {
        code: "node_failed",
        what: "the node failed",
        signs: &["due to node failure", "node failure on", "received srun node fail"],
        remedy: "the next request starts it again; if it is always the same node, leave it out with --exclude in \
                 --srun-args, and tell the cluster's operators",
    },
];

/// Slurm does not start the job.
pub(super) const SUBMISSION: &[Cause] = &[
    Cause {
        code: "invalid_account",
        what: "Slurm does not take the account",
        signs: &["invalid account"],
        remedy: "name one of yours with --account in --srun-args (`sacctmgr show associations user=$USER`)",
    },
    Cause {
        code: "invalid_partition",
        what: "Slurm does not know the partition",
        signs: &["invalid partition"],
        remedy: "name one that `sinfo` lists, with --partition in --srun-args",
    },
    Cause {
        code: "invalid_qos",
        what: "Slurm does not take the quality of service",
        signs: &["invalid qos"],
        remedy: "name one that you may use, with --qos in --srun-args (`sacctmgr show associations user=$USER`)",
    },
    Cause {
        code: "policy_limit",
        what: "your limits at the cluster forbid the job",
        signs: &["job violates accounting/qos policy", "job submit limit", "qosmax", "assocmax", "assocgrp", "qosgrp"],
        remedy: "ask for less in --srun-args (--time, --mem, --gres), end other jobs, or name another --qos or \
                 --account",
    },
    Cause {
        code: "invalid_gres",
        what: "Slurm does not know this kind of resource",
        signs: &["invalid generic resource", "invalid gres", "invalid tres"],
        remedy: "ask for what `sinfo -o '%P %G'` lists, with --gres in --srun-args",
    },
    Cause {
        code: "memory_unavailable",
        what: "no node has so much memory",
        signs: &["memory specification can not be satisfied", "invalid memory specification"],
        remedy: "ask for less with --mem in --srun-args (`sinfo -o '%P %m'`, in MB)",
    },
    Cause {
        code: "node_configuration_unavailable",
        what: "no node has what the job asks for",
        signs: &["requested node configuration is not available", "cpu count per node can not be satisfied"],
        remedy: "ask for less in --srun-args (--mem, --gres, --cpus-per-task), or name another --partition \
                 (`sinfo -o '%P %m %c %G'`)",
    },
    Cause {
        code: "invalid_node",
        what: "Slurm does not know a node",
        signs: &["invalid node name", "invalid feature specification", "requested nodes not in this partition"],
        remedy: "correct --nodelist, --exclude or --constraint in --srun-args (`sinfo -N`)",
    },
    Cause {
        code: "invalid_time",
        what: "Slurm does not take the time limit",
        signs: &["requested time limit is invalid", "time limit specification required", "invalid time specification"],
        remedy: "give --time in --srun-args, and no more than the partition allows (`sinfo -o '%P %l'`)",
    },
    Cause {
        code: "invalid_reservation",
        what: "Slurm does not take the reservation",
        signs: &[
            "requested reservation is invalid",
            "access denied to requested reservation",
            "reservation…not usable",
        ],
        remedy: "correct or leave out --reservation in --srun-args (`scontrol show reservation`)",
    },
    Cause {
        code: "partition_closed",
        what: "the partition takes no jobs now",
        signs: &["required partition not available", "required node not available", "user's group not permitted"],
        remedy: "name another with --partition in --srun-args (`sinfo`)",
    },
    Cause {
        code: "slurm_access_denied",
        what: "Slurm does not let you",
        signs: &["access/permission denied", "user not found on host", "invalid user id"],
        remedy: "ask the cluster's operators whether you may run jobs in this partition",
    },
    Cause {
        code: "srun_arguments",
        what: "Slurm does not take the arguments of the job",
        signs: &[
            "srun: unrecognized option",
            "sbatch: unrecognized option",
            "sbatch: invalid option",
            "sbatch: option…requires an argument",
            "sbatch: option…is ambiguous",
            "sbatch: option…doesn't allow an argument",
            "sbatch: error: invalid --",
            "sbatch: error: unrecognized",
            "srun: invalid option",
            "srun: option…requires an argument",
            "srun: option…is ambiguous",
            "srun: option…doesn't allow an argument",
            "srun: error: invalid --",
            "srun: error: unrecognized",
        ],
        remedy: "correct --srun-args (`srun --help` on the login host)",
    },
    Cause {
        code: "srun_missing",
        what: "the login host does not find this command of Slurm's",
        signs: &[
            "srun: command not found",
            "srun: not found",
            "srun…no such file or directory",
            "exec: srun",
            "sbatch: command not found",
            "sbatch: not found",
        ],
        remedy: "check that --login names a login host of the cluster; where Slurm is only in the PATH of login \
                 shells, add --login-shell",
    },
    Cause {
        code: "allocation_unconfirmed",
        what: "Slurm gave the job away before it was confirmed",
        signs: &["unable to confirm allocation", "unable to confirm resource"],
        remedy: "try again; if it stays, ask the cluster's operators",
    },
    Cause {
        code: "launch_failed",
        what: "the node could not start the job",
        signs: &[
            "task…launch failed",
            "slurmd could not",
            "unable to create step for job",
            "job credential expired",
            "job credential revoked",
            "task launch for stepid…failed",
        ],
        remedy: "try again; if it is always the same node, leave it out with --exclude in --srun-args, and tell the \
                 cluster's operators",
    },
    Cause {
        code: "slurm_authentication",
        what: "Slurm does not know who asks",
        signs: &[
            "munge decode failed",
            "munge encode failed",
            "protocol authentication error",
            "failed to connect to socket \"/run/munge",
        ],
        remedy: "tell the cluster's operators: its munge service does not work on this host",
    },
    Cause {
        code: "controller_unreachable",
        what: "Slurm's controller does not answer",
        signs: &[
            "unable to contact slurm controller",
            "unable to contact the controller",
            "could not establish a configuration source",
            "unable to process configuration file",
            "unable to establish control machine address",
            "slurm backup controller in standby mode",
        ],
        remedy: "wait and try again; `sinfo` on the login host shows when it answers, and the cluster's status page \
                 may say why",
    },
];
