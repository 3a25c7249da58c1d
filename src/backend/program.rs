//! Finds the engine's own program in a command, so that the words of what wraps it are left alone.
//!
//! The rule: the engine's words begin behind `vllm serve`, `sglang serve`, a module or script of theirs, vLLM's image,
//! or another server that we know by name, wherever it stands; what is before it (`uv run --with vllm`, `apptainer exec
//! --nv x.sif`, `nsys profile`, `env A=b`) is never read nor changed. In a command of another program every word but
//! the first counts as the engine's, the words behind a `--` too: a wrapper's own `--port` before an unknown program is
//! then taken for the engine's, and `{port}` in the right place is the way out. Words inside a `bash -c` string are only
//! read, never changed.

use super::kind::Backend;
use super::profile::Found;
use super::vllm;

/// The engine's program in these words.
pub(super) fn find(words: &[String]) -> (Backend, Found) {
    for at in 0..words.len() {
        let found = Backend::ALL.into_iter().find_map(|backend| Some((backend, (backend.profile().found)(words, at)?)));
        if let Some(found) = found {
            return found;
        }
    }
    // Only where no program is named: `apptainer exec docker://vllm/vllm-openai vllm serve M` has both.
    if let Some(at) = words.iter().position(|word| vllm::is_image(word)) {
        return (Backend::Vllm, Found { first_argument: at + 1, subcommand: true });
    }
    (Backend::Custom, Found { first_argument: 1, subcommand: false })
}

/// The string that a command gives to a shell: of `bash -lc "…"`, or of `apptainer exec x.sif sh -c "…"`.
pub(super) fn shell_string(words: &[String]) -> Option<&str> {
    const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ksh", "ash"];
    let shell = words.iter().position(|word| SHELLS.contains(&file_name(word)))?;
    let mut options = words.iter().skip(shell + 1);
    while let Some(option) = options.next() {
        if option == "-o" || option == "+o" || option == "-O" || option == "+O" {
            options.next();
        } else if option.starts_with('-') && !option.starts_with("--") && option.contains('c') {
            return options.next().map(String::as_str);
        } else if !option.starts_with(['-', '+']) {
            return None;
        }
    }
    None
}

/// The words of a shell string, as far as they can be told without running it.
pub(super) fn words_of_shell(script: &str) -> Vec<String> {
    let line = script.replace("\\\n", " ");
    shlex::split(&line).unwrap_or_else(|| line.split_whitespace().map(str::to_owned).collect())
}

/// Of a shell's words, those before the next command.
pub(super) fn until_next_command(words: &[String]) -> Vec<String> {
    let mut taken = Vec::new();
    for word in words {
        if matches!(word.as_str(), ";" | "&" | "&&" | "|" | "||" | ")" | "}") || word.starts_with(['>', '<']) {
            break;
        }
        taken.push(word.trim_end_matches([';', '&']).to_owned());
        if word.ends_with([';', '&']) {
            break;
        }
    }
    taken
}

/// What follows the last slash.
pub(super) fn file_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}
