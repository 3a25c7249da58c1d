//! One connection's hold on a life: its reports and its log come in, words go out. Losing it loses nothing.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::log::Log;
use super::report_lines::ReportLines;
use crate::host::Program;
use crate::keeper::{ControlWord, Nonce, Report, Script};

/// Bytes read of the log at once.
const LOG_PIECE: usize = 16 * 1024;

/// Bytes kept of what a host's shell prints before our script runs.
const NOISE_KEPT: usize = 16 * 1024;

/// Bytes read of the reports at once.
const REPORTS_PIECE: usize = 4 * 1024;

/// A log that says nothing for this long has said what it has to say about an exit.
const LOG_QUIET: Duration = Duration::from_millis(300);

/// How long one word may take to be written: it is a few bytes, so longer means that the link is gone.
const WORD_TIMEOUT: Duration = Duration::from_secs(20);

/// A runner on the host, attached to a life.
pub(super) struct Attachment {
    nonce: Nonce,
    stdin: Box<dyn AsyncWrite + Send + Unpin>,
    reports: Box<dyn AsyncRead + Send + Unpin>,
    reports_piece: Vec<u8>,
    lines: ReportLines,
    log: Box<dyn AsyncRead + Send + Unpin>,
    /// What came before the runner's own mark: whatever the host's shell prints. Nothing once the mark was seen.
    before_mark: Option<Vec<u8>>,
    /// Whether the runner waits for the word to launch.
    pub(super) awaits_go: bool,
    /// Whether the runner said that it follows: what is sent earlier, its shell may take for script.
    pub(super) listens: bool,
    log_piece: Vec<u8>,
    log_open: bool,
}

/// Something came in.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A report.
    Report(Report),
    /// Some of the log; it was taken in.
    Log,
    /// The host's shell ended by itself.
    Ended,
    /// The connection is gone.
    Lost,
}

impl Attachment {
    /// Gives a shell on the host the runner's script, which may be one that launches.
    pub(super) async fn start(
        mut program: Program,
        nonce: &Nonce,
        script: &Script,
        launches: bool,
    ) -> std::io::Result<Self> {
        program.stdin.write_all(script.expose().as_bytes()).await?;
        program.stdin.flush().await?;
        Ok(Self {
            nonce: nonce.clone(),
            stdin: program.stdin,
            reports: program.stdout,
            reports_piece: vec![0; REPORTS_PIECE],
            lines: ReportLines::default(),
            log: program.stderr,
            before_mark: Some(Vec::new()),
            awaits_go: launches,
            listens: false,
            log_piece: vec![0; LOG_PIECE],
            log_open: true,
        })
    }

    /// The next report or piece of the log. Cancelling loses nothing.
    pub(super) async fn next(&mut self, log: &mut Log) -> Incoming {
        loop {
            while let Some(line) = self.lines.next() {
                if let Some(report) = Report::parse(&self.nonce, &line) {
                    return Incoming::Report(report);
                }
            }
            tokio::select! {
                read = self.reports.read(&mut self.reports_piece) => match read {
                    Ok(0) => return Incoming::Ended,
                    Ok(read) => self.lines.take(self.reports_piece.get(..read).unwrap_or_default()),
                    Err(_) => return Incoming::Lost,
                },
                read = self.log.read(&mut self.log_piece), if self.log_open => {
                    self.take_log(read.unwrap_or(0), log);
                    return Incoming::Log;
                }
            }
        }
    }

    /// Reads on until the log is quiet, for the cause of an exit may come after the word of it.
    pub(super) async fn drain_log(&mut self, log: &mut Log) {
        while self.log_open {
            match tokio::time::timeout(LOG_QUIET, self.log.read(&mut self.log_piece)).await {
                Ok(read) => self.take_log(read.unwrap_or(0), log),
                Err(_) => return,
            }
        }
    }

    /// What the host's shell printed beside our frames.
    pub(super) fn noise(&self) -> String {
        String::from_utf8_lossy(self.before_mark.as_deref().unwrap_or_default()).trim().to_owned()
    }

    /// Sends a word to the runner, which must wait for it, or through it to the keeper, which must have said hello: what is
    /// sent earlier, a shell may take for script.
    pub(super) async fn say(&mut self, word: ControlWord) -> std::io::Result<()> {
        let line = word.line();
        let written = async {
            self.stdin.write_all(line.as_bytes()).await?;
            self.stdin.flush().await
        };
        tokio::time::timeout(WORD_TIMEOUT, written).await?
    }

    fn take_log(&mut self, read: usize, log: &mut Log) {
        let bytes = self.log_piece.get(..read).unwrap_or_default();
        self.log_open = !bytes.is_empty();
        match &mut self.before_mark {
            None => log.take(bytes),
            Some(before) => {
                before.extend_from_slice(bytes);
                if let Some((offset, rest)) = log_mark(&self.nonce, before) {
                    log.goes_on_at(offset);
                    log.take(&rest);
                    self.before_mark = None;
                } else if before.len() > NOISE_KEPT {
                    before.drain(..before.len() - NOISE_KEPT);
                }
            }
        }
    }
}

/// Where the log begins that follows the runner's mark, and the first of it.
fn log_mark(nonce: &Nonce, printed: &[u8]) -> Option<(u64, Vec<u8>)> {
    let mut begin = 0;
    for line in printed.split_inclusive(|byte| *byte == b'\n') {
        begin += line.len();
        if line.ends_with(b"\n")
            && let Some(Report::Log { offset }) = Report::parse(nonce, &String::from_utf8_lossy(line))
        {
            return Some((offset, printed.get(begin..).unwrap_or_default().to_vec()));
        }
    }
    None
}
