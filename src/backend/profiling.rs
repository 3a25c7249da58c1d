//! Profiling of an engine: by a program around its command, or by `PyTorch`'s own profiler within it.

use super::argv;
use super::causes::Cause;
use super::kind::Backend;
use super::program::{find, shell_string};
use crate::config::{ProfileBlock, ProfileTool};
use crate::host::quote::Word;

/// How one engine is profiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profiling {
    /// By what.
    pub tool: ProfileTool,
    /// The folder of its reports, where the engine runs: a relative one is under the folder that the command runs in.
    pub output_dir: String,
    /// Arguments of the tool; of `PyTorch`'s, which has no command line, further words of the engine's.
    pub args: Vec<String>,
}

/// What is known of profiling a kind of engine.
#[derive(Clone, Copy, Debug)]
pub struct Profiler {
    /// The engine's words that turn `PyTorch`'s on; `{profiles}` is the folder of the traces.
    pub words: &'static [&'static str],
    /// The variables that it reads that folder from.
    pub variables: &'static [&'static str],
    /// The path that begins a trace, by POST.
    pub start: &'static str,
    /// The path that ends it, and answers once it is written.
    pub stop: &'static str,
    /// What its environment must hold so that a program around it sees all of its processes.
    pub under_a_program: &'static [(&'static str, &'static str)],
}

/// An engine cannot be profiled that way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfilingError {
    /// It is enabled, and nobody says by what.
    #[error("'profile' is enabled and names no tool: write tool: nsys, pytorch or amd")]
    NoTool,
    /// Nobody knows how its own profiler is started.
    #[error("{engine} has no routes that start and stop PyTorch's profiler; profile it by nsys or amd")]
    NoRoutes {
        /// What people call its kind.
        engine: &'static str,
    },
    /// Its command is a string of a shell's, which is never changed.
    #[error(
        "words cannot be added inside a shell's string: write {words} after the engine's arguments there, and the \
         profiler is on"
    )]
    InShell {
        /// The words that are missing.
        words: String,
    },
    /// The command says it otherwise.
    #[error("the command has {flag} of its own; take it out, or leave the profile out")]
    OwnFlag {
        /// The flag.
        flag: &'static str,
    },
}

/// The variable that holds that folder, where the engine runs.
const PROFILES: &str = "LLM_PROXY_PROFILES";

/// What a word of [`Profiler::words`] has for the folder of the traces.
const FOLDER: &str = "{profiles}";

/// What turns it on in a vLLM up to 0.12, which knows no flag for it.
const OLDER: &str = "VLLM_TORCH_PROFILER_DIR=";

/// Where reports go, where nothing else is said.
const OUTPUT_DIR: &str = "./profiles";

/// The variable that names the life, where the engine runs.
const LIFE: &str = "LLM_PROXY_LIFE";

/// The tool is missing, or what it writes has no place. Said by the keeper, before the engine is started.
pub(super) const CAUSES: &[Cause] = &[
    Cause {
        code: "profiler_missing",
        what: "the profiler is not there",
        signs: &["which is to profile the engine, is not in the path of"],
        remedy: "bring it into the PATH with --prelude (such as 'module load nsight-systems', or rocm), or leave \
                 --profile out",
    },
    Cause {
        code: "profile_folder",
        what: "the folder of the profiles cannot be made",
        signs: &["the folder of the profiles cannot be made:"],
        remedy: "give another one with --profile-output-dir: it is made where the engine runs",
    },
];

impl Profiling {
    /// As a configuration says it; none where it is not enabled.
    ///
    /// # Errors
    /// It names no tool.
    pub fn of(block: &ProfileBlock) -> Result<Option<Self>, ProfilingError> {
        if !block.enabled.as_ref().is_some_and(|enabled| enabled.value) {
            return Ok(None);
        }
        let tool = block.tool.as_ref().ok_or(ProfilingError::NoTool)?.value;
        let output_dir = block.output_dir.as_ref().map(|folder| folder.value.to_string_lossy().into_owned());
        let usual = Self::by(tool);
        Ok(Some(Self {
            output_dir: output_dir.unwrap_or(usual.output_dir),
            args: block.args.as_ref().map(|args| args.value.clone()).unwrap_or_default(),
            ..usual
        }))
    }

