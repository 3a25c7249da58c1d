//! Why an engine or its job did not come up, in its own words, and what to do.

use super::causes::{self, Cause};
use super::clean;
use super::kind::Backend;
use super::redact::redact;

/// How many of the last lines are looked through: vLLM's cause stands above a hundred lines of tracebacks.
const MAX_LINES: usize = 200;

/// The code of an engine that was killed, where nobody says by whom.
pub const KILLED: &str = "killed";

/// The longest summary, in characters.
const MAX_SUMMARY: usize = 300;

/// What went wrong, as far as the kept lines tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// A stable word for programs, such as `invalid_account` or `engine_exited`.
    pub code: &'static str,
    /// What failed, in the engine's or Slurm's own words where there are any.
    pub summary: String,
    /// What to do about it.
    pub remedy: String,
}

/// How Slurm says that a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobEnd<'a> {
    /// Its state, such as `TIMEOUT`.
    pub state: &'a str,
    /// Its reason, such as `TimeLimit`.
    pub reason: Option<&'a str>,
}

/// Why an engine, or the program that starts it, ended.
///
/// `backend` is the engine's kind, whose own words are looked for first; `lines` are the last that it wrote and that srun wrote, in order; `exit_code` is as a shell has it, 128 and more for
/// a signal. Secrets are taken out of what is quoted.
#[must_use]
pub fn diagnose(backend: Backend, lines: &[String], exit_code: Option<u8>) -> Diagnosis {
    let messages = Messages::new(backend, lines);
    let known = messages.known_cause(exit_code);
    known.unwrap_or_else(|| by_exit_code(&messages, exit_code))
}

/// What only Slurm does to an engine.
const SLURMS: [&str; 6] = ["time_limit", "preempted", "node_failed", "host_out_of_memory", "deadline", "job_cancelled"];

impl Diagnosis {
    /// Whether it says what Slurm did, and not what the engine died of by itself.
    #[must_use]
    pub fn is_slurms(&self) -> bool {
        SLURMS.contains(&self.code)
    }
}

/// The same where Slurm says how the job ended, which tells more than the lines where Slurm itself ended it.
#[must_use]
pub fn diagnose_job(backend: Backend, end: JobEnd<'_>, lines: &[String], exit_code: Option<u8>) -> Diagnosis {
    let code = match end.state {
        "TIMEOUT" => Some("time_limit"),
        "PREEMPTED" => Some("preempted"),
        "NODE_FAIL" | "BOOT_FAIL" => Some("node_failed"),
        "OUT_OF_MEMORY" => Some("host_out_of_memory"),
        _ => None,
    };
    let reason = end.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let said = format!("Slurm says {}{reason}", end.state);
    if let Some(cause) = code.and_then(|code| causes::all(backend).find(|cause| cause.code == code)) {
        return of_cause(cause, &said);
    }
    if end.state == "DEADLINE" {
        let remedy = "the next request starts it again; leave --deadline out of --srun-args".to_owned();
        return Diagnosis { code: "deadline", summary: said, remedy };
    }
    let messages = Messages::new(backend, lines);
    if let Some(known) = messages.known_cause(exit_code) {
        return known;
    }
    match causes::all(backend).find(|cause| cause.code == "job_cancelled" && end.state == "CANCELLED") {
        Some(cause) => of_cause(cause, &said),
        None => by_exit_code(&messages, exit_code),
    }
}

fn of_cause(cause: &Cause, line: &str) -> Diagnosis {
    let summary = bounded(&redact(&format!("{}: {line}", cause.what)));
    Diagnosis { code: cause.code, summary, remedy: cause.remedy.to_owned() }
}

/// The messages of the last lines, the last first; and whether each is a mere remark, such as a warning of what could
/// go wrong, in the very words of it going wrong.
struct Messages {
    backend: Backend,
    lines: Vec<(String, bool)>,
}

impl Messages {
    fn new(backend: Backend, lines: &[String]) -> Self {
        let messages = lines.iter().rev().take(MAX_LINES).map(|line| (clean::message(line), clean::is_remark(line)));
        Self { backend, lines: messages.filter(|(message, _)| !message.is_empty()).collect() }
    }

    fn known_cause(&self, exit_code: Option<u8>) -> Option<Diagnosis> {
        match exit_code {
            // A shell that did not find the program says so last, whatever was said before.
            Some(127) => self.first_of(causes::all(self.backend).filter(|cause| cause.code == "srun_missing")),
            Some(126) => None,
            Some(_) | None => self.first_of(causes::all(self.backend)),
        }
    }

