//! What the engine's shell does for a profiler: makes its folder, looks for its program, and becomes that.

use std::fmt::Write as _;

use crate::host::quote::{QuoteError, Word, quote_word};

/// How an engine is profiled, where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profiled {
    /// The folder of the reports, made where it is missing; a relative one is under the engine's own, one that starts with
    /// `~/` under the user's home.
    pub folder: String,
    /// The variables that hold its whole path.
    pub folder_variables: Vec<&'static str>,
    /// Variables, where the user set none of that name.
    pub variables: &'static [(&'static str, &'static str)],
    /// What stands before the engine's command: the first whose program is there. None: the engine profiles itself.
    pub wrappers: Vec<Wrapper>,
}

/// A program that runs the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapper {
    /// Its name, looked for in the `PATH`.
    pub program: &'static str,
    /// Its words before the engine's.
    pub words: Vec<Word>,
}

impl Profiled {
    /// Whether a program around the engine profiles it.
    #[must_use]
    pub fn is_around(&self) -> bool {
        !self.wrappers.is_empty()
    }

    /// The lines that make the folder, while the shell is still in the engine's own.
    pub(super) fn folder_lines(&self) -> Result<String, QuoteError> {
        let go = folder_line(&self.folder)?;
        Ok(format!(
            "{go}mkdir -p -- \"$llm_proxy_profiles\" &&\n  \
             llm_proxy_profiles=$(CDPATH='' && cd -- \"$llm_proxy_profiles\" && pwd) || {{\n  \
             printf 'keeper: the folder of the profiles cannot be made: %s\\n' \"$llm_proxy_profiles\" >&2\n  exit 1\n}}\n"
        ))
    }

    /// The lines that become the engine, or the profiler around it; `command` is quoted already.
    pub(super) fn engine_lines(&self, command: &str) -> Result<String, QuoteError> {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for name in &self.folder_variables {
            let _ = writeln!(text, "export {name}=\"$llm_proxy_profiles\"");
        }
        for (name, value) in self.variables {
            let _ = writeln!(text, "export {name}=\"${{{name}:-{value}}}\"");
        }
        if self.wrappers.is_empty() {
            let _ = writeln!(text, "exec {command}");
            return Ok(text);
        }
        let _ = writeln!(text, "set -- {command}");
        for Wrapper { program, words } in &self.wrappers {
            let words = words.iter().map(Word::to_shell).collect::<Result<Vec<_>, _>>()?.join(" ");
            let _ = writeln!(text, "if command -v {program} >/dev/null 2>&1; then exec {program} {words} \"$@\"; fi");
        }
        let names = self.wrappers.iter().map(|wrapper| wrapper.program).collect::<Vec<_>>().join(" or ");
        let _ = writeln!(
            text,
            "printf 'keeper: %s, which is to profile the engine, is not in the PATH of %s\\n' '{names}' \
             \"${{SLURMD_NODENAME:-$(uname -n)}}\" >&2\nexit 1"
        );
        Ok(text)
    }
}

/// The line that remembers the folder as it was given.
pub(crate) fn folder_line(folder: &str) -> Result<String, QuoteError> {
    let path = match folder.strip_prefix("~/") {
        Some(rest) => format!("\"$HOME\"/{}", quote_word(rest)?),
        None => quote_word(folder)?,
    };
    Ok(format!("llm_proxy_profiles={path}\n"))
}