    /// By this tool, with all that nobody said.
    #[must_use]
    pub fn by(tool: ProfileTool) -> Self {
        Self { tool, output_dir: OUTPUT_DIR.to_owned(), args: Vec::new() }
    }

    /// Adds to `words`, made of `command`, what turns the engine's own profiler on.
    ///
    /// # Errors
    /// See [`ProfilingError`].
    pub fn turn_on(&self, backend: Backend, command: &[String], words: &mut Vec<Word>) -> Result<(), ProfilingError> {
        if self.tool != ProfileTool::Pytorch {
            return Ok(());
        }
        let profiler = backend.profile().profiler.as_ref();
        let profiler = profiler.ok_or(ProfilingError::NoRoutes { engine: backend.name() })?;
        let own: Vec<Word> = profiler.words.iter().map(|word| with_folder(word)).collect();
        if let Some(script) = shell_string(command) {
            let words = missing(script, profiler, own, &self.args);
            return if words.is_empty() { Ok(()) } else { Err(ProfilingError::InShell { words }) };
        }
        let from = find(command).1.first_argument;
        for flag in profiler.words.iter().copied().filter(|word| word.starts_with("--")) {
            if let Some(flag) = own_form(command, from, flag) {
                return Err(ProfilingError::OwnFlag { flag });
            }
        }
        words.extend(own.into_iter().chain(self.args.iter().map(Word::literal)));
        Ok(())
    }

    /// The variables that hold the folder, where the engine runs.
    #[must_use]
    pub fn folder_variables(&self, backend: Backend) -> Vec<&'static str> {
        let read = self.routes(backend).map_or(&[][..], |profiler| profiler.variables);
        [PROFILES].iter().chain(read).copied().collect()
    }

    /// Variables that its environment must hold, unless the user gives them another value.
    #[must_use]
    pub fn variables(&self, backend: Backend) -> &'static [(&'static str, &'static str)] {
        match (self.tool, &backend.profile().profiler) {
            (ProfileTool::Nsys | ProfileTool::Amd, Some(profiler)) => profiler.under_a_program,
            (ProfileTool::Nsys | ProfileTool::Amd, None) | (ProfileTool::Pytorch, _) => &[],
        }
    }

    /// The routes of the engine's own profiler; none where a program around it profiles it.
    #[must_use]
    pub fn routes(&self, backend: Backend) -> Option<&'static Profiler> {
        backend.profile().profiler.as_ref().filter(|_| self.tool == ProfileTool::Pytorch)
    }

    /// The programs that may stand before the engine's command, each with its words; the first that is there is taken.
    /// None where the engine profiles itself.
    #[must_use]
    pub fn programs(&self) -> Vec<(&'static str, Vec<Word>)> {
        let given = |words: &[&str]| words.iter().map(|word| Word::literal(*word)).collect::<Vec<_>>();
        let report = |before: &str, after: &str| {
            let mut word = with_folder(FOLDER);
            word.push_text(before);
            word.push_variable(LIFE);
            word.push_text(after);
            word
        };
        let args = || self.args.iter().map(Word::literal);
        let has = |parts: &[&str]| self.args.iter().any(|arg| parts.iter().any(|part| arg.starts_with(part)));
        match self.tool {
            ProfileTool::Pytorch => Vec::new(),
            ProfileTool::Nsys => {
                let mut words = given(&["profile", "-o"]);
                words.push(report("/nsys-", ""));
                if !has(&["--trace-fork-before-exec"]) {
                    words.extend(given(&["--trace-fork-before-exec=true"]));
                }
                words.extend(args());
                vec![("nsys", words)]
            }
            ProfileTool::Amd => {
                let mut new = given(&["-d"]);
                new.push(report("/rocprof-", ""));
                // It traces nothing by itself, and `--stats` is of what is traced.
                let traces = self.args.iter().any(|arg| arg.contains("-trace"))
                    || has(&["-r", "-s", "-i", "--input", "--pmc", "--pc-sampling"]);
                if !traces {
                    new.extend(given(&["--runtime-trace"]));
                }
                new.extend(args());
                new.extend(given(&["--"]));
                let mut old = given(&["-o"]);
                old.push(report("/rocprof-", ".csv"));
                old.extend(args());
                vec![("rocprofv3", new), ("rocprof", old)]
            }
        }
    }
}

