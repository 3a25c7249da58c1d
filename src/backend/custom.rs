//! Any other engine: llama.cpp's server, `transformers serve`, a program of the user's own.

use super::argv;
use super::kind::Profile;
use super::program::{Found, file_name};

pub(super) const PROFILE: Profile = Profile {
    name: "a command of your own",
    // The first is for programs that know of us, the second is read by llama.cpp's server.
    key_variables: &["LLM_PROXY_ENGINE_KEY", "LLAMA_API_KEY"],
    ready_paths: &["/health"],
    socket_flag: None,
    busy_metrics: &["llamacpp:requests_processing", "llamacpp:requests_deferred"],
};

/// Servers that we know by name, and so know which words are theirs.
const PROGRAMS: [&str; 4] = ["llama-server", "llama_cpp.server", "text-generation-launcher", "transformers"];

/// The flags by which such servers are told a model, those for its served name first.
const MODEL_FLAGS: [&str; 6] =
    ["--served-model-name", "--alias", "--model-alias", "--model", "--model-path", "--model-id"];

/// Whether a server that we know by name starts with the word at `at`.
pub(super) fn found(words: &[String], at: usize) -> Option<Found> {
    let known = PROGRAMS.contains(&file_name(words.get(at)?));
    known.then_some(Found { first_argument: at + 1, subcommand: false })
}

/// The name that it serves, if its arguments have a flag that is usual for one.
pub(super) fn models(arguments: &[String]) -> Vec<String> {
    MODEL_FLAGS.iter().find_map(|flag| argv::get(arguments, flag)).into_iter().map(str::to_owned).collect()
}

/// The keys in its arguments; llama.cpp's server takes several with commas between them.
pub(super) fn keys(arguments: &[String]) -> Vec<String> {
    let keys = argv::get(arguments, "--api-key").into_iter().flat_map(|keys| keys.split(','));
    keys.filter(|key| !key.is_empty()).map(str::to_owned).collect()
}
