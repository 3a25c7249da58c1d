//! Follows a kept log from a byte on, for as long as somebody reads.

use std::io;

use tokio::sync::watch;

use super::KeptLog;
use super::kept_log::Mark;

/// The longest piece, in bytes: what one reader costs.
const PIECE: usize = 64 * 1024;

/// Follows a kept log, byte by byte: nothing is kept for it alone, however slowly it is asked.
#[derive(Debug)]
pub struct LogFollower {
    log: KeptLog,
    grown: watch::Receiver<Mark>,
    /// None at first: who asks for what is not there yet begins at the end.
    reached: Option<u64>,
    from: u64,
}

impl LogFollower {
    /// From the byte `from` on, counted as [`KeptLog::page`] does.
    #[must_use]
    pub fn new(log: &KeptLog, from: u64) -> Self {
        Self { log: log.clone(), grown: log.grown(), reached: None, from }
    }

    /// What is there of it and was not told yet; empty where that is all. What was thrown away, or taken back because it comes
    /// once more, is told in a line of its own.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn more(&mut self) -> io::Result<Vec<u8>> {
        self.grown.borrow_and_update();
        let wanted = self.reached.unwrap_or(self.from);
        let page = self.log.page(wanted, PIECE)?;
        let mut piece = Vec::new();
        if page.offset > wanted {
            piece = format!("[{} bytes were thrown away before they could be shown]\n", page.offset - wanted).into();
        } else if page.offset < wanted && self.reached.is_some() {
            piece = format!("[the last {} bytes were taken back, and may come again]\n", wanted - page.offset).into();
        }
        self.reached = Some(page.offset + page.text.len() as u64);
        piece.extend(page.text);
        Ok(piece)
    }

    /// Returns when there may be more.
    pub async fn grown(&mut self) {
        if self.grown.changed().await.is_err() {
            // Never: we hold the log.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::super::kept_log::Bounds;
    use super::*;

    fn text(follower: &mut LogFollower) -> String {
        String::from_utf8(follower.more().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn nothing_is_missed_over_a_turn_of_files_and_what_was_lost_or_taken_back_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = KeptLog::bounded(&folder.path().join("log"), Bounds { bytes: 20, files: 2 }).unwrap();
        let mut follower = LogFollower::new(&log, 0);
        assert_eq!(text(&mut follower), "");
        let mut seen = String::new();
        for number in 0..40 {
            log.line(&format!("line {number:04}"));
            follower.grown().await;
            seen.push_str(&text(&mut follower));
        }
        let expected = (0..40).map(|number| format!("line {number:04}\n")).collect::<Vec<_>>().concat();
        assert_eq!(seen, expected);
        for number in 40..50 {
            log.line(&format!("line {number:04}"));
        }
        let rest = text(&mut follower);
        let (told, lines) = rest.split_once('\n').unwrap();
        let lost = 100 - lines.len();
        assert_eq!(told, format!("[{lost} bytes were thrown away before they could be shown]"));
        assert!(lost > 0 && lines.ends_with("line 0049\n"), "{rest}");
        log.cut(log.length() - 10);
        assert_eq!(text(&mut follower), "[the last 10 bytes were taken back, and may come again]\n");
        log.line("line 0049");
        assert_eq!(text(&mut follower), "line 0049\n");
        assert_eq!(text(&mut LogFollower::new(&log, 1_000_000)), "", "what is not there yet");
    }
}
