//! Causes that what engines are made of and run on tell: Python, CUDA, the hub, the machine. What each kind says by
//! itself is in its own file.

use super::causes::Cause;

/// What `PyTorch` says where the GPU's memory is too small; what helps depends on the engine's flags.
pub(super) const GPU_MEMORY: &[&str] = &[
    "cuda out of memory",
    "hip out of memory",
    "torch.outofmemoryerror",
    "torch.cuda.outofmemoryerror",
    "cuda_error_out_of_memory",
];

/// The job's memory is short.
pub(super) const JOB_MEMORY: &[Cause] = &[Cause {
    code: "host_out_of_memory",
    what: "the job used more memory than it asked for",
    signs: &[
        "oom-kill",
        "oom_kill",
        "out of memory: killed process",
        "task…: out of memory",
        "exceeded memory limit",
        "exceeded job memory limit",
        "exceeded step memory limit",
    ],
    remedy: "ask for more with --mem in --srun-args: loading weights takes at least their size",
}];

/// The engine and its surroundings do not fit together.
pub(super) const ENGINE: &[Cause] = &[
    Cause {
        code: "no_gpu",
        what: "the engine sees no GPU that it can use",
        signs: &[
            "no cuda gpus are available",
            "failed to infer device type",
            "found no nvidia driver",
            "cuda driver version is insufficient",
            "cuda driver initialization failed",
            "no kernel image is available for execution",
            "no cuda-capable device is detected",
        ],
        remedy: "ask for a GPU with --gres=gpu:1 in --srun-args, and check that the engine was built for it and for \
                 the node's driver (nvidia-smi)",
    },
    Cause {
        code: "too_few_gpus",
        what: "the engine is told to use more GPUs than the job has",
        signs: &["invalid device ordinal"],
        remedy: "ask for as many GPUs with --gres in --srun-args as --tensor-parallel-size times \
                 --pipeline-parallel-size says",
    },
    Cause {
        code: "port_in_use",
        what: "another program has the engine's port",
        signs: &["address already in use", "address in use", "couldn't bind to"],
        remedy: "leave --target-port out, and a free port is chosen on the node",
    },
    Cause {
        code: "engine_arguments",
        what: "the engine does not take its arguments",
        signs: &[
            "error: unrecognized arguments:",
            "error: argument --",
            "error: the following arguments are required",
            "error: ambiguous option:",
            "invalid choice:",
        ],
        remedy: "mend the arguments of the command; they may be of another version of the engine (see its --help)",
    },
];

/// The model cannot be had.
pub(super) const MODEL: &[Cause] = &[
    Cause {
        code: "model_gated",
        what: "the hub does not give this model to you",
        signs: &[
            "gated repo",
            "gatedrepoerror",
            "access to model…is restricted",
            "401 client error",
            "403 client error",
            "invalid user token",
        ],
        remedy: "accept the model's licence on its page at the hub, and give a token of that account with \
                 --env HF_TOKEN",
    },
    Cause {
        code: "model_offline",
        what: "the model is not on the cluster, and the engine may not download it",
        signs: &[
            "outgoing traffic has been disabled",
            "cannot find an appropriate cached snapshot folder",
            "offlinemodeisenabled",
            "cannot reach…offline mode is enabled",
        ],
        remedy: "download it on the login host (hf download MODEL), or take HF_HUB_OFFLINE out of the environment; \
                 check HF_HOME where the model lies in another folder",
    },
    Cause {
        code: "model_not_found",
        what: "there is no such model",
        signs: &[
            "is not a valid model identifier",
            "repositorynotfounderror",
            "repository not found",
            "revisionnotfounderror",
            "404 client error",
            "does not appear to have a file named",
            "can't load the configuration of",
        ],
        remedy: "check the model's name or path; a private model needs a token with --env HF_TOKEN",
    },
    Cause {
        code: "hub_unreachable",
        what: "the node cannot reach the hub",
        signs: &[
            "we couldn't connect to 'http",
            "please check your internet connection",
            "we cannot find the requested files in the local cache",
            "max retries exceeded with url",
            "temporary failure in name resolution",
            "failed to resolve '",
        ],
        remedy: "compute nodes often have no way out: download the model on the login host first (hf download \
                 MODEL), or give the cluster's proxy with --env HTTPS_PROXY=…",
    },
    Cause {
        code: "weights_damaged",
        what: "the model's files are damaged or not whole",
        signs: &["safetensorerror", "error while deserializing header", "pytorchstreamreader failed", "unexpected eof"],
        remedy: "delete the model's folder under ~/.cache/huggingface/hub (or HF_HOME) and download it again",
    },
    Cause {
        code: "model_unsupported",
        what: "this version of the engine does not know the model's kind",
        signs: &["model architectures…are not supported", "does not recognize this architecture"],
        remedy: "use a newer version of the engine",
    },
];

/// The machine does not give what a program needs.
pub(super) const SYSTEM: &[Cause] = &[
    Cause {
        code: "disk_full",
        what: "a disk is full",
        signs: &["no space left on device", "disk quota exceeded", "errno 28", "errno 122"],
        remedy: "make room, or let the model's cache be elsewhere with --env HF_HOME=… (see `quota` or `df`)",
    },
    Cause {
        code: "tunnel_refused",
        what: "the job cannot open its tunnel back",
        signs: &[
            "remote port forwarding failed",
            "permission denied (publickey",
            "host key verification failed",
            "permission denied, please try again",
        ],
        remedy: "log in to the node and check that `ssh USER@HOST true` with --loopback-user and --loopback-host \
                 works there without a question: the key must be in authorized_keys, the host in known_hosts",
    },
    Cause {
        code: "python_module_missing",
        what: "a Python module is missing",
        signs: &["modulenotfounderror", "no module named", "error while finding module specification"],
        remedy: "use the environment where the engine is installed: name its python by path, activate it with \
                 --prelude, or run it by `uv run --with …`",
    },
    Cause {
        code: "environment_module_missing",
        what: "an environment module cannot be loaded",
        signs: &["the following module(s) are unknown", "unable to locate a modulefile", "lmod has detected"],
        remedy: "correct the module in --prelude (`module avail` on the login host), or try --login-shell",
    },
    Cause {
        code: "library_missing",
        what: "a library is missing on the node, or is too old",
        signs: &["cannot open shared object file", "undefined symbol:", "glibc_…not found", "glibcxx_…not found"],
        remedy: "load what the engine was built with in --prelude (module load cuda), or run it in a container",
    },
    Cause {
        code: "process_limit",
        what: "a limit of the machine is reached",
        signs: &["can't start new thread", "too many open files", "fork: retry", "fork: resource temporarily"],
        remedy: "raise the limit with `ulimit` in --prelude, or ask the cluster's operators",
    },
    Cause {
        code: "communication_failed",
        what: "the engine's processes cannot talk to each other",
        signs: &["nccl error", "ncclsystemerror", "distbackenderror"],
        remedy: "try --env NCCL_DEBUG=INFO to see why, and --env NCCL_P2P_DISABLE=1 to go round it",
    },
];
