//! vLLM: `vllm serve MODEL`, `python -m vllm.entrypoints.openai.api_server --model MODEL`.
//!
//! As read in the sources of 0.33, and seen of 0.32.

use super::argv;
use super::causes::Cause;
use super::endpoint::Endpoint;
use super::engine_causes::GPU_MEMORY;
use super::flags::{Flags, Repeated};
use super::loading::Mark;
use super::profile::{Found, Profile};
use super::profiling::Profiler;
use super::program::file_name;
use super::steps;

pub(super) const PROFILE: Profile = Profile {
    name: "vLLM",
    found,
    commands: &[
        &["vllm", "serve", "{model}"],
        &["python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "{model}"],
    ],
    models,
    name_flag: Some("--served-model-name"),
    keys,
    key_variables: &["VLLM_API_KEY"],
    flags: FLAGS,
    socket_flag: Some("--uds"),
    // Also 200 while it drains and while it sleeps, and refused until it is ready.
    ready_paths: &["/health"],
    endpoints: ENDPOINTS,
    profiler: Some(Profiler {
        words: &["--profiler-config.profiler", "torch", "--profiler-config.torch_profiler_dir", "{profiles}"],
        variables: &[],
        start: "/start_profile",
        stop: "/stop_profile",
        // What forks after CUDA began is not seen by nsys.
        under_a_program: &[("VLLM_WORKER_MULTIPROC_METHOD", "spawn")],
    }),
    busy_metrics: &["vllm:num_requests_running", "vllm:num_requests_waiting"],
    marks: MARKS,
    causes: CAUSES,
};

/// Whether vLLM's server starts with the word at `at`: the program, the module (with or without `python -m` before
/// it), or the script.
fn found(words: &[String], at: usize) -> Option<Found> {
    let word = words.get(at)?;
    let serves = words.get(at + 1).is_some_and(|next| next == "serve");
    let module = word.starts_with("vllm.entrypoints.") || word.ends_with("vllm/entrypoints/openai/api_server.py");
    if serves && (module || file_name(word) == "vllm") {
        Some(Found { first_argument: at + 2, subcommand: true })
    } else {
        module.then_some(Found { first_argument: at + 1, subcommand: false })
    }
}

/// Whether the word is vLLM's own image, whose entry point is its server: `docker run vllm/vllm-openai:v0 --model M`.
pub(super) fn is_image(word: &str) -> bool {
    word.contains("vllm/vllm-openai")
}

/// The names that it serves, as far as its arguments tell.
fn models(arguments: &[String], subcommand: bool) -> Vec<String> {
    let served = argv::list(arguments, "--served-model-name");
    if !served.is_empty() {
        return served.into_iter().map(str::to_owned).collect();
    }
    let positional = arguments.first().filter(|first| subcommand && !first.starts_with('-')).map(String::as_str);
    let model = positional.or_else(|| argv::get(arguments, "--model")).or_else(|| argv::get(arguments, "--model-tag"));
    model.into_iter().map(str::to_owned).collect()
}

/// The keys in its arguments; it takes several.
fn keys(arguments: &[String]) -> Vec<String> {
    argv::list(arguments, "--api-key").into_iter().map(str::to_owned).collect()
}

/// Held to its own parser by the tests with the real engine.
const FLAGS: Flags = Flags {
    aliases: &[
        ("-tp", "--tensor-parallel-size"),
        ("-pp", "--pipeline-parallel-size"),
        ("-dp", "--data-parallel-size"),
        ("-dpl", "--data-parallel-size-local"),
        ("-dpn", "--data-parallel-rank"),
        ("-dpr", "--data-parallel-start-rank"),
        ("-dpa", "--data-parallel-address"),
        ("-dpp", "--data-parallel-rpc-port"),
        ("-dpb", "--data-parallel-backend"),
        ("-dph", "--data-parallel-hybrid-lb"),
        ("-dpe", "--data-parallel-external-lb"),
        ("-dpm", "--data-parallel-multi-port-external-lb"),
        ("-dcp", "--decode-context-parallel-size"),
        ("-pcp", "--prefill-context-parallel-size"),
        ("-ep", "--enable-expert-parallel"),
        ("-asc", "--api-server-count"),
        ("-n", "--nnodes"),
        ("-r", "--node-rank"),
        ("-q", "--quantization"),
        ("-O", "--optimization-level"),
        ("-cc", "--compilation-config"),
        ("-ac", "--attention-config"),
        ("-sc", "--speculative-config"),
        ("-dc", "--diffusion-config"),
        ("--device-memory-utilization", "--gpu-memory-utilization"),
    ],
    several: &[
        "--allowed-media-domains",
        "--api-key",
        "--collect-detailed-traces",
        "--cpu-offload-params",
        "--cudagraph-capture-sizes",
        "--ignore-patterns",
        "--kv-cache-dtype-skip-layers",
        "--logits-processors",
        "--lora-modules",
        "--lora-target-modules",
        "--numa-bind-cpus",
        "--numa-bind-nodes",
        "--offload-params",
        "--served-model-name",
        "--sleep-preserve-parameter-names",
    ],
    json_lists: &["--allowed-headers", "--allowed-methods", "--allowed-origins"],
    repeated: Repeated::Only(&["--middleware"]),
    harmless: &[
        "--async-scheduling",
        "--block-size",
        "--chat-template-content-format",
        "--convert",
        "--cpu-offload-gb",
        "--data-parallel-size",
        "--disable-cascade-attn",
        "--disable-custom-all-reduce",
        "--disable-log-requests",
        "--disable-log-stats",
        "--disable-sliding-window",
        "--dtype",
        "--enable-auto-tool-choice",
        "--enable-chunked-prefill",
        "--enable-expert-parallel",
        "--enable-lora",
        "--enable-log-requests",
        "--enable-prefix-caching",
        "--enforce-eager",
        "--gpu-memory-utilization",
        "--kv-cache-dtype",
        "--kv-cache-memory-bytes",
        "--limit-mm-per-prompt",
        "--max-cpu-loras",
        "--max-log-len",
        "--max-logprobs",
        "--max-lora-rank",
        "--max-loras",
        "--max-model-len",
        "--max-num-batched-tokens",
        "--max-num-seqs",
        "--max-seq-len-to-capture",
        "--performance-mode",
        "--pipeline-parallel-size",
        "--quantization",
        "--reasoning-parser",
        "--response-role",
        "--runner",
        "--scheduling-policy",
        "--seed",
        "--served-model-name",
        "--swap-space",
        "--tensor-parallel-size",
        "--tool-call-parser",
        "--uvicorn-log-level",
    ],
    dangerous: &[
        // Code by its name or by a file, or what decides on code.
        "--trust-*",
        "--*-plugin",
        "--*-cls",
        "--*-config",
        "--middleware",
        "--logits-processors",
        "--distributed-executor-backend",
        "--attention-backend",
        "--load-format",
        "--config",
        "--config-format",
        "--tokenizer-mode",
        "--model-impl",
        "--model-class-overrides",
        "--hf-overrides",
        "--code-revision",
        "--tool-server",
        "--chat-template",
        "--spec-method",
        // What is read, and written, where.
        "--model",
        "--model-tag",
        "--tokenizer",
        "--revision",
        "--spec-model",
        "--lora-modules",
        "--default-mm-loras",
        "--*-path",
        "--*-dir",
        "--*-file",
        // Who is listened to, and told.
        "--host",
        "--port",
        "--uds",
        "--api-key",
        "--ssl-*",
        "--hf-token",
        "--grpc",
        "--headless",
        "--allowed-*",
        "--otlp-traces-endpoint",
        "--master-*",
        "--nnodes",
        "--node-rank",
        "--data-parallel-address",
        "--data-parallel-rpc-port",
        "--data-parallel-backend",
        "--enable-scale-out",
        "--enable-fault-tolerance",
        "--tokens-only",
    ],
};

const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("health", "GET", "/health"),
    Endpoint::new("ping", "GET", "/ping"),
    Endpoint::new("version", "GET", "/version"),
    Endpoint::new("metrics", "GET", "/metrics"),
    Endpoint::new("load", "GET", "/load").needs("--enable-server-load-tracking"),
    Endpoint::new("models", "GET", "/v1/models"),
    Endpoint::new("chat", "POST", "/v1/chat/completions"),
    Endpoint::new("completions", "POST", "/v1/completions"),
    Endpoint::new("responses", "POST", "/v1/responses"),
    Endpoint::new("messages", "POST", "/v1/messages"),
    Endpoint::new("count_tokens", "POST", "/v1/messages/count_tokens"),
    Endpoint::new("embeddings", "POST", "/v1/embeddings").needs("an embedding model"),
    Endpoint::new("embed", "POST", "/v2/embed").needs("an embedding model"),
    Endpoint::new("pooling", "POST", "/pooling").needs("a pooling model"),
    Endpoint::new("classify", "POST", "/classify").needs("a classifying model"),
    Endpoint::new("score", "POST", "/v1/score").needs("a scoring model"),
    Endpoint::new("rerank", "POST", "/v1/rerank").needs("a scoring model"),
    Endpoint::new("transcriptions", "POST", "/v1/audio/transcriptions").needs("a model that hears"),
    Endpoint::new("translations", "POST", "/v1/audio/translations").needs("a model that hears"),
    Endpoint::new("realtime", "WS", "/v1/realtime").needs("a model that hears"),
    Endpoint::new("generate", "POST", "/inference/v1/generate").needs("--enable-scale-out"),
    Endpoint::new("invocations", "POST", "/invocations"),
    Endpoint::new("tokenize", "POST", "/tokenize"),
    Endpoint::new("detokenize", "POST", "/detokenize"),
    Endpoint::new("start_profile", "POST", "/start_profile").needs("--profiler-config"),
    Endpoint::new("stop_profile", "POST", "/stop_profile").needs("--profiler-config"),
    Endpoint::new("sleep", "POST", "/sleep").needs("VLLM_SERVER_DEV_MODE=1"),
    Endpoint::new("wake_up", "POST", "/wake_up").needs("VLLM_SERVER_DEV_MODE=1"),
    Endpoint::new("load_lora", "POST", "/v1/load_lora_adapter").needs("VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"),
    Endpoint::new("unload_lora", "POST", "/v1/unload_lora_adapter").needs("VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"),
];

