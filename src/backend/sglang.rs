//! `SGLang`: `python -m sglang.launch_server --model-path MODEL`, `sglang serve --model-path MODEL`.

use super::argv;
use super::kind::Profile;
use super::program::{Found, file_name};

pub(super) const PROFILE: Profile = Profile {
    name: "SGLang",
    // Its list of environment variables has none for a key (0.5.23).
    key_variables: &[],
    // `/health` generates a token each time; versions before `/ready` have nothing better.
    ready_paths: &["/ready", "/health"],
    socket_flag: None,
    busy_metrics: &["sglang:num_running_reqs", "sglang:num_queue_reqs"],
};

/// Whether `SGLang`'s server starts with the word at `at`.
pub(super) fn found(words: &[String], at: usize) -> Option<Found> {
    let word = words.get(at)?;
    if file_name(word) == "sglang" && words.get(at + 1).is_some_and(|next| next == "serve") {
        return Some(Found { first_argument: at + 2, subcommand: true });
    }
    let module = word == "sglang.launch_server" || word.ends_with("sglang/launch_server.py");
    module.then_some(Found { first_argument: at + 1, subcommand: false })
}

/// The names that it serves, as far as its arguments tell.
pub(super) fn models(arguments: &[String], subcommand: bool) -> Vec<String> {
    let flags = ["--served-model-name", "--model-path", "--model"];
    let positional = arguments.first().filter(|first| subcommand && !first.starts_with('-')).map(String::as_str);
    let model = flags.iter().find_map(|flag| argv::get(arguments, flag)).or(positional);
    model.into_iter().map(str::to_owned).collect()
}

/// The key in its arguments.
pub(super) fn keys(arguments: &[String]) -> Vec<String> {
    argv::get(arguments, "--api-key").into_iter().map(str::to_owned).collect()
}
