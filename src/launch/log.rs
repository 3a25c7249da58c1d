//! The engine's log as it comes in: the last lines are kept, for the cause of a failure stands above its last words.

use std::collections::VecDeque;

use tracing::info;

use crate::backend;

/// Lines that are kept. vLLM prints the cause of a failed start up to a hundred lines above its last one.
const KEPT_LINES: usize = 200;

/// Bytes of a line that are kept: a line is for people, and a log may hold anything.
const KEPT_BYTES: usize = 4096;

/// The last lines of a log that arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct Log {
    lines: VecDeque<String>,
    partial: Vec<u8>,
    /// Bytes taken in so far: where reading goes on after a lost link.
    pub(super) offset: u64,
}

impl Log {
    /// Takes in what came, and shows each finished line to whoever asked for the engine's log.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            match piece.split_last() {
                Some((b'\n' | b'\r', text)) => {
                    self.extend(text);
                    self.finish();
                }
                _ => self.extend(piece),
            }
        }
    }

    /// The kept lines, oldest first, with an unfinished last one.
    pub(super) fn lines(&self) -> Vec<String> {
        let unfinished = (!self.partial.is_empty()).then(|| String::from_utf8_lossy(&self.partial).into_owned());
        self.lines.iter().cloned().chain(unfinished).collect()
    }

    fn extend(&mut self, text: &[u8]) {
        let room = KEPT_BYTES.saturating_sub(self.partial.len());
        self.partial.extend(text.iter().take(room));
    }

    fn finish(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.partial)).trim_end().to_owned();
        if line.is_empty() {
            return;
        }
        info!(target: "engine", "{}", backend::redact(&line));
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_from_pieces_and_progress_bars_are_lines() {
        let mut log = Log::default();
        log.take(b"first li");
        log.take(b"ne\n10%\r20%\r\n\nlast");
        assert_eq!(log.lines(), ["first line", "10%", "20%", "last"]);
        assert_eq!(log.offset, 25);
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