    fn first_of(&self, mut causes: impl Iterator<Item = &'static Cause>) -> Option<Diagnosis> {
        let told: Vec<(&str, String)> = self.told().map(|text| (text, text.to_lowercase())).collect();
        causes.find_map(|cause| {
            let (text, _) = told.iter().find(|(_, lower)| cause.is_in(lower))?;
            Some(of_cause(cause, text))
        })
    }

    /// The last line that looks like the reason of something, else the last line; a remark only where there is no other.
    fn telling(&self) -> Option<&str> {
        let last = || self.told().next().or_else(|| self.lines.first().map(|(line, _)| line.as_str()));
        self.error().or_else(|| self.last_with(&["rror", "ailed"])).or_else(last)
    }

    /// The last line that looks like the reason of something.
    fn error(&self) -> Option<&str> {
        self.told().find(|line| looks_like_error(line) && !is_consequence(line))
    }

    fn last_with(&self, words: &[&str]) -> Option<&str> {
        self.told().find(|line| words.iter().any(|word| line.contains(word)))
    }

    /// The messages that are no remarks.
    fn told(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|(_, remark)| !remark).map(|(line, _)| line.as_str())
    }
}

fn looks_like_error(line: &str) -> bool {
    ["Error:", "Exception:", "error:", "fatal:", "FATAL", "panicked at"].iter().any(|word| line.contains(word))
}

/// Lines that only say that something failed which an earlier line explains.
fn is_consequence(line: &str) -> bool {
    const WORDS: [&str; 7] = [
        "See root cause above",
        "Engine core initialization failed",
        "EngineCore failed to start",
        "Exited with exit code",
        "SystemExit",
        "forcing job termination",
        "Job step aborted",
    ];
    WORDS.iter().any(|words| line.contains(words))
}

fn by_exit_code(messages: &Messages, exit_code: Option<u8>) -> Diagnosis {
    const MEMORY: &str = "most often memory ran out: ask for more with --mem in --srun-args";
    const CRASH: &str = "the engine crashed: check that it was built for the node's processor, GPU and driver, and try \
                         another version of it";
    const LOG: &str = "read the engine's whole log with -v, and run the command by hand there";
    let telling = messages.telling();
    let not_found = || messages.last_with(&["not found", "o such file"]).or(telling);
    let refused = || messages.last_with(&["ermission denied", "annot execute", "xec format"]).or(telling);
    let (code, what, line, remedy) = match exit_code {
        None => ("engine_ended", "the engine ended, and its exit code is not known".to_owned(), telling, LOG),
        Some(0) => (
            "engine_ended",
            "the engine ended by itself, without an error (vLLM does so when a process of it was killed)".to_owned(),
            telling,
            LOG,
        ),
        Some(126) => (
            "not_executable",
            "the command may not be executed".to_owned(),
            refused(),
            "make it executable (chmod +x), and check that it was built for the node's kind of processor",
        ),
        Some(127) => (
            "command_not_found",
            "there is no such program".to_owned(),
            not_found(),
            "give the program's whole path, or bring it into the PATH with --prelude or --login-shell",
        ),
        // Who is killed has no last words; those before are of something else.
        Some(137) => (KILLED, "the engine was killed (exit code 137)".to_owned(), messages.error(), MEMORY),
        Some(code @ (132 | 134 | 135 | 136 | 139)) => {
            ("crashed", format!("the engine crashed ({}, exit code {code})", signal(code)), telling, CRASH)
        }
        Some(code @ (129 | 130 | 131 | 143)) => (
            "terminated",
            format!("the engine was told to end ({}, exit code {code})", signal(code)),
            telling,
            "the next request starts it again; if nobody of yours ended it, ask the cluster's operators",
        ),
        Some(code) => ("engine_exited", format!("the engine ended with exit code {code}"), telling, LOG),
    };
    let summary = match line {
        Some(line) => bounded(&redact(&format!("{what}: {line}"))),
        None => what,
    };
    Diagnosis { code, summary, remedy: remedy.to_owned() }
}

fn signal(exit_code: u8) -> &'static str {
    match exit_code {
        129 => "SIGHUP",
        130 => "SIGINT",
        131 => "SIGQUIT",
        132 => "SIGILL",
        134 => "SIGABRT",
        135 => "SIGBUS",
        136 => "SIGFPE",
        139 => "SIGSEGV",
        _ => "SIGTERM",
    }
}

fn bounded(text: &str) -> String {
    if text.chars().count() <= MAX_SUMMARY {
        return text.to_owned();
    }
    text.chars().take(MAX_SUMMARY - 1).chain(std::iter::once('…')).collect()
}
