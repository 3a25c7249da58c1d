//! Lines out of pieces, however long or odd what a host prints may be.

use std::collections::VecDeque;

/// Bytes kept of a line: a report is far shorter, and noise needs no more.
const LONGEST_LINE: usize = 8 * 1024;

/// Whole lines that have come, and the beginning of the next.
#[derive(Debug, Default)]
pub(super) struct ReportLines {
    whole: VecDeque<String>,
    partial: Vec<u8>,
}

impl ReportLines {
    /// Takes in what came.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST_LINE.saturating_sub(self.partial.len());
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.partial.extend(text.iter().take(room));
            if text.len() < piece.len() {
                self.whole.push_back(String::from_utf8_lossy(&std::mem::take(&mut self.partial)).into_owned());
            }
        }
    }

    /// The next whole line.
    pub(super) fn next(&mut self) -> Option<String> {
        self.whole.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_and_no_longer_than_may_be() {
        let mut lines = ReportLines::default();
        lines.take(b"one\ntw");
        assert_eq!(lines.next().as_deref(), Some("one"));
        assert_eq!(lines.next(), None);
        lines.take(b"o\n\xff\n");
        assert_eq!(lines.next().as_deref(), Some("two"));
        assert_eq!(lines.next().as_deref(), Some("\u{fffd}"));
        lines.take(&vec![b'x'; 3 * LONGEST_LINE]);
        lines.take(b"\nafter\n");
        assert_eq!(lines.next().map(|line| line.len()), Some(LONGEST_LINE));
        assert_eq!(lines.next().as_deref(), Some("after"));
    }
}