/// 0.2 to 0.33.
const MARKS: &[Mark] = &[
    ("Starting to load model", steps::WEIGHTS),
    ("Time spent downloading weights", steps::WEIGHTS),
    ("checkpoint shards", steps::WEIGHTS),
    ("Loading safetensors using", steps::WEIGHTS),
    ("for vLLM's torch.compile", steps::COMPILE),
    ("Dynamo bytecode transform", steps::COMPILE),
    ("Compiling a graph for", steps::COMPILE),
    ("Compiling model again", steps::COMPILE),
    ("Directly load the compiled graph", steps::COMPILE),
    ("Directly load AOT compilation", steps::COMPILE),
    ("torch.compile take", steps::COMPILE),
    ("torch.compile took", steps::COMPILE),
    ("Memory profiling", steps::CACHE),
    ("Available KV cache memory", steps::CACHE),
    ("KV cache size", steps::CACHE),
    ("# GPU blocks", steps::CACHE),
    ("Capturing CUDA graph", steps::GRAPHS),
    ("Capturing cudagraphs", steps::GRAPHS),
    ("Capturing the model for CUDA graphs", steps::GRAPHS),
    ("init engine (profile", steps::SERVER),
    ("Starting vLLM API server", steps::SERVER),
    ("Starting vLLM server", steps::SERVER),
    ("Initializing a V", steps::ENGINE),
    ("Initializing an LLM engine", steps::ENGINE),
    ("Resolved architecture", steps::CONFIG),
    ("Using max model len", steps::CONFIG),
    ("vLLM API server version", steps::CONFIG),
];