/// How `words` say `flag`, if they do: by itself, or by the whole block that it is of.
fn own_form(words: &[String], from: usize, flag: &'static str) -> Option<&'static str> {
    let whole = flag.split('.').next().unwrap_or(flag);
    [flag, whole].into_iter().find(|flag| !argv::occurrences(words, from, flag).is_empty())
}

/// What is to be written into a shell's string so that the profiler is on, as a shell reads it. However the user wrote the
/// profiler there (by flags, or by the variable of older engines), it is theirs to say.
fn missing(script: &str, profiler: &Profiler, own: Vec<Word>, args: &[String]) -> String {
    let there = shlex::split(script).unwrap_or_else(|| script.split_whitespace().map(str::to_owned).collect());
    let flags = || profiler.words.iter().copied().filter(|word| word.starts_with("--"));
    let is_on =
        flags().all(|flag| own_form(&there, 0, flag).is_some()) || there.iter().any(|word| word.starts_with(OLDER));
    let own = own.into_iter().filter(|_| !is_on);
    let args = args.iter().filter(|arg| !there.contains(arg)).map(Word::literal);
    // What a shell cannot be told (a NUL) cannot be in an argument either.
    own.chain(args).filter_map(|word| word.to_shell().ok()).collect::<Vec<_>>().join(" ")
}

/// A word in which `{profiles}` is the folder, as it is known where the engine runs.
fn with_folder(text: &str) -> Word {
    let mut word = Word::default();
    for (index, piece) in text.split(FOLDER).enumerate() {
        if index > 0 {
            word.push_variable(PROFILES);
        }
        word.push_text(piece);
    }
    word
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use test_case::test_case;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        shlex::split(line).unwrap()
    }

    fn shown(words: &[Word]) -> String {
        words.iter().map(|word| word.to_shell().unwrap()).collect::<Vec<_>>().join(" ")
    }

    fn profiling(tool: ProfileTool, args: &str) -> Profiling {
        Profiling { args: words(args), ..Profiling::by(tool) }
    }

    #[test_case(ProfileTool::Nsys, "--trace=cuda,nvtx", &[
        r#"nsys profile -o "$LLM_PROXY_PROFILES"/nsys-"$LLM_PROXY_LIFE" '--trace-fork-before-exec=true' '--trace=cuda,nvtx'"#,
    ]; "the example of nsys")]
    #[test_case(ProfileTool::Nsys, "--trace-fork-before-exec=false", &[
        r#"nsys profile -o "$LLM_PROXY_PROFILES"/nsys-"$LLM_PROXY_LIFE" '--trace-fork-before-exec=false'"#,
    ]; "the user knows better")]
    #[test_case(ProfileTool::Amd, "--stats", &[
        r#"rocprofv3 -d "$LLM_PROXY_PROFILES"/rocprof-"$LLM_PROXY_LIFE" --runtime-trace --stats --"#,
        r#"rocprof -o "$LLM_PROXY_PROFILES"/rocprof-"$LLM_PROXY_LIFE".csv --stats"#,
    ]; "the example of amd")]
    #[test_case(ProfileTool::Amd, "--hip-trace", &[
        r#"rocprofv3 -d "$LLM_PROXY_PROFILES"/rocprof-"$LLM_PROXY_LIFE" --hip-trace --"#,
        r#"rocprof -o "$LLM_PROXY_PROFILES"/rocprof-"$LLM_PROXY_LIFE".csv --hip-trace"#,
    ]; "traces of the user's own")]
    #[test_case(ProfileTool::Pytorch, "", &[]; "pytorch")]
    fn programs_stand_before_the_command(tool: ProfileTool, args: &str, expected: &[&str]) {
        let programs = profiling(tool, args).programs();
        let lines: Vec<_> = programs.iter().map(|(program, words)| format!("{program} {}", shown(words))).collect();
        assert_eq!(lines, expected);
    }

    #[test_case(ProfileTool::Pytorch, "uv run vllm serve m", "--profiler-config.torch_profiler_with_stack=false",
        Ok(r#"--profiler-config.profiler torch --profiler-config.torch_profiler_dir "$LLM_PROXY_PROFILES" '--profiler-config.torch_profiler_with_stack=false'"#))]
    #[test_case(ProfileTool::Pytorch, "sglang serve --model-path m", "", Ok(""); "by a variable alone")]
    #[test_case(ProfileTool::Pytorch, "bash -c 'vllm serve m --profiler-config x'", "", Ok(""); "said in a string")]
    #[test_case(ProfileTool::Pytorch, "bash -c 'VLLM_TORCH_PROFILER_DIR=$LLM_PROXY_PROFILES vllm serve m'", "", Ok(""); "by a variable in a string")]
    #[test_case(ProfileTool::Pytorch, "bash -c 'vllm serve m --profiler-config x --a=b'", "--a=b", Ok(""); "all is said in a string")]
    #[test_case(
        ProfileTool::Pytorch,
        "bash -c 'vllm serve m --profiler_config x'",
        "'--a=b c'",
        Err(
            "words cannot be added inside a shell's string: write '--a=b c' after the engine's arguments there, and the \
             profiler is on"
        );
        "an argument cannot be added"
    )]
    #[test_case(
        ProfileTool::Pytorch,
        "bash -c 'vllm serve m --served-model-name profiler'",
        "",
        Err(
            "words cannot be added inside a shell's string: write --profiler-config.profiler torch \
         --profiler-config.torch_profiler_dir \"$LLM_PROXY_PROFILES\" after the engine's arguments there, and the profiler is on"
        );
        "only a name is the profiler's"
    )]
    #[test_case(ProfileTool::Nsys, "llama-server -m m", "", Ok(""); "any engine under nsys")]
    #[test_case(
        ProfileTool::Pytorch,
        "bash -c 'vllm serve m'",
        "",
        Err(
            "words cannot be added inside a shell's string: write --profiler-config.profiler torch \
         --profiler-config.torch_profiler_dir \"$LLM_PROXY_PROFILES\" after the engine's arguments there, and the profiler is on"
        )
    )]
    #[test_case(
        ProfileTool::Pytorch,
        "llama-server -m m",
        "",
        Err("a command of your own has no routes that start and stop PyTorch's profiler; profile it by nsys or amd")
    )]
    #[test_case(
        ProfileTool::Pytorch,
        "vllm serve m --profiler_config={}",
        "",
        Err("the command has --profiler-config of its own; take it out, or leave the profile out")
    )]
    fn the_engine_s_own_is_turned_on(tool: ProfileTool, line: &str, args: &str, expected: Result<&str, &str>) {
        let (command, mut added) = (words(line), Vec::new());
        let backend = crate::backend::recognise(&command).backend;
        let turned_on = profiling(tool, args).turn_on(backend, &command, &mut added);
        let turned_on = turned_on.map(|()| shown(&added)).map_err(|error| error.to_string());
        assert_eq!(turned_on, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn what_is_not_enabled_is_off_and_what_is_enabled_names_its_tool() {
        let said = |enabled, tool: Option<ProfileTool>| {
            let sourced = |enabled| crate::config::Sourced::new(enabled, crate::config::Source::Default);
            let tool = tool.map(|tool| crate::config::Sourced::new(tool, crate::config::Source::Default));
            Profiling::of(&ProfileBlock { enabled: Some(sourced(enabled)), tool, ..ProfileBlock::default() })
        };
        assert_eq!(said(false, Some(ProfileTool::Amd)), Ok(None));
        assert_eq!(said(true, Some(ProfileTool::Amd)), Ok(Some(Profiling::by(ProfileTool::Amd))));
        assert_eq!(said(true, None), Err(ProfilingError::NoTool));
    }
}
