//! Programs that the user's SSH configuration names, run without a terminal.
//!
//! One that found ours (an inner `ssh` that asks for a password opens `/dev/tty`) would be stopped by the system in the middle
//! of its question, unseen and for ever: only the foreground group may use a terminal. In a session of its own there is
//! none to be found, and such a program fails at once, or asks in a window (`SSH_ASKPASS`).

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter, pipe};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::config;

/// `POSIX_SPAWN_SETSID`, which has no name in `nix`: the same number in glibc and musl, another on macOS.
#[cfg(not(target_vendor = "apple"))]
const A_SESSION_OF_ITS_OWN: PosixSpawnFlags = PosixSpawnFlags::from_bits_retain(0x80);
#[cfg(target_vendor = "apple")]
const A_SESSION_OF_ITS_OWN: PosixSpawnFlags = PosixSpawnFlags::from_bits_retain(0x400);

/// A program that runs, and our ends of its standard streams.
pub(super) struct Headless {
    pub(super) stdin: PipeWriter,
    pub(super) stdout: PipeReader,
    pub(super) stderr: PipeReader,
    pub(super) process: Process,
}

/// The program itself, which leads a session and so a group. It must be waited for once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process(Pid);

impl Headless {
    /// Starts `program`, looked for in `$PATH` if it has no slash, with these variables except ours.
    ///
    /// # Errors
    /// There is no such program, or no process can be made.
    pub(super) fn start(
        program: &OsStr,
        arguments: &[OsString],
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> io::Result<Self> {
        let name = c_string(program)?;
        let words: io::Result<Vec<_>> = arguments.iter().map(|argument| c_string(argument)).collect();
        let words = [vec![name.clone()], words?].concat();
        let pair = |(mut name, value): (OsString, OsString)| {
            name.push("=");
            name.push(value);
            c_string(&name)
        };
        let environment: io::Result<Vec<_>> = without_ours(environment).map(pair).collect();
        let ((its_stdin, stdin), (stdout, its_stdout), (stderr, its_stderr)) = (pipe()?, pipe()?, pipe()?);
        let mut streams = PosixSpawnFileActions::init()?;
        streams.add_dup2(its_stdin.as_raw_fd(), 0)?;
        streams.add_dup2(its_stdout.as_raw_fd(), 1)?;
        streams.add_dup2(its_stderr.as_raw_fd(), 2)?;
        let process = posix_spawnp(&name, &streams, &manners()?, &words, &environment?)?;
        Ok(Self { stdin, stdout, stderr, process: Process(process) })
    }
}

/// Rust's own way to start a program leads no session without unsafe code, so here is what it does besides: it undoes what
/// the runtime did to the signals.
fn manners() -> Result<PosixSpawnAttr, Errno> {
    let mut manners = PosixSpawnAttr::init()?;
    manners.set_sigdefault(&SigSet::from(Signal::SIGPIPE))?;
    manners.set_sigmask(&SigSet::empty())?;
    let signals = PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
    manners.set_flags(A_SESSION_OF_ITS_OWN | signals)?;
    Ok(manners)
}

fn c_string(word: &OsStr) -> io::Result<CString> {
    Ok(CString::new(word.as_bytes())?)
}

fn without_ours(variables: impl Iterator<Item = (OsString, OsString)>) -> impl Iterator<Item = (OsString, OsString)> {
    variables.filter(|(name, _)| !config::is_ours(&name.to_string_lossy()))
}

impl Process {
    /// Signals it and what it started. There may be nobody left.
    pub(super) fn signal(self, signal: Signal) {
        let _ = killpg(self.0, signal);
    }

    /// Waits until it ends; nothing, if the system does not tell how.
    pub(super) fn wait(self) -> Option<ExitStatus> {
        loop {
            match waitpid(self.0, None) {
                Ok(WaitStatus::Exited(_, code)) => return Some(ExitStatus::from_raw((code & 0xff) << 8)),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Some(ExitStatus::from_raw(signal as i32)),
                // Not asked for, and not an end.
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use std::io::{Read as _, Write as _};

    use super::*;

    /// What a script prints to the answer `word`, and how it ends.
    fn shell(script: &str, word: &str) -> (String, ExitStatus) {
        let environment = [("LLM_PROXY_ACCESS_KEY", "hidden"), ("MINE", "yes"), ("PATH", "/usr/bin:/bin")];
        let environment = environment.map(|(name, value)| (name.into(), value.into()));
        let arguments = ["-c".into(), script.into()];
        let Headless { mut stdin, mut stdout, process, .. } =
            Headless::start(OsStr::new("sh"), &arguments, environment.into_iter()).unwrap();
        stdin.write_all(word.as_bytes()).unwrap();
        drop(stdin);
        let mut printed = String::new();
        stdout.read_to_string(&mut printed).unwrap();
        (printed, process.wait().unwrap())
    }

    #[test]
    fn it_has_its_streams_our_variables_stay_here_and_its_end_is_told() {
        let (printed, status) = shell("cat; echo \" $MINE ${LLM_PROXY_ACCESS_KEY:-none}\"; exit 7", "word");
        assert_eq!((printed.as_str(), status.code()), ("word yes none\n", Some(7)));
        let (_, status) = shell("kill -9 $$", "");
        assert_eq!((status.code(), status.signal()), (None, Some(9)));
    }

    #[test]
    fn it_leads_a_session_without_a_terminal_and_signals_are_as_usual() {
        // Of its own process: its id, group, session and terminal; and what it does not hear.
        let (printed, _) = shell("echo $$; cut -d' ' -f5,6,7 /proc/$$/stat; grep SigIgn /proc/$$/status", "");
        let lines: Vec<&str> = printed.lines().collect();
        let id = lines.first().unwrap();
        assert_eq!(lines.get(1).unwrap(), &format!("{id} {id} 0"));
        let unheard = u64::from_str_radix(lines.get(2).unwrap().split_whitespace().last().unwrap(), 16).unwrap();
        assert_eq!(unheard & 1 << (Signal::SIGPIPE as i32 - 1), 0, "{unheard:x}");
    }

    #[test]
    fn only_our_variables_are_kept_back() {
        let pair = |name: &str| (OsString::from(name), OsString::from("v"));
        let all =
            ["HOME", "VLLM_ACCESS_KEY", "LLM_PROXY_API_KEY", "SSH_AUTH_SOCK", "LLM_PROXY_", "MY_LLM_PROXY_X"].map(pair);
        let kept: Vec<_> = without_ours(all.into_iter()).collect();
        assert_eq!(kept, ["HOME", "SSH_AUTH_SOCK", "MY_LLM_PROXY_X"].map(pair));
    }

    #[test]
    fn what_cannot_be_started_is_an_error() {
        let start = |program: &str, words: &[OsString]| {
            Headless::start(OsStr::new(program), words, std::iter::empty()).map(drop).unwrap_err().kind()
        };
        assert_eq!(start("/no/such/program", &[]), io::ErrorKind::NotFound);
        assert_eq!(start("sh", &["a\0b".into()]), io::ErrorKind::InvalidInput);
    }
}
