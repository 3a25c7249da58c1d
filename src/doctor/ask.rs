//! A script of the doctor's on the host, and its answer.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::host::{Host, HostError, Shell};
use crate::keeper::{Nonce, framed};

/// How long an answer may take: `squeue` alone waits for 20 s where its controller is silent.
const PATIENCE: Duration = Duration::from_secs(45);

/// How many bytes of each stream are read.
const MOST_BYTES: u64 = 256 * 1024;

/// What a script said.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// Its exit code.
    pub(super) code: u8,
    /// Its standard output.
    pub(super) stdout: String,
    /// Its standard error.
    pub(super) stderr: String,
    /// What the host's shell printed by itself before it, on standard output.
    pub(super) noise: String,
}

impl Said {
    /// The rest of the first line that starts with `name=`, unless it is empty.
    pub(super) fn fact(&self, name: &str) -> Option<&str> {
        self.facts(name).next().filter(|value| !value.is_empty())
    }

    /// The rest of each such line.
    pub(super) fn facts<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.stdout.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

/// A script was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It began or ended in the middle.
    #[error("the host's shell did not do what it was told; it said: {words}")]
    BrokeOff {
        /// The end of what it said.
        words: String,
    },
    /// Time.
    #[error("the host's shell did not answer within {} s", PATIENCE.as_secs())]
    TimedOut,
    /// Randomness.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// Has the host's shell read `script`, whose standard input is empty.
///
/// # Errors
/// The host cannot be reached, or its shell does not do it.
pub(super) async fn ask(host: &Host, shell: Shell, script: &str) -> Result<Said, AskError> {
    let nonce = Nonce::random()?;
    let mark = nonce.as_str();
    // One command in braces, so that the shell has read all of it before it begins.
    let whole = format!(
        "{{ printf '\\n%s begin\\n' {mark}; printf '%s begin\\n' {mark} >&2\n(\n{script}\n) </dev/null\n\
         printf '\\n%s end %s\\n' {mark} \"$?\"; exit; }}\n"
    );
    let asked = async {
        let mut program = host.spawn(shell).await?;
        program.give(&whole).await?;
        // What has ended needs no end of its input.
        let _ = program.stdin.shutdown().await;
        Ok::<_, HostError>(tokio::join!(read(&mut program.stdout), read(&mut program.stderr)))
    };
    let (printed, complained) = timeout(PATIENCE, asked).await.map_err(|_| AskError::TimedOut)??;
    let begin = format!("{mark} begin\n");
    let Some(answer) = framed(&nonce, &printed) else {
        let words = format!("{printed}\n{complained}");
        let words = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned();
        return Err(AskError::BrokeOff { words });
    };
    let noise = printed.split_once(&begin).map_or("", |(before, _)| before).trim().to_owned();
    let stderr = complained.split_once(&begin).map_or(complained.as_str(), |(_, after)| after).trim().to_owned();
    Ok(Said { code: answer.code, stdout: answer.output, stderr, noise })
}

async fn read(stream: &mut (dyn AsyncRead + Send + Unpin)) -> String {
    let mut heard = Vec::new();
    // A stream that breaks off is seen by what is missing from it.
    let _ = stream.take(MOST_BYTES).read_to_end(&mut heard).await;
    String::from_utf8_lossy(&heard).into_owned()
}
