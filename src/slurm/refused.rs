//! What may not be given to srun, and what to do instead.

const STREAMS: &str = "the job's streams carry what this program and its keeper say; the engine's output is in its log";
const ONE_NODE: &str = "one engine runs on one node, as one task; for more GPUs ask for them with --gres, and tell the engine \
                        by its own flags, such as --tensor-parallel-size";
const OWN_JOB: &str = "the engine is a job of its own, never a step of another; leave it out";
const NO_JOB: &str = "it starts no job; run srun by hand with it";
const LOGIN: &str = "the job is yours; log in to the cluster as the user who should own it";

/// Options that are refused whatever their value.
const ALWAYS: &[(&str, &str)] = &[
    ("array", "one engine is one job; leave it out"),
    ("chdir", "give --chdir to this program instead: srun goes on in /tmp where the folder is missing"),
    ("debugger-test", NO_JOB),
    ("dependency", "it is set to singleton, which keeps a second job of this instance from starting; leave it out"),
    ("error", STREAMS),
    ("external", OWN_JOB),
    ("gid", LOGIN),
    ("help", NO_JOB),
    ("het-group", ONE_NODE),
    ("input", STREAMS),
    ("interactive", OWN_JOB),
    ("job-name", "jobs are found again by a name that this program gives; choose the instance's name with --name"),
    ("jobid", OWN_JOB),
    ("label", "it would put a number before each line of the keeper; leave it out"),
    ("multi-prog", "the job runs one command; leave it out"),
    ("no-allocate", OWN_JOB),
    ("output", STREAMS),
    ("overlap", OWN_JOB),
    ("pack-group", ONE_NODE),
    ("pty", "the job has no terminal; leave it out"),
    ("test-only", NO_JOB),
    ("uid", LOGIN),
    ("usage", NO_JOB),
    ("version", NO_JOB),
    ("wrap", "the command is what you give this program; leave it out"),
];

/// Options of which only one task on one node can be asked for.
const ONE_ONLY: &[&str] =
    &["nodes", "ntasks", "ntasks-per-gpu", "ntasks-per-node", "ntasks-per-tres", "tasks-per-node"];

/// Options of srun that no sbatch knows, or that mean another thing to it. Measured with 22.05; where a later sbatch may know
/// one, it is left to that.
const NOT_OF_SBATCH: &[&str] = &[
    "accel-bind",
    "bcast",
    "bcast-exclude",
    "compress",
    "cpu-bind",
    "cpu_bind",
    "disable-status",
    "epilog",
    "exact",
    "immediate",
    "kill-on-bad-exit",
    "mpi",
    "msg-timeout",
    "preserve-env",
    "prolog",
    "quit-on-interrupt",
    "relative",
    "resv-ports",
    "send-libs",
    "slurmd-debug",
    "task-epilog",
    "task-prolog",
    // An abbreviation of --threads-per-core to sbatch.
    "threads",
    "unbuffered",
    // Its sbatch would return only once the job has ended.
    "wait",
];

/// Whether an option that srun may be given makes no sense to sbatch.
pub(super) fn is_not_of_sbatch(name: &str) -> bool {
    NOT_OF_SBATCH.contains(&name)
}

/// Why an option with this value is refused and what to do instead; nothing where it may be given.
pub(super) fn refusal(name: &str, value: Option<&str>) -> Option<&'static str> {
    if let Some((_, instead)) = ALWAYS.iter().find(|(refused, _)| *refused == name) {
        return Some(instead);
    }
    let value = value.unwrap_or_default();
    if ONE_ONLY.contains(&name) && value != "1" && (name != "nodes" || value != "1-1") {
        return Some(ONE_NODE);
    }
    let several = value.contains(',') || value == "all";
    (matches!(name, "clusters" | "cluster") && several)
        .then_some("a job's number is looked up in one cluster; name one")
}

/// Whether an option of this name is refused for some value.
pub(super) fn may_be_refused(name: &str) -> bool {
    ALWAYS.iter().any(|(refused, _)| *refused == name) || ONE_ONLY.contains(&name)
}
