//! A command of the user's whose standard streams carry a connection (`ProxyCommand`).

use std::collections::VecDeque;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::config::Target;
use super::headless::{Headless, Process};
use super::words::printable;
use super::{CommandFault, SshError};

/// The shell, if the user has none.
const USUAL_SHELL: &str = "/bin/sh";

/// How long a command may take to end once it is told to.
const GRACE: Duration = Duration::from_secs(1);

/// How long a command's end may lag behind the end of its output.
const END_LAG: Duration = Duration::from_secs(1);

/// How many of its last lines are remembered.
const LINES: usize = 3;

/// The longest line that is taken as one, in bytes.
const LONGEST_LINE: usize = 4096;

/// A command that runs. Dropping it ends it, and all that it started.
pub(super) struct ProxyCommand {
    pub(super) stdin: pipe::Sender,
    pub(super) stdout: pipe::Receiver,
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
        let cannot = |error: std::io::Error| SshError::ProxyCommandFailed {
            host: target.host.clone(),
            words: format!("{} cannot be run: {error}", shell.display()),
            fault: CommandFault::NotRun,
        };
        let arguments = ["-c".into(), format!("exec {line}").into()];
        let Headless { stdin, stdout, stderr, process } =
            Headless::start(&shell, &arguments, std::env::vars_os()).map_err(cannot)?;
        let running = Running::watch(process).map_err(cannot)?;
        let stdin = pipe::Sender::from_owned_fd(stdin.into()).map_err(cannot)?;
        let stdout = pipe::Receiver::from_owned_fd(stdout.into()).map_err(cannot)?;
        let stderr = pipe::Receiver::from_owned_fd(stderr.into()).map_err(cannot)?;
        let (told, end) = watch::channel(End::NotYet);
        let words = LastWords { lines: Arc::default(), end };
        let dropped = CancellationToken::new();
        let ended = dropped.clone().drop_guard();
        let (host, lines) = (target.host.clone(), words.clone());
        tasks.spawn(async move {
            let mut listening = pin!(listen(&host, stderr, &lines));
            let mut watching = pin!(running.until_its_end(dropped));
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

/// The process of a command. Dropping it kills what is left of it: that carries nothing any more.
struct Running {
    process: Process,
    ended: oneshot::Receiver<Option<ExitStatus>>,
}

impl Running {
    /// Waits for it in a thread: only what tokio itself has started can it wait for.
    fn watch(process: Process) -> std::io::Result<Self> {
        let (tell, ended) = oneshot::channel();
        let running = Self { process, ended };
        std::thread::Builder::new().name("proxy-command".to_owned()).spawn(move || tell.send(process.wait()))?;
        Ok(running)
    }

    /// Waits until it ends, or ends it.
    async fn until_its_end(mut self, dropped: CancellationToken) -> Option<ExitStatus> {
        let ended = tokio::select! {
            ended = &mut self.ended => ended,
            () = dropped.cancelled() => {
                // What `ssh` sends it.
                self.process.signal(Signal::SIGHUP);
                if let Ok(ended) = timeout(GRACE, &mut self.ended).await {
                    ended
                } else {
                    self.process.signal(Signal::SIGKILL);
                    (&mut self.ended).await
                }
            }
        };
        ended.ok().flatten()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGKILL);
    }
}

/// Passes on what it says, until it says no more.
async fn listen(host: &str, stderr: pipe::Receiver, words: &LastWords) {
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
        if let SshError::HandshakeTimedOut { after, .. } = error {
            // It is we who end it now. What it waited for may be a person, who would be asked again each time.
            let words = format!("nothing came through it within {} s", after.as_secs());
            return SshError::ProxyCommandFailed { host: host.to_owned(), words, fault: CommandFault::Unexplained };
        }
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
        let greeted = !matches!(error, SshError::TurnedAway { .. });
        let fault = CommandFault::judge(code, &lines, greeted);
        let words = if lines.is_empty() { how } else { format!("{how}: {lines}") };
        SshError::ProxyCommandFailed { host: host.to_owned(), words, fault }
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
