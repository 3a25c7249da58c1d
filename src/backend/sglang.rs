//! `SGLang`: `python -m sglang.launch_server --model-path MODEL`, `sglang serve --model-path MODEL`.
//!
//! As read in the source of 0.5.23.

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
    name: "SGLang",
    found,
    commands: &[
        &["python3", "-m", "sglang.launch_server", "--model-path", "{model}"],
        &["sglang", "serve", "--model-path", "{model}"],
    ],
    models,
    name_flag: Some("--served-model-name"),
    keys,
    // Its list of environment variables has none for a key (0.5.23).
    key_variables: &[],
    flags: FLAGS,
    socket_flag: None,
    // `/health` generates a token each time; versions before `/ready` have nothing better.
    ready_paths: &["/ready", "/health"],
    endpoints: ENDPOINTS,
    profiler: Some(Profiler {
        words: &[],
        variables: &["SGLANG_TORCH_PROFILER_DIR"],
        start: "/start_profile",
        stop: "/stop_profile",
        under_a_program: &[],
    }),
    busy_metrics: &["sglang:num_running_reqs", "sglang:num_queue_reqs"],
    marks: MARKS,
    causes: CAUSES,
};

/// Whether `SGLang`'s server starts with the word at `at`.
fn found(words: &[String], at: usize) -> Option<Found> {
    let word = words.get(at)?;
    if file_name(word) == "sglang" && words.get(at + 1).is_some_and(|next| next == "serve") {
        return Some(Found { first_argument: at + 2, subcommand: true });
    }
    let module = word == "sglang.launch_server" || word.ends_with("sglang/launch_server.py");
    module.then_some(Found { first_argument: at + 1, subcommand: false })
}

/// The names that it serves, as far as its arguments tell.
fn models(arguments: &[String], subcommand: bool) -> Vec<String> {
    let flags = ["--served-model-name", "--model-path", "--model"];
    let positional = arguments.first().filter(|first| subcommand && !first.starts_with('-')).map(String::as_str);
    let model = flags.iter().find_map(|flag| argv::get(arguments, flag)).or(positional);
    model.into_iter().map(str::to_owned).collect()
}

/// The key in its arguments.
fn keys(arguments: &[String]) -> Vec<String> {
    argv::get(arguments, "--api-key").into_iter().map(str::to_owned).collect()
}

/// Held to a list of its flags by a test.
const FLAGS: Flags = Flags {
    aliases: &[
        // An abbreviation that its own documentation uses.
        ("--tp", "--tp-size"),
        ("--dp", "--dp-size"),
        ("--pp", "--pp-size"),
        ("--ep", "--ep-size"),
        ("--tensor-parallel-size", "--tp-size"),
        ("--data-parallel-size", "--dp-size"),
        ("--pipeline-parallel-size", "--pp-size"),
        ("--expert-parallel-size", "--ep-size"),
        ("--model", "--model-path"),
        ("--speculative-draft-model", "--speculative-draft-model-path"),
        ("--attention-context-parallel-size", "--attn-cp-size"),
        ("--attention-data-parallel-size", "--attn-dp-size"),
        ("--context-bucket", "--cuda-graph-prefill-max-context"),
        ("--decode-context-parallel-size", "--dcp-size"),
        ("--nccl-init-addr", "--dist-init-addr"),
        ("--enable-hicache", "--enable-hierarchical-cache"),
        ("--hierarchical-sparse-attention-extra-config", "--hisparse-config"),
        ("--moe-data-parallel-size", "--moe-dp-size"),
        ("--grpc-http-sidecar-port", "--smg-http-sidecar-port"),
    ],
    several: &[
        "--allowed-media-domains",
        "--bucket-e2e-request-latency",
        "--bucket-inter-token-latency",
        "--bucket-time-to-first-token",
        "--cuda-graph-bs-decode",
        "--cuda-graph-bs-prefill",
        "--custom-weight-loader",
        "--debug-tensor-dump-layers",
        "--encoder-register-urls",
        "--encoder-urls",
        "--flashinfer-autotune-skip-ops",
        "--gc-threshold",
        "--generation-tokens-buckets",
        "--log-requests-target",
        "--lora-paths",
        "--lora-target-modules",
        "--model-checksum",
        "--numa-node",
        "--prefill-delayer-forward-passes-buckets",
        "--prefill-delayer-wait-seconds-buckets",
        "--prompt-tokens-buckets",
        "--return-aux-hidden-state-layer-ids",
        "--tokenizer-metrics-allowed-custom-labels",
        "--uvicorn-access-log-exclude-prefixes",
    ],
    json_lists: &[
        "--decoupled-spec-connect-endpoints",
        "--forward-hooks",
        "--remote-instance-weight-loader-send-weights-group-ports",
        "--sidecar-args",
    ],
    repeated: Repeated::Only(&[]),
    harmless: &[
        "--attention-backend",
        "--chunked-prefill-size",
        "--context-length",
        "--cpu-offload-gb",
        "--disable-custom-all-reduce",
        "--disable-radix-cache",
        "--dp-size",
        "--dtype",
        "--enable-metrics",
        "--enable-torch-compile",
        "--ep-size",
        "--grammar-backend",
        "--is-embedding",
        "--kv-cache-dtype",
        "--limit-mm-data-per-request",
        "--log-level",
        "--max-prefill-tokens",
        "--max-queued-requests",
        "--max-running-requests",
        "--max-total-tokens",
        "--mem-fraction-static",
        "--page-size",
        "--pp-size",
        "--quantization",
        "--random-seed",
        "--reasoning-parser",
        "--sampling-backend",
        "--schedule-conservativeness",
        "--schedule-policy",
        "--served-model-name",
        "--stream-interval",
        "--tool-call-parser",
        "--tp-size",
    ],
    dangerous: &[
        // Code by its name or by a file, or what decides on code.
        "--trust-*",
        "--*-config",
        "--*-handler",
        "--*-hooks",
        "--*-cls",
        "--config",
        "--custom-*",
        "--enable-custom-logit-processor",
        "--load-format",
        "--model-config-parser",
        "--model-impl",
        "--json-model-override-args",
        "--chat-template",
        "--completion-template",
        "--hf-chat-template-name",
        "--sidecar-*",
        "--tokenizer-mode",
        "--tokenizer-backend",
        "--trace-modules",
        // What is read, and written, where.
        "--model-path",
        "--revision",
        "--lora-paths",
        "--*-path",
        "--*-dir",
        "--*-file",
        "--*-folder",
        "--export-*",
        "--crash-dump-*",
        "--debug-*",
        "--speculative-draft-*",
        "--hicache-storage-*",
        // Who is listened to, and told.
        "--host",
        "--port",
        "--api-key",
        "--admin-api-key",
        "--ssl-*",
        "--allowed-*",
        "--*-endpoint",
        "--*-endpoints",
        "--*-urls",
        "--*-addr",
        "--*-port",
        "--*-ip",
        "--nnodes",
        "--node-rank",
        "--grpc-mode",
        "--remote-*",
        "--disaggregation-*",
        "--encoder-*",
    ],
};

