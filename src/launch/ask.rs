//! One command on a host, asked and answered.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::host::{Host, HostError, Shell};
use crate::keeper::{self, Nonce, Script, ScriptError};

/// How long a command may take: `squeue` waits ten seconds for a controller that does not answer, and tries twice.
const TIMEOUT: Duration = Duration::from_secs(45);

/// Bytes kept of each output, from its end: what a host's shell prints by itself comes first.
const OUTPUT_LIMIT: usize = 256 * 1024;

/// What a command answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its exit code.
    pub(super) code: u8,
    /// Its standard output.
    pub(super) stdout: String,
    /// Its standard error, with whatever the host's shell printed before it.
    pub(super) stderr: String,
}

/// A command was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The link, while it was asked.
    #[error("the command's answer broke off")]
    BrokeOff,
    /// Time.
    #[error("the command did not end within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// Randomness.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// Words that no shell can be given.
    #[error(transparent)]
    Script(#[from] ScriptError),
}

impl AskError {
    pub(super) fn into_host_error(self) -> HostError {
        match self {
            Self::Host(error) => error,
            other => std::io::Error::other(other).into(),
        }
    }
}

/// Runs `argv` on the host, and returns what it printed.
pub(super) async fn command(host: &Host, shell: Shell, argv: &[String]) -> Result<Answer, AskError> {
    let nonce = Nonce::random()?;
    let script = keeper::command(&nonce, argv)?;
    let (printed, stderr) = script_output(host, shell, &script).await?;
    let answer = keeper::framed(&nonce, &printed).ok_or(AskError::BrokeOff)?;
    Ok(Answer { code: answer.code, stdout: answer.output, stderr })
}

/// Runs a script of ours on the host, and returns what it printed.
pub(super) async fn script_output(host: &Host, shell: Shell, script: &Script) -> Result<(String, String), AskError> {
    let asked = async {
        let mut program = host.spawn(shell).await?;
        program.give(script.expose()).await.map_err(HostError::from)?;
        // What has ended needs no end of its input.
        let _ = program.stdin.shutdown().await;
        let (stdout, stderr) = tokio::join!(read(&mut program.stdout), read(&mut program.stderr));
        Ok((stdout, stderr))
    };
    tokio::time::timeout(TIMEOUT, asked).await.map_err(|_| AskError::TimedOut)?
}

/// A stream that breaks off is seen by what is missing from it.
async fn read(stream: &mut (dyn AsyncRead + Send + Unpin)) -> String {
    let mut kept = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut kept).await {
        if kept.len() > 2 * OUTPUT_LIMIT {
            kept.drain(..kept.len() - OUTPUT_LIMIT);
        }
    }
    let end = kept.get(kept.len().saturating_sub(OUTPUT_LIMIT)..).unwrap_or_default();
    String::from_utf8_lossy(end).into_owned()
}
