//! vLLM: `vllm serve MODEL`, `python -m vllm.entrypoints.openai.api_server --model MODEL`.

use super::argv;
use super::kind::Profile;
use super::program::{Found, file_name};

pub(super) const PROFILE: Profile = Profile {
    name: "vLLM",
    key_variables: &["VLLM_API_KEY"],
    // Also 200 while it drains and while it sleeps, and refused until it is ready.
    ready_paths: &["/health"],
    socket_flag: Some("--uds"),
    busy_metrics: &["vllm:num_requests_running", "vllm:num_requests_waiting"],
};

/// Whether vLLM's server starts with the word at `at`: the program, the module (with or without `python -m` before
/// it), or the script.
pub(super) fn found(words: &[String], at: usize) -> Option<Found> {
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
pub(super) fn models(arguments: &[String], subcommand: bool) -> Vec<String> {
    let served = argv::list(arguments, "--served-model-name");
    if !served.is_empty() {
        return served.into_iter().map(str::to_owned).collect();
    }
    let positional = arguments.first().filter(|first| subcommand && !first.starts_with('-')).map(String::as_str);
    let model = positional.or_else(|| argv::get(arguments, "--model")).or_else(|| argv::get(arguments, "--model-tag"));
    model.into_iter().map(str::to_owned).collect()
}

/// The keys in its arguments; it takes several.
pub(super) fn keys(arguments: &[String]) -> Vec<String> {
    argv::list(arguments, "--api-key").into_iter().map(str::to_owned).collect()
}