const CAUSES: &[Cause] = &[
    Cause {
        code: "engine_arguments",
        what: "the engine does not take its arguments",
        signs: &["unrecognized arguments:…--disable-log-requests"],
        remedy: "leave --disable-log-requests out: newer versions of vLLM log requests only where --enable-log-requests \
                 is given",
    },
    Cause {
        code: "gpu_memory_taken",
        what: "another program holds the GPU's memory",
        signs: &["free memory on device…is less than desired gpu memory utilization"],
        remedy: "see who holds it with nvidia-smi on the node, ask for another node, or lower \
                 --gpu-memory-utilization",
    },
    Cause {
        code: "kv_cache_too_small",
        what: "the GPU has too little memory left for the context length",
        signs: &[
            "larger than the maximum number of tokens that can be stored in kv cache",
            "which is larger than the available kv cache memory",
            "no available memory for the cache blocks",
        ],
        remedy: "lower --max-model-len, raise --gpu-memory-utilization, or use more GPUs with --tensor-parallel-size",
    },
    Cause {
        code: "gpu_out_of_memory",
        what: "the GPU's memory is too small",
        signs: GPU_MEMORY,
        remedy: "use a larger GPU or more of them (--gres in --srun-args and --tensor-parallel-size), a quantised \
                 model, or a smaller --max-model-len",
    },
    Cause {
        code: "too_few_gpus",
        what: "the engine is told to use more GPUs than the job has",
        signs: &["world size…is larger than the number of available gpus", "tensor parallel size…exceeds"],
        remedy: "ask for as many GPUs with --gres in --srun-args as --tensor-parallel-size times \
                 --pipeline-parallel-size says",
    },
    Cause {
        code: "engine_arguments",
        what: "the engine does not take its arguments",
        signs: &[
            "max_model_len…is greater than the derived max_model_len",
            "must be divisible by tensor parallel size",
        ],
        remedy: "mend the arguments of the command; they may be of another version of the engine (see its --help)",
    },
];
