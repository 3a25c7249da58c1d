//! A command of the user's whose standard streams carry a connection (`ProxyCommand`).

use std::collections::VecDeque;
use std::ffi::OsString;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::SshError;
use super::config::Target;
use super::words::printable;

/// The shell, if the user has none.
const USUAL_SHELL: &str = "/bin/sh";

/// What our own variables begin with: secrets are among them, and the command needs none.
const OUR_VARIABLES: &[u8] = b"LLM_PROXY_";

/// How long a command may take to end once it is told to.
const GRACE: Duration = Duration::from_secs(1);

/// How long a command's end may lag behind the end of its output.
const END_LAG: Duration = Duration::from_secs(1);

/// How many of its last lines are remembered.
const LINES: usize = 3;

/// The longest line that is taken as one, in bytes.
const LONGEST_LINE: usize = 4096;

/// The code of a shell that found no such command, or may not run it.
const NOT_RUN: [i32; 2] = [126, 127];

/// A command that runs. Dropping it ends it, and all that it started.
pub(super) struct ProxyCommand {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    _ended: DropGuard,
}

/// What a command last said on its standard error, and how it ended.
#[derive(Clone, Debug)]
pub(super) struct LastWords {
    lines: Arc<Mutex<VecDeque<String>>>,
    end: watch::Receiver<End>,
}

/// Whether a command ended.
#[derive(Clone, Copy, Debug)]
enum End {
    NotYet,
    /// With this status, unless the system did not tell.
    Over(Option<ExitStatus>),
}

impl ProxyCommand {
    /// Starts it as `ssh` does, by the user's own shell.
    ///
    /// # Errors
    /// There is no such shell, or no process can be made.
    pub(super) fn start(target: &Target, line: &str, tasks: &TaskTracker) -> Result<(Self, LastWords), SshError> {
        let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| USUAL_SHELL.into());
        let failed =
            |words: String| SshError::ProxyCommandFailed { host: target.host.clone(), words, transient: false };
        let cannot = |error: std::io::Error| failed(format!("{} cannot be run: {error}", shell.display()));
        let mut child = command(&shell, line).spawn().map_err(cannot)?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("it has no standard streams".to_owned()));
        };
        let (told, end) = watch::channel(End::NotYet);
        let words = LastWords { lines: Arc::default(), end };
        let dropped = CancellationToken::new();
        let ended = dropped.clone().drop_guard();
        let (host, lines) = (target.host.clone(), words.clone());
        tasks.spawn(async move {
            let mut listening = pin!(listen(&host, stderr, &lines));
            let mut watching = pin!(watch_over(child, dropped));
            let status = tokio::select! {
                status = &mut watching => {
                    // What it left behind may hold its standard error open for longer than it lived.
                    let _ = timeout(END_LAG / 4, listening).await;
                    status
                }
                () = &mut listening => watching.await,
            };
            told.send_replace(End::Over(status));
        });
        Ok((Self { stdin, stdout, _ended: ended }, words))
    }
}

fn command(shell: &OsString, line: &str) -> Command {
    let mut command = Command::new(shell);
    command.arg("-c").arg(format!("exec {line}"));
    command.env_clear().envs(without_ours(std::env::vars_os()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // An interrupt from our terminal is for us: we end it ourselves, after what it carries.
    command.process_group(0);
    command
}

fn without_ours(variables: impl Iterator<Item = (OsString, OsString)>) -> impl Iterator<Item = (OsString, OsString)> {
    variables.filter(|(name, _)| !name.as_encoded_bytes().starts_with(OUR_VARIABLES))
}

/// Waits until it ends, or ends it.
async fn watch_over(mut child: Child, dropped: CancellationToken) -> Option<ExitStatus> {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let signal = |signal| {
        if let Some(group) = group {
            // There may be nobody left.
            let _ = killpg(group, signal);
        }
    };
    let status = tokio::select! {
        status = child.wait() => status.ok(),
        () = dropped.cancelled() => {
            // What `ssh` sends it.
            signal(Signal::SIGHUP);
            if let Ok(status) = timeout(GRACE, child.wait()).await {
                status.ok()
            } else {
                signal(Signal::SIGKILL);
                child.wait().await.ok()
            }
        }
    };
    // What it left behind carries nothing any more.
    signal(Signal::SIGKILL);
    status
}

/// Passes on what it says, until it says no more.
async fn listen(host: &str, stderr: ChildStderr, words: &LastWords) {
    let mut stderr = BufReader::new(stderr);
    while let Some(line) = next_line(&mut stderr).await {
        let line = printable(&String::from_utf8_lossy(&line));
        if line.is_empty() {
            continue;
        }
        tracing::warn!(host, "the proxy command says: {line}");
        let mut lines = words.lines();
        if lines.len() >= LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// One line without its end, or as much of it as may be taken at once. It comes byte by byte: these are a few words.
async fn next_line(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    while line.len() < LONGEST_LINE {
        match from.read_u8().await {
            Ok(b'\n') => return Some(line),
            Ok(byte) => line.push(byte),
            Err(_) => return (!line.is_empty()).then_some(line),
        }
    }
    Some(line)
}

impl LastWords {
    /// What became of a connection that failed with `error` before it stood: the command's own failure, if it has failed.
    pub(super) async fn explain(&self, host: &str, error: SshError) -> SshError {
        let mut end = self.end.clone();
        let over = timeout(END_LAG, end.wait_for(|end| matches!(end, End::Over(_)))).await;
        let Ok(Ok(End::Over(status))) = over.map(|told| told.map(|end| *end)) else { return error };
        let code = status.and_then(|status| status.code());
        let how = match (code, status) {
            (Some(code), _) => format!("it ended with status {code}"),
            (None, Some(status)) => format!("it ended by {status}"),
            (None, None) => "it ended".to_owned(),
        };
        let lines = self.lines().iter().cloned().collect::<Vec<_>>().join("; ");
        let words = if lines.is_empty() { how } else { format!("{how}: {lines}") };
        let transient = !code.is_some_and(|code| NOT_RUN.contains(&code));
        SshError::ProxyCommandFailed { host: host.to_owned(), words, transient }
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_variables_are_not_for_the_command() {
        let pair = |name: &str| (OsString::from(name), OsString::from("v"));
        let all = ["HOME", "LLM_PROXY_API_KEY", "SSH_AUTH_SOCK", "LLM_PROXY_", "MY_LLM_PROXY_X"].map(pair);
        let kept: Vec<_> = without_ours(all.into_iter()).collect();
        assert_eq!(kept, ["HOME", "SSH_AUTH_SOCK", "MY_LLM_PROXY_X"].map(pair));
    }

    #[tokio::test]
    async fn lines_are_taken_one_by_one_and_none_is_endless() {
        let text = [b"one\n\n".as_slice(), &[b'x'; LONGEST_LINE + 1], b"\nlast"].concat();
        let mut from = text.as_slice();
        let mut lengths = Vec::new();
        while let Some(line) = next_line(&mut from).await {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [3, 0, LONGEST_LINE, 1, 4]);
    }
}
