//! The engine's log as it comes in: the last lines are kept, for the cause of a failure stands above its last words.

use std::collections::VecDeque;

use tracing::info;

use super::{KeptLog, LogMark};
use crate::api::LogStream;
use crate::backend::{self, Loading};

/// Stands before what the engine wrote to its standard output, up to the line's end. The keeper puts it there; all else is
/// standard error.
const STDOUT_MARK: u8 = 1;

/// Lines that are kept. vLLM prints the cause of a failed start up to a hundred lines above its last one.
const KEPT_LINES: usize = 200;

/// Bytes of a line that are kept: a line is for people, and a log may hold anything.
const KEPT_BYTES: usize = 4096;

/// The last lines of a log that arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct Log {
    lines: VecDeque<String>,
    stdout: Unfinished,
    stderr: Unfinished,
    /// Whether what comes next is of standard output.
    is_stdout: bool,
    /// Bytes taken in so far: where reading goes on after a lost link.
    pub(super) offset: u64,
    /// Where the last finished line ended, here and in what is kept.
    finished: LogMark,
    /// Where its lines are kept for those who ask later.
    kept: Option<KeptLog>,
    /// What was told last of the engine's start.
    loading: Option<Loading>,
    /// Whether that was taken already.
    loading_taken: bool,
}

/// A line that is not whole yet.
#[derive(Debug, Default)]
struct Unfinished {
    text: Vec<u8>,
    /// Whether it is a bar, that is written over.
    is_bar: bool,
    /// Whether the next byte, unless it ends the line, writes over what is there.
    returned: bool,
}

impl Unfinished {
    fn extend(&mut self, text: &[u8]) {
        if !text.is_empty() && std::mem::take(&mut self.returned) {
            self.text.clear();
        }
        let room = KEPT_BYTES.saturating_sub(self.text.len());
        self.text.extend(text.iter().take(room));
    }

    fn shown(&self) -> Option<String> {
        (!self.text.is_empty()).then(|| String::from_utf8_lossy(&self.text).into_owned())
    }

    /// Whether its beginning would be missed by one who read on from here. Of a bar, its next piece tells all.
    fn would_be_missed(&self) -> bool {
        !self.text.is_empty() && !self.is_bar
    }
}

impl Log {
    /// A log that was read up to there, and whose finished lines are kept, too. What was kept of it after that comes again.
    pub(super) fn kept_in(kept: KeptLog, from: LogMark) -> Self {
        if from.inode == kept.inode() {
            kept.cut(from.kept);
        }
        let finished = LogMark { kept: kept.length(), inode: kept.inode(), ..from };
        Self { offset: from.offset, finished, kept: Some(kept), ..Self::default() }
    }

    /// Where the last finished line ended.
    pub(super) fn mark(&self) -> LogMark {
        self.finished
    }

    /// What comes next begins there. Where that is another place than was read up to, something was thrown away.
    pub(super) fn goes_on_at(&mut self, offset: u64) {
        if std::mem::replace(&mut self.offset, offset) != offset {
            (self.stdout, self.stderr, self.is_stdout) = (Unfinished::default(), Unfinished::default(), false);
        }
    }