const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("ready", "GET", "/ready"),
    Endpoint::new("health", "GET", "/health"),
    Endpoint::new("ping", "GET", "/ping"),
    Endpoint::new("model_info", "GET", "/model_info"),
    Endpoint::new("server_info", "GET", "/server_info"),
    Endpoint::new("metrics", "GET", "/metrics").needs("--enable-metrics"),
    Endpoint::new("load", "GET", "/v1/loads"),
    Endpoint::new("models", "GET", "/v1/models"),
    Endpoint::new("chat", "POST", "/v1/chat/completions"),
    Endpoint::new("completions", "POST", "/v1/completions"),
    Endpoint::new("responses", "POST", "/v1/responses"),
    Endpoint::new("messages", "POST", "/v1/messages"),
    Endpoint::new("count_tokens", "POST", "/v1/messages/count_tokens"),
    Endpoint::new("generate", "POST", "/generate"),
    Endpoint::new("embeddings", "POST", "/v1/embeddings").needs("--is-embedding"),
    Endpoint::new("encode", "POST", "/encode").needs("--is-embedding"),
    Endpoint::new("classify", "POST", "/v1/classify").needs("a classifying model"),
    Endpoint::new("score", "POST", "/v1/score"),
    Endpoint::new("rerank", "POST", "/v1/rerank").needs("a scoring model"),
    Endpoint::new("transcriptions", "POST", "/v1/audio/transcriptions").needs("a model that hears"),
    Endpoint::new("realtime", "WS", "/v1/realtime").needs("a model that hears"),
    Endpoint::new("ollama_chat", "POST", "/api/chat"),
    Endpoint::new("ollama_generate", "POST", "/api/generate"),
    Endpoint::new("invocations", "POST", "/invocations"),
    Endpoint::new("tokenize", "POST", "/v1/tokenize"),
    Endpoint::new("detokenize", "POST", "/v1/detokenize"),
    Endpoint::new("start_profile", "POST", "/start_profile"),
    Endpoint::new("stop_profile", "POST", "/stop_profile"),
    Endpoint::new("flush_cache", "POST", "/flush_cache"),
    Endpoint::new("load_lora", "POST", "/load_lora_adapter").needs("--enable-lora"),
    Endpoint::new("unload_lora", "POST", "/unload_lora_adapter").needs("--enable-lora"),
];

const MARKS: &[Mark] = &[
    ("Multi-thread loading", steps::WEIGHTS),
    ("Load weight begin", steps::WEIGHTS),
    ("KV Cache is allocated", steps::CACHE),
    ("Memory pool end", steps::CACHE),
    ("Capture cuda graph begin", steps::GRAPHS),
    ("Capture piecewise CUDA graph begin", steps::GRAPHS),
    ("Capturing batches", steps::GRAPHS),
    ("Capturing num tokens", steps::GRAPHS),
    ("The server is fired up", steps::SERVER),
];

const CAUSES: &[Cause] = &[
    Cause {
        code: "gpu_out_of_memory",
        what: "the GPU has too little memory left beside the weights",
        signs: &["not enough memory. please try to increase --mem-fraction-static"],
        remedy: "raise --mem-fraction-static, lower --context-length, or use more GPUs (--gres in --srun-args and --tp)",
    },
    Cause {
        code: "gpu_out_of_memory",
        what: "the GPU's memory is too small",
        signs: GPU_MEMORY,
        remedy: "use a larger GPU or more of them (--gres in --srun-args and --tp), a quantised model, or a smaller \
                 --mem-fraction-static or --max-running-requests",
    },
];
