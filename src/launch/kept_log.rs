//! A log that is kept on disk for whoever asks later, in bounds: one file, and those before it.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::fcntl::OFlag;
use tokio::sync::watch;
use tracing::warn;

/// Bytes of one file: one of them holds the whole start of an engine that says much.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// How many files there are at most, the one that is written among them: some days of an engine that serves.
const FILES: usize = 5;

/// Stands where lines could not be written.
const UNWRITTEN: &str = "[some lines could not be written here]";

/// A log on disk. Cloning it shares it.
#[derive(Clone, Debug)]
pub struct KeptLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    bounds: Bounds,
    open: Mutex<Open>,
    /// How far it was written, for those who read along.
    grown: watch::Sender<Mark>,
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where it begins.
    pub offset: u64,
    /// What it says.
    pub text: Vec<u8>,
    /// Where the log ends now.
    pub end: u64,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of one file; the line that passes it is the last.
    pub(super) bytes: u64,
    /// Files in all.
    pub(super) files: usize,
}

#[derive(Debug)]
struct Open {
    /// None where nothing is kept.
    file: Option<File>,
    mark: Mark,
    /// Whether the last line could not be written.
    failing: bool,
    /// Bytes that were thrown away since the log was opened.
    gone: u64,
    /// Which file it is; 0: none.
    inode: u64,
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
        Self::bounded(path, Bounds { bytes: FILE_BYTES, files: FILES })
    }

    /// A log of which nothing is kept.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::new(PathBuf::new(), Bounds { bytes: 0, files: 0 }, None, 0)
    }

    pub(super) fn bounded(path: &Path, bounds: Bounds) -> io::Result<Self> {
        let file = append(path)?;
        let length = file.metadata()?.len();
        Ok(Self::new(path.to_owned(), bounds, Some(file), length))
    }

    fn new(path: PathBuf, bounds: Bounds, file: Option<File>, length: u64) -> Self {
        let mark = Mark { file: 0, length };
        let inode = inode_of(file.as_ref());
        let open = Mutex::new(Open { file, mark, failing: false, gone: 0, inode });
        Self(Arc::new(Inner { path, bounds, open, grown: watch::Sender::new(mark) }))
    }

    /// Adds one line. Where the disk is full it is lost, which is said once.
    pub fn line(&self, line: &str) {
        let mut open = self.open_file();
        if open.mark.length > self.0.bounds.bytes {
            self.turn(&mut open);
        }
        let Open { file: Some(file), mark, failing, .. } = &mut *open else { return };
        let gap = if *failing { format!("{UNWRITTEN}\n") } else { String::new() };
        // One write for a whole line, so that no reader sees half of it.
        let bytes = format!("{gap}{line}\n");
        match file.write_all(bytes.as_bytes()) {
            Ok(()) => {
                mark.length += bytes.len() as u64;
                *failing = false;
                self.0.grown.send_replace(*mark);
            }
            Err(error) => {
                // What of it had room would be half a line.
                drop(file.set_len(mark.length));
                let first = !std::mem::replace(failing, true);
                // Whoever is warned may write to a log like this one.
                drop(open);
                if first {
                    warn!("{} cannot be written, and lines are lost until it can be: {error}", self.0.path.display());
                }
            }
        }
    }

    /// Begins a new file. Where the one before it cannot be put aside, it is emptied: the bound holds.
    fn turn(&self, open: &mut Open) {
        let path = &self.0.path;
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        let oldest = length(&aged(path, self.0.bounds.files.saturating_sub(1)));
        let newest = length(path);
        for age in (1..self.0.bounds.files.saturating_sub(1)).rev() {
            drop(std::fs::rename(aged(path, age), aged(path, age + 1)));
        }
        let turned = self.0.bounds.files > 1 && std::fs::rename(path, aged(path, 1)).is_ok();
        if turned && let Ok(file) = append(path) {
            open.inode = inode_of(Some(&file));
            open.file = Some(file);
            open.gone += oldest;
        } else if open.file.as_ref().is_none_or(|file| file.set_len(0).is_err()) {
            return;
        } else {
            open.gone += newest;
        }
        open.mark = Mark { file: open.mark.file + 1, length: 0 };
    }

    /// What is kept from `offset` on, at most `most` bytes. Offsets count the bytes of the log since it was opened, with what was
    /// there then; where `offset` is no more, or not yet, the page begins at what there is next.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn page(&self, offset: u64, most: usize) -> io::Result<Page> {
        let (files, gone) = {
            let open = self.open_file();
            (if open.file.is_some() { existing(&self.0.path) } else { Vec::new() }, open.gone)
        };
        let mut begins = gone;
        let (mut from, mut text) = (None, Vec::new());
        for file in files {
            let length = file.metadata()?.len();
            let ends = begins + length;
            if text.len() < most && offset < ends {
                let start = offset.max(begins);
                from.get_or_insert(start);
                let room = most - text.len();
                let mut piece = vec![0; usize::try_from(ends - start).unwrap_or(usize::MAX).min(room)];
                file.read_exact_at(&mut piece, start - begins)?;
                text.append(&mut piece);
            }
            begins = ends;
        }
        Ok(Page { offset: from.unwrap_or(begins), text, end: begins })
    }

    /// Bytes of the file that is being written.
    pub(super) fn length(&self) -> u64 {
        self.open_file().mark.length
    }

    /// Which file is being written, whatever it is called; 0: none.
    pub(super) fn inode(&self) -> u64 {
        self.open_file().inode
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

    /// A log whose disk is full.
    #[cfg(test)]
    pub(super) fn on_full_disk(path: &Path) -> Self {
        let full = OpenOptions::new().append(true).open("/dev/full").ok();
        Self::new(path.to_owned(), Bounds { bytes: FILE_BYTES, files: FILES }, full, 0)
    }

    /// There is room again.
    #[cfg(test)]
    pub(super) fn mend(&self, path: &Path) {
        drop(std::fs::remove_file(path));
        self.open_file().file = append(path).ok();
    }

    fn open_file(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn inode_of(file: Option<&File>) -> u64 {
    file.and_then(|file| file.metadata().ok()).map_or(0, |found| found.ino())
}

/// The files of the log at `path`, oldest first.
pub(super) fn existing(path: &Path) -> Vec<File> {
    let aged = (1..FILES).rev().map(|age| aged(path, age));
    let is_file = |file: &File| file.metadata().is_ok_and(|metadata| metadata.is_file());
    aged.chain([path.to_owned()]).filter_map(|path| File::open(path).ok().filter(is_file)).collect()
}

/// The file that was written so many files ago.
fn aged(path: &Path, age: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

/// Its owner's alone, also where somebody made it before us; and no link that leads elsewhere.
fn append(path: &Path) -> io::Result<File> {
    let file =
        OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}
