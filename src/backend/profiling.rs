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
    pub tool: ProfilingTool,
    /// The folder of its reports, where the engine runs: a relative one is under the folder that the command runs in.
    pub output_dir: String,
    /// Arguments of the tool; of `PyTorch`'s, which has no command line, further words of the engine's.
    pub args: Vec<String>,
}

/// What profiles an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfilingTool {
    /// NVIDIA's Nsight Systems, around the engine: one report, when it ends.
    Nsys,
    /// `PyTorch`'s profiler, within the engine: a trace for each time that it is asked for.
    Pytorch,
    /// AMD's `rocprofv3`, or `rocprof` where that is not there, around the engine.
    Amd,
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

impl From<ProfileTool> for ProfilingTool {
    fn from(tool: ProfileTool) -> Self {
        match tool {
            ProfileTool::Nsys => Self::Nsys,
            ProfileTool::Pytorch => Self::Pytorch,
            ProfileTool::Amd => Self::Amd,
        }
    }
}

impl ProfilingTool {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nsys, Self::Pytorch, Self::Amd];

    /// Its word, as it is written in a file and on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Nsys => "nsys",
            Self::Pytorch => "pytorch",
            Self::Amd => "amd",
        }
    }
}

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
        let usual = Self::by(tool.into());
        Ok(Some(Self {
            output_dir: output_dir.unwrap_or(usual.output_dir),
            args: block.args.as_ref().map(|args| args.value.clone()).unwrap_or_default(),
            ..usual
        }))
    }

    /// By this tool, with all that nobody said.
    #[must_use]
    pub fn by(tool: ProfilingTool) -> Self {
        Self { tool, output_dir: OUTPUT_DIR.to_owned(), args: Vec::new() }
    }

    /// Adds to `words`, made of `command`, what turns the engine's own profiler on.
    ///
    /// # Errors
    /// See [`ProfilingError`].
    pub fn turn_on(&self, backend: Backend, command: &[String], words: &mut Vec<Word>) -> Result<(), ProfilingError> {
        if self.tool != ProfilingTool::Pytorch {
            return Ok(());
        }
        let profiler = backend.profile().profiler.as_ref();
        let profiler = profiler.ok_or(ProfilingError::NoRoutes { engine: backend.name() })?;
        let own: Vec<Word> = profiler.words.iter().map(|word| with_folder(word)).collect();
        let added = own.into_iter().chain(self.args.iter().map(Word::literal));
        if let Some(script) = shell_string(command) {
            let words = profiler.words.iter().map(|word| word.replace(FOLDER, &format!("\"${PROFILES}\"")));
            let words = words.chain(self.args.iter().cloned()).collect::<Vec<_>>().join(" ");
            // However it is written there, it is the user's to say.
            let said = words.is_empty() || script.to_lowercase().contains("profiler");
            return if said { Ok(()) } else { Err(ProfilingError::InShell { words }) };
        }
        let from = find(command).1.first_argument;
        for flag in profiler.words.iter().copied().filter(|word| word.starts_with("--")) {
            let whole = flag.split('.').next().unwrap_or(flag);
            if let Some(flag) =
                [flag, whole].into_iter().find(|flag| !argv::occurrences(command, from, flag).is_empty())
            {
                return Err(ProfilingError::OwnFlag { flag });
            }
        }
        words.extend(added);
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
            (ProfilingTool::Nsys | ProfilingTool::Amd, Some(profiler)) => profiler.under_a_program,
            (ProfilingTool::Nsys | ProfilingTool::Amd, None) | (ProfilingTool::Pytorch, _) => &[],
        }
    }

    /// The routes of the engine's own profiler; none where a program around it profiles it.
    #[must_use]
    pub fn routes(&self, backend: Backend) -> Option<&'static Profiler> {
        backend.profile().profiler.as_ref().filter(|_| self.tool == ProfilingTool::Pytorch)
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
            ProfilingTool::Pytorch => Vec::new(),
            ProfilingTool::Nsys => {
                let mut words = given(&["profile", "-o"]);
                words.push(report("/nsys-", ""));
                if !has(&["--trace-fork-before-exec"]) {
                    words.extend(given(&["--trace-fork-before-exec=true"]));
                }
                words.extend(args());
                vec![("nsys", words)]
            }
            ProfilingTool::Amd => {
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

    fn profiling(tool: ProfilingTool, args: &str) -> Profiling {
        Profiling { args: words(args), ..Profiling::by(tool) }
    }

    #[test_case(ProfilingTool::Nsys, "--trace=cuda,nvtx", &[
        r#"nsys profile -o "$LLM_PROXY_PROFILES"/nsys-"$LLM_PROXY_LIFE" '--trace-fork-before-exec=true' '--trace=cuda,nvtx'"#,
    ]; "the example of nsys")]
    #[test_case(ProfilingTool::Nsys, "--trace-fork-before-exec=false", &[
        r#"nsys profile -o "$LLM_PROXY_PROFILES"/nsys-"$LLM_PROXY_LIFE" '--trace-fork-before-exec=false'"#,
    ]; "the user knows better")]
    #[test_case(ProfilingTool::Amd, "--stats", &[
        r#"rocprofv3 -d "$LLM_PROXY_PROFILES"/rocprof-"$LLM_PROXY_LIFE" --runtime-trace --stats --"#,
        r#"rocprof -o "$LLM_PROXY_PROFILES"/rocprof-"$LLM_PROXY_LIFE".csv --stats"#,
    ]; "the example of amd")]
    #[test_case(ProfilingTool::Amd, "--hip-trace", &[
        r#"rocprofv3 -d "$LLM_PROXY_PROFILES"/rocprof-"$LLM_PROXY_LIFE" --hip-trace --"#,
        r#"rocprof -o "$LLM_PROXY_PROFILES"/rocprof-"$LLM_PROXY_LIFE".csv --hip-trace"#,
    ]; "traces of the user's own")]
    #[test_case(ProfilingTool::Pytorch, "", &[]; "pytorch")]
    fn programs_stand_before_the_command(tool: ProfilingTool, args: &str, expected: &[&str]) {
        let programs = profiling(tool, args).programs();
        let lines: Vec<_> = programs.iter().map(|(program, words)| format!("{program} {}", shown(words))).collect();
        assert_eq!(lines, expected);
    }

    #[test_case(ProfilingTool::Pytorch, "uv run vllm serve m", "--profiler-config.torch_profiler_with_stack=false",
        Ok(r#"--profiler-config.profiler torch --profiler-config.torch_profiler_dir "$LLM_PROXY_PROFILES" '--profiler-config.torch_profiler_with_stack=false'"#))]
    #[test_case(ProfilingTool::Pytorch, "sglang serve --model-path m", "", Ok(""); "by a variable alone")]
    #[test_case(ProfilingTool::Pytorch, "bash -c 'vllm serve m --profiler-config x'", "", Ok(""); "said in a string")]
    #[test_case(ProfilingTool::Nsys, "llama-server -m m", "", Ok(""); "any engine under nsys")]
    #[test_case(
        ProfilingTool::Pytorch,
        "bash -c 'vllm serve m'",
        "",
        Err(
            "words cannot be added inside a shell's string: write --profiler-config.profiler torch \
         --profiler-config.torch_profiler_dir \"$LLM_PROXY_PROFILES\" after the engine's arguments there, and the profiler is on"
        )
    )]
    #[test_case(
        ProfilingTool::Pytorch,
        "llama-server -m m",
        "",
        Err("a command of your own has no routes that start and stop PyTorch's profiler; profile it by nsys or amd")
    )]
    #[test_case(
        ProfilingTool::Pytorch,
        "vllm serve m --profiler_config={}",
        "",
        Err("the command has --profiler-config of its own; take it out, or leave the profile out")
    )]
    fn the_engine_s_own_is_turned_on(tool: ProfilingTool, line: &str, args: &str, expected: Result<&str, &str>) {
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
        assert_eq!(said(true, Some(ProfileTool::Amd)), Ok(Some(Profiling::by(ProfilingTool::Amd))));
        assert_eq!(said(true, None), Err(ProfilingError::NoTool));
    }
}
