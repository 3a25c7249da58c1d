//! Reads a kept log from its start, and on as it grows.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use tokio::sync::watch;

use super::KeptLog;
use super::kept_log::{self, Mark};

/// Stands where lines were thrown away before they were read.
const LOST: &str = "[some lines were thrown away before they could be shown]";

/// A reader of a kept log. The files are local and what is read of them at once is little, so it reads where it is called.
#[derive(Debug)]
pub struct LogReader {
    /// Lines that were taken out already.
    ready: VecDeque<String>,
    files: VecDeque<BufReader<File>>,
    /// A line that is not whole yet.
    partial: Vec<u8>,
    along: Option<Along>,
}

/// What it takes to read on as the log grows.
#[derive(Debug)]
struct Along {
    log: KeptLog,
    grown: watch::Receiver<Mark>,
    /// The number of the file that is read last.
    file: u64,
}

impl LogReader {
    /// Reads what a log that nobody writes holds at `path`.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        Self::new(kept_log::existing(path), None)
    }

    /// Reads a log that is being written.
    #[must_use]
    pub fn of(log: &KeptLog) -> Self {
        let grown = log.grown();
        let (files, mark) = log.files();
        Self::new(files, Some(Along { log: log.clone(), grown, file: mark.file }))
    }

    fn new(files: Vec<File>, along: Option<Along>) -> Self {
        let files = files.into_iter().map(BufReader::new).collect();
        Self { ready: VecDeque::new(), files, partial: Vec::new(), along }
    }

    /// Passes over all but the last `lines` of what is there now.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn skip_to_last(&mut self, lines: usize) -> io::Result<()> {
        let mut kept = VecDeque::new();
        while let Some(line) = self.next_line()? {
            kept.push_back(line);
            if kept.len() > lines {
                kept.pop_front();
            }
        }
        self.ready = kept;
        Ok(())
    }

    /// The next line that is there now.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            let Some(file) = self.files.front_mut() else { return Ok(None) };
            file.read_until(b'\n', &mut self.partial)?;
            if self.partial.pop_if(|last| *last == b'\n').is_some() {
                return Ok(Some(self.take_partial()));
            }
            if self.files.len() > 1 {
                self.files.pop_front();
            } else if self.along.is_some() {
                // Its file may still grow.
                if !self.turn_over()? {
                    return Ok(None);
                }
            } else {
                self.files.clear();
            }
            if self.along.is_none() && !self.partial.is_empty() {
                return Ok(Some(self.take_partial()));
            }
        }
    }

    /// Returns when there may be more.
    pub async fn grown(&mut self) {
        let Some(along) = &mut self.along else { return std::future::pending().await };
        if along.grown.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Goes on with the file that is written now, if that is another than the one read to its end.
    fn turn_over(&mut self) -> io::Result<bool> {
        let Some(along) = &mut self.along else { return Ok(false) };
        if along.grown.borrow().file == along.file {
            return Ok(false);
        }
        let Some(old) = self.files.front_mut() else { return Ok(false) };
        if !old.fill_buf()?.is_empty() {
            return Ok(true); // It grew once more before it was put aside.
        }
        let (file, mark) = along.log.newest()?;
        if mark.file > along.file + 1 {
            self.ready.push_back(LOST.to_owned());
        }
        along.file = mark.file;
        self.files = VecDeque::from([BufReader::new(file)]);
        Ok(true)
    }

    fn take_partial(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.partial)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn rest(reader: &mut LogReader) -> Vec<String> {
        std::iter::from_fn(|| reader.next_line().unwrap()).collect()
    }

    fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
        range.map(|number| format!("line {number}")).collect()
    }

    fn write(log: &KeptLog, range: std::ops::Range<u32>) {
        for line in numbers(range) {
            log.line(&line);
        }
    }

    #[test]
    fn what_was_written_is_read_by_those_who_come_later_and_no_more_is_kept_than_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.log");
        let log = KeptLog::bounded(&path, 100).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        write(&log, 0..1000);
        let kept: u64 = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!(kept < 250, "{kept} bytes");
        let lines = rest(&mut LogReader::of_file(&path));
        assert_eq!(lines.last().map(String::as_str), Some("line 999"));
        assert_eq!(lines, rest(&mut LogReader::of(&log)));
        let mut last = LogReader::of(&log);
        last.skip_to_last(3).unwrap();
        assert_eq!(rest(&mut last), numbers(997..1000));
        drop(log);
        KeptLog::bounded(&path, 100).unwrap().line("after a restart");
        assert_eq!(rest(&mut LogReader::of_file(&path)).last().map(String::as_str), Some("after a restart"));
    }

    #[tokio::test]
    async fn who_reads_along_misses_nothing_over_a_turn_of_files_and_is_told_of_what_was_lost() {
        let folder = tempfile::tempdir().unwrap();
        let log = KeptLog::bounded(&folder.path().join("engine.log"), 100).unwrap();
        let mut reader = LogReader::of(&log);
        for hundred in 0..10 {
            for ten in 0..10 {
                let range = (hundred * 100 + ten * 10)..(hundred * 100 + ten * 10 + 10);
                write(&log, range.clone());
                reader.grown().await;
                assert_eq!(rest(&mut reader), numbers(range));
            }
        }
        write(&log, 1000..1100);
        let lines = rest(&mut reader);
        let after = lines.iter().skip_while(|line| *line != LOST).count();
        assert!((1..20).contains(&(after - 1)), "what is left comes after the words of what is lost: {lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("line 1099"));
    }

    #[test]
    fn a_log_that_was_never_written_is_empty() {
        assert_eq!(rest(&mut LogReader::of_file(Path::new("/nowhere/engine.log"))), Vec::<String>::new());
        let log = KeptLog::nowhere();
        log.line("lost");
        assert_eq!(rest(&mut LogReader::of(&log)), Vec::<String>::new());
    }
}
