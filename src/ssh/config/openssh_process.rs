//! One run of OpenSSH's client that prints and ends.

use std::ffi::OsString;
use std::io::{self, PipeReader, Read as _};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::beside;
use crate::ssh::SshError;
use crate::ssh::headless::Headless;
use crate::ssh::words::printable;

/// How long it may take. It runs the user's `Match exec` commands, and may look names up; it should take milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// What it printed.
    Printed(String),
    /// It failed, and said why.
    Refused { words: String },
    /// There is no such program, or it cannot be run.
    NotThere,
}

/// Runs `program`, without our secrets in its environment: the commands of `Match exec` inherit it.
///
/// # Errors
/// It does not end in time; it is killed then, and what it started with it.
pub(super) fn run(program: &Path, arguments: &[OsString]) -> Result<Answer, SshError> {
    run_within(program, arguments, std::env::vars_os(), PATIENCE)
}

fn run_within(
    program: &Path,
    arguments: &[OsString],
    environment: impl Iterator<Item = (OsString, OsString)>,
    patience: Duration,
) -> Result<Answer, SshError> {
    let Headless { stdin, stdout, stderr, process } = match Headless::start(program.as_os_str(), arguments, environment)
    {
        Ok(running) => running,
        Err(error) => {
            tracing::debug!(program = %program.display(), %error, "it cannot be asked");
            return Ok(Answer::NotThere);
        }
    };
    drop(stdin);
    let (done, waiting) = mpsc::channel();
    // Threads, because both of its streams must be read while it runs, and a command of its may hold them open.
    std::thread::spawn(move || {
        let said = std::thread::spawn(move || all_of(stderr));
        let output = Output { printed: all_of(stdout), said: said.join().unwrap_or_default(), status: process.wait() };
        done.send(output)
    });
    match beside::the_streams(|| waiting.recv_timeout(patience)) {
        Ok(output) => Ok(answer(output)),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            process.signal(Signal::SIGKILL);
            Err(SshError::ConfigTimedOut { program: program.to_owned(), after: patience })
        }
    }
}

/// All that a run came to.
struct Output {
    printed: String,
    said: String,
    status: Option<ExitStatus>,
}

/// As much as can be read.
fn all_of(mut stream: PipeReader) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn answer(output: Output) -> Answer {
    if output.status.is_some_and(|status| status.success()) {
        return Answer::Printed(output.printed);
    }
    let said: Vec<String> = output
        .said
        .lines()
        .map(|line| printable(line.trim()))
        // Not about the configuration, and what the line before has said already.
        .filter(|line| !line.is_empty() && !line.starts_with("Pseudo-terminal ") && !line.contains(": terminating, "))
        .collect();
    let how = || output.status.map_or_else(|| "it ended".to_owned(), |status| status.to_string());
    let words = if said.is_empty() { how() } else { said.join("; ") };
    Answer::Refused { words }
}

/// The first program of this name in `$PATH`.
pub(in crate::ssh) fn find(name: &str) -> Option<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let runnable = |path: &std::path::PathBuf| {
        let metadata: io::Result<std::fs::Metadata> = std::fs::metadata(path);
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(runnable)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

    use std::time::Instant;

    use super::*;

    fn shell(script: &str, patience: Duration) -> Result<Answer, SshError> {
        let environment = [("LLM_PROXY_ACCESS_KEY", "hidden"), ("HOME", "/home/me"), ("PATH", "/usr/bin:/bin")];
        let environment = environment.map(|(name, value)| (name.into(), value.into()));
        run_within(Path::new("/bin/sh"), &["-c".into(), script.into()], environment.into_iter(), patience)
    }

    #[test]
    fn commands_of_the_configuration_do_not_see_our_secrets() {
        let Answer::Printed(environment) = shell("env", PATIENCE).unwrap() else { panic!("env failed") };
        assert!(environment.contains("HOME=/home/me") && !environment.contains("LLM_PROXY"), "{environment}");
    }

    #[test]
    fn what_it_prints_and_what_it_says() {
        assert_eq!(shell("echo a; echo b >&2", PATIENCE).unwrap(), Answer::Printed("a\n".to_owned()));
        let refused = shell(
            "printf 'c line 1: Bad port\\033[0m\\nc: terminating, 1 bad configuration options\\n\
             Pseudo-terminal will not be allocated\\n' >&2; exit 255",
            PATIENCE,
        );
        match refused.unwrap() {
            Answer::Refused { words } => {
                assert!(words.starts_with("c line 1: Bad port"), "{words}");
                assert!(!words.contains(['\u{1b}', ';']), "{words}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(shell("exit 3", PATIENCE).unwrap(), Answer::Refused { words: "exit status: 3".to_owned() });
        assert_eq!(run(Path::new("/no/such/ssh"), &[]).unwrap(), Answer::NotThere);
    }

    #[test]
    fn a_hang_ends_with_everything_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let begun = Instant::now();
        // The shell ends and leaves a child behind that holds its output open.
        let script = format!("sleep 600 & echo $! > {}; exit 0", file.display());
        let error = shell(&script, Duration::from_millis(300)).unwrap_err();
        assert!(matches!(error, SshError::ConfigTimedOut { .. }), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let gone = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
        while !gone() {
            assert!(begun.elapsed() < Duration::from_secs(10), "its child lives on");
            std::thread::yield_now();
        }
    }
}
