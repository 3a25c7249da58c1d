//! A log that is kept on disk for whoever asks later, in bounds: one file, and the one before it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Bytes of one file: two of them hold the whole start of an engine that says much.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// A log on disk. Cloning it shares it.
#[derive(Clone, Debug)]
pub struct KeptLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    bound: u64,
    open: Mutex<Open>,
    /// How far it was written, for those who read along.
    grown: watch::Sender<Mark>,
}

#[derive(Debug)]
struct Open {
    /// None where it cannot be written: what is logged is lost, and nothing else is.
    file: Option<File>,
    mark: Mark,
}

/// A place in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// How many files came before this one.
    pub(super) file: u64,
    /// Bytes in it.
    pub(super) length: u64,
}

impl KeptLog {
    /// Opens the log, and writes on where it ended.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::bounded(path, FILE_BYTES)
    }

    /// A log of which nothing is kept.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::new(PathBuf::new(), 0, None, 0)
    }

    pub(super) fn bounded(path: &Path, bound: u64) -> io::Result<Self> {
        let file = append(path)?;
        let length = file.metadata()?.len();
        Ok(Self::new(path.to_owned(), bound, Some(file), length))
    }

    fn new(path: PathBuf, bound: u64, file: Option<File>, length: u64) -> Self {
        let mark = Mark { file: 0, length };
        Self(Arc::new(Inner { path, bound, open: Mutex::new(Open { file, mark }), grown: watch::Sender::new(mark) }))
    }

    /// Adds one line. Where the disk is full it is lost.
    pub fn line(&self, line: &str) {
        let mut open = self.open_file();
        if open.mark.length > self.0.bound
            && std::fs::rename(&self.0.path, before(&self.0.path)).is_ok()
            && let Ok(file) = append(&self.0.path)
        {
            open.file = Some(file);
            open.mark = Mark { file: open.mark.file + 1, length: 0 };
        }
        let Some(file) = &mut open.file else { return };
        // One write for a whole line, so that no reader sees half of it.
        let bytes = format!("{line}\n");
        if file.write_all(bytes.as_bytes()).is_ok() {
            open.mark.length += bytes.len() as u64;
            self.0.grown.send_replace(open.mark);
        }
    }

    /// Bytes of the file that is being written.
    pub(super) fn length(&self) -> u64 {
        self.open_file().mark.length
    }

    /// Forgets what was written after the first `length` bytes of the newest file.
    pub(super) fn cut(&self, length: u64) {
        let mut open = self.open_file();
        let Some(file) = &open.file else { return };
        if length < open.mark.length && file.set_len(length).is_ok() {
            open.mark.length = length;
        }
    }

    /// The files that hold it now, oldest first, and the place of their end.
    pub(super) fn files(&self) -> (Vec<File>, Mark) {
        let open = self.open_file();
        let files = if open.file.is_some() { existing(&self.0.path) } else { Vec::new() };
        (files, open.mark)
    }

    /// The file that is being written, and the place of its end.
    pub(super) fn newest(&self) -> io::Result<(File, Mark)> {
        let open = self.open_file();
        Ok((File::open(&self.0.path)?, open.mark))
    }

    /// How it grows.
    pub(super) fn grown(&self) -> watch::Receiver<Mark> {
        self.0.grown.subscribe()
    }

    fn open_file(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files of the log at `path`, oldest first.
pub(super) fn existing(path: &Path) -> Vec<File> {
    [before(path), path.to_owned()].iter().filter_map(|path| File::open(path).ok()).collect()
}

fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}
