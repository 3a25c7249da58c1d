//! Reads a kept log from its start, and on as it grows.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use tokio::sync::watch;

use super::KeptLog;
use super::kept_log::{self, Mark};
use crate::api::LogStream;

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
    /// Only lines of this stream; none: all.
    only: Option<LogStream>,
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
        Self { ready: VecDeque::new(), files, partial: Vec::new(), along, only: None }
    }

    /// Reads only what the engine wrote to this stream; none: all.
    #[must_use]
    pub fn only(self, only: Option<LogStream>) -> Self {
        Self { only, ..self }
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
                let line = self.take_partial();
                if self.only.is_none_or(|only| LogStream::split(&line).0 == Some(only)) {
                    return Ok(Some(line));
                }
                continue;
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

    use super::super::kept_log::Bounds;
    use super::*;

    const SMALL: Bounds = Bounds { bytes: 100, files: 2 };

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
        let log = KeptLog::bounded(&path, SMALL).unwrap();
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
        KeptLog::bounded(&path, SMALL).unwrap().line("after a restart");
        assert_eq!(rest(&mut LogReader::of_file(&path)).last().map(String::as_str), Some("after a restart"));
    }

    #[tokio::test]
    async fn who_reads_along_misses_nothing_over_a_turn_of_files_and_is_told_of_what_was_lost() {
        let folder = tempfile::tempdir().unwrap();
        let log = KeptLog::bounded(&folder.path().join("engine.log"), SMALL).unwrap();
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
    fn no_more_files_are_kept_than_may_be_and_all_of_them_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.log");
        let log = KeptLog::bounded(&path, Bounds { bytes: 100, files: 4 }).unwrap();
        write(&log, 0..1000);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
        let lines = rest(&mut LogReader::of_file(&path));
        assert!(lines.len() > 30, "{lines:?}");
        let first = 1000 - u32::try_from(lines.len()).unwrap();
        assert_eq!(lines, numbers(first..1000));
    }

    #[test]
    fn one_stream_is_read_alone() {
        let folder = tempfile::tempdir().unwrap();
        let log = KeptLog::open(&folder.path().join("engine.log")).unwrap();
        log.line("--- asked for ---");
        for (number, stream) in LogStream::ALL.into_iter().cycle().take(6).enumerate() {
            log.line(&stream.mark(&number.to_string()));
        }
        let mut reader = LogReader::of(&log).only(Some(LogStream::Stderr));
        assert_eq!(rest(&mut reader), ["stderr | 1", "stderr | 3", "stderr | 5"]);
        let mut last = LogReader::of(&log).only(Some(LogStream::Stdout));
        last.skip_to_last(1).unwrap();
        assert_eq!(rest(&mut last), ["stdout | 4"]);
    }

    #[test]
    fn a_full_disk_costs_lines_and_says_so_and_no_line_is_halved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        assert!(KeptLog::open(&path).is_err(), "a link leads elsewhere");
        let log = KeptLog::on_full_disk(&path);
        log.line("lost");
        log.line("lost");
        log.mend(&path);
        log.line("kept");
        log.line("kept, too");
        let lines = rest(&mut LogReader::of_file(&path));
        assert_eq!(lines, ["[some lines could not be written here]", "kept", "kept, too"]);
    }

    #[test]
    fn the_bound_holds_where_no_file_can_be_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.log");
        // A folder of that name that is not empty.
        std::fs::create_dir_all(folder.path().join("engine.log.1/x")).unwrap();
        let log = KeptLog::bounded(&path, SMALL).unwrap();
        write(&log, 0..1000);
        assert!(std::fs::metadata(&path).unwrap().len() < 150);
        assert_eq!(rest(&mut LogReader::of(&log)).last().map(String::as_str), Some("line 999"));
    }

    #[test]
    fn a_log_that_was_never_written_is_empty() {
        assert_eq!(rest(&mut LogReader::of_file(Path::new("/nowhere/engine.log"))), Vec::<String>::new());
        let log = KeptLog::nowhere();
        log.line("lost");
        assert_eq!(rest(&mut LogReader::of(&log)), Vec::<String>::new());
    }

    #[test]
    fn a_page_goes_on_where_the_one_before_ended_also_across_files_and_says_what_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = KeptLog::bounded(&path, Bounds { bytes: 20, files: 2 }).unwrap();
        let (mut offset, mut seen) = (0, String::new());
        for number in 0..40 {
            log.line(&format!("line {number:04}"));
            let page = log.page(offset, 7).unwrap();
            assert_eq!(page.offset, offset, "nothing of it is gone yet");
            let page = log.page(offset, 1000).unwrap();
            seen.push_str(&String::from_utf8(page.text.clone()).unwrap());
            offset += page.text.len() as u64;
            assert_eq!(page.end, offset);
        }
        let expected = (0..40).map(|number| format!("line {number:04}\n")).collect::<Vec<_>>().concat();
        assert_eq!(seen, expected);
        let from_the_start = log.page(0, 1000).unwrap();
        assert!(from_the_start.offset > 0 && expected.ends_with(&String::from_utf8(from_the_start.text).unwrap()));
        assert_eq!(log.page(offset + 5, 1000).unwrap(), crate::launch::Page { offset, text: Vec::new(), end: offset });
    }
}
