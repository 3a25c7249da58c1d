//! Any other engine: llama.cpp's server, `transformers serve`, a program of the user's own.

use super::argv;
use super::causes::Cause;
use super::endpoint::Endpoint;
use super::flags::Flags;
use super::loading::Mark;
use super::profile::{Found, Profile};
use super::program::file_name;
use super::steps;

pub(super) const PROFILE: Profile = Profile {
    name: "a command of your own",
    found,
    commands: &[],
    models,
    name_flag: None,
    keys,
    // The first is for programs that know of us, the second is read by llama.cpp's server.
    key_variables: &["LLM_PROXY_ENGINE_KEY", "LLAMA_API_KEY"],
    flags: Flags::UNKNOWN,
    socket_flag: None,
    ready_paths: &["/health"],
    // What nearly all of them have.
    endpoints: &[
        Endpoint::new("health", "GET", "/health"),
        Endpoint::new("models", "GET", "/v1/models"),
        Endpoint::new("chat", "POST", "/v1/chat/completions"),
        Endpoint::new("completions", "POST", "/v1/completions"),
        Endpoint::new("embeddings", "POST", "/v1/embeddings").needs("an embedding model"),
    ],
    profiler: None,
    busy_metrics: &["llamacpp:requests_processing", "llamacpp:requests_deferred"],
    marks: MARKS,
    causes: CAUSES,
};

/// Servers that we know by name, and so know which words are theirs.
const PROGRAMS: [&str; 4] = ["llama-server", "llama_cpp.server", "text-generation-launcher", "transformers"];

/// The flags by which such servers are told a model, those for its served name first.
const MODEL_FLAGS: [&str; 6] =
    ["--served-model-name", "--alias", "--model-alias", "--model", "--model-path", "--model-id"];

/// Whether a server that we know by name starts with the word at `at`.
fn found(words: &[String], at: usize) -> Option<Found> {
    let known = PROGRAMS.contains(&file_name(words.get(at)?));
    known.then_some(Found { first_argument: at + 1, subcommand: false })
}

/// The name that it serves, if its arguments have a flag that is usual for one.
fn models(arguments: &[String], _: bool) -> Vec<String> {
    MODEL_FLAGS.iter().find_map(|flag| argv::get(arguments, flag)).into_iter().map(str::to_owned).collect()
}

/// The keys in its arguments; llama.cpp's server takes several with commas between them.
fn keys(arguments: &[String]) -> Vec<String> {
    let keys = argv::get(arguments, "--api-key").into_iter().flat_map(|keys| keys.split(','));
    keys.filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// Of llama.cpp.
const MARKS: &[Mark] = &[
    ("trying to download model", steps::DOWNLOAD),
    ("load_model: loading model", steps::WEIGHTS),
    ("llama_model_loader: loaded meta data", steps::WEIGHTS),
    ("load_tensors:", steps::WEIGHTS),
    ("llama_kv_cache", steps::CACHE),
    ("warming up the model", steps::WARM_UP),
    ("server is listening on", steps::SERVER),
];

/// Of llama.cpp.
const CAUSES: &[Cause] = &[
    Cause {
        code: "gpu_out_of_memory",
        what: "the GPU's memory is too small",
        signs: &["cudamalloc failed: out of memory"],
        remedy: "use a larger GPU or more of them (--gres in --srun-args), a smaller --ctx-size, or fewer layers on \
                 the GPU with --n-gpu-layers",
    },
    Cause {
        code: "port_in_use",
        what: "another program has the engine's port",
        signs: &["couldn't bind http server socket"],
        remedy: "leave --target-port out, and a free port is chosen on the node",
    },
    Cause {
        code: "engine_arguments",
        what: "the engine does not take its arguments",
        signs: &["error: invalid argument:"],
        remedy: "mend the arguments of the command; they may be of another version of the engine (see its --help)",
    },
    Cause {
        code: "model_unsupported",
        what: "this version of the engine does not know the model's kind",
        signs: &["unknown model architecture"],
        remedy: "use a newer version of the engine",
    },
    Cause {
        code: "model_not_found",
        what: "there is no such model",
        signs: &["failed to load model from"],
        remedy: "check the model's path, which is looked for on the node",
    },
];