    /// Takes in what came, and shows each finished line to whoever asked for the engine's log.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| matches!(*byte, b'\n' | b'\r' | STDOUT_MARK)) {
            self.offset += piece.len() as u64;
            match piece.split_last() {
                Some((b'\n', text)) => {
                    self.current().extend(text);
                    self.finish();
                    if !self.stdout.would_be_missed() && !self.stderr.would_be_missed() {
                        self.finished = self.mark_here();
                    }
                }
                // A progress bar is written over again and again. One line of it is kept, or a bar of some hundred pieces
                // would push the cause of a failure out.
                Some((b'\r', text)) => {
                    self.current().extend(text);
                    self.look_for_progress();
                    let current = self.current();
                    (current.returned, current.is_bar) = (true, true);
                }
                Some((&STDOUT_MARK, text)) => {
                    self.current().extend(text);
                    self.is_stdout = true;
                }
                _ => self.current().extend(piece),
            }
        }
        // A progress bar ends its line at the start of the next, so what it shows now is still unfinished.
        self.look_for_progress();
    }

    fn mark_here(&self) -> LogMark {
        let (kept, inode) = self.kept.as_ref().map_or((0, 0), |kept| (kept.length(), kept.inode()));
        LogMark { offset: self.offset, kept, inode }
    }

    /// The kept lines, oldest first, with what is unfinished.
    pub(super) fn lines(&self) -> Vec<String> {
        let unfinished = [&self.stderr, &self.stdout].into_iter().filter_map(Unfinished::shown);
        self.lines.iter().cloned().chain(unfinished).collect()
    }

    /// What the engine told of its start since the last call.
    pub(super) fn take_loading(&mut self) -> Option<Loading> {
        (!std::mem::replace(&mut self.loading_taken, true)).then(|| self.loading.clone()).flatten()
    }

    fn current(&mut self) -> &mut Unfinished {
        if self.is_stdout { &mut self.stdout } else { &mut self.stderr }
    }

    fn look_for_progress(&mut self) {
        let Some(loading) = backend::loading(&String::from_utf8_lossy(&self.current().text)) else { return };
        let loading = Some(loading.after(self.loading.as_ref()));
        if loading != self.loading {
            self.loading = loading;
            self.loading_taken = false;
        }
    }

    fn finish(&mut self) {
        self.look_for_progress();
        let line = std::mem::take(self.current()).text;
        let stream = if std::mem::take(&mut self.is_stdout) { LogStream::Stdout } else { LogStream::Stderr };
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if line.is_empty() {
            return;
        }
        let shown = backend::redact(&backend::visible(&line));
        info!(target: "engine", "{shown}");
        if let Some(kept) = &self.kept {
            kept.line(&stream.mark(&shown));
        }
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn lines_are_joined_from_pieces_and_of_a_bar_one_line_is_kept() {
        let mut log = Log::default();
        log.take(b"first li");
        log.take(b"ne\n10%\r20%\r");
        log.take(b"\n\nnext\n\r30%\r40%");
        log.take(b"\nlast");
        assert_eq!(log.lines(), ["first line", "20%", "next", "40%", "last"]);
        assert_eq!(log.offset, 39);
    }

    #[test]
    fn a_long_bar_leaves_the_cause_of_a_failure_where_it_is() {
        let mut log = Log::default();
        log.take(b"ValueError: the cause\n");
        for piece in 0..1000 {
            log.take(format!("\rCapturing CUDA graphs: {:3}%|#|", piece / 10).as_bytes());
        }
        assert_eq!(log.lines(), ["ValueError: the cause", "Capturing CUDA graphs:  99%|#|"]);
    }

    #[test]
    fn a_bar_tells_its_progress_before_its_line_ends() {
        let mut log = Log::default();
        log.take(b"\rLoading weights:  25%|##   ");
        assert_eq!(log.take_loading().map(|loading| loading.to_string()).as_deref(), Some("loading weights 25 %"));
        assert_eq!(log.take_loading(), None);
        log.take(b"\rLoading weights:  25%|##   ");
        assert_eq!(log.take_loading(), None, "nothing new");
        log.take(b"\rLoading weights:  5");
        log.take(b"0%|##   ");
        assert_eq!(log.take_loading().map(|loading| loading.to_string()).as_deref(), Some("loading weights 50 %"));
    }

    #[test]
    fn both_streams_are_told_apart_and_neither_breaks_the_others_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log::kept_in(KeptLog::open(&path).unwrap(), LogMark::default());
        log.take(b"\x01one\n\r10%\x01two\n\r20%\ntra");
        let before = log.mark();
        log.take(b"\x01th");
        log.goes_on_at(log.offset);
        log.take(b"ree\nceback\n");
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "stdout | one\nstdout | two\nstderr | 20%\nstdout | three\nstderr | traceback\n"
        );
        assert_eq!(log.lines(), ["one", "two", "20%", "three", "traceback"]);
        assert_eq!(before.offset, 19, "where nothing was begun");
        assert_eq!(log.mark().offset, log.offset);
        // Whoever reads on from there has each line once.
        let mut again = Log::kept_in(KeptLog::open(&path).unwrap(), before);
        again.take(b"tra\x01three\nceback\n");
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(kept.ends_with("20%\nstdout | three\nstderr | traceback\n"), "{kept}");
    }

    #[test]
    fn what_was_thrown_away_takes_no_line_with_it() {
        let mut log = Log::default();
        log.take(b"\x01half of a li");
        log.goes_on_at(1000);
        log.take(b"whole\n");
        assert_eq!((log.lines(), log.offset), (vec!["whole".to_owned()], 1006));
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let mut log = Log::default();
        for number in 0..1000 {
            log.take(format!("line {number}\n").as_bytes());
        }
        log.take(&vec![b'x'; 100_000]);
        let lines = log.lines();
        assert_eq!(lines.len(), KEPT_LINES + 1);
        assert_eq!(lines.first().map(String::as_str), Some("line 800"));
        assert_eq!(lines.last().map(String::len), Some(KEPT_BYTES));
    }
}
