//! An instance's state folder, which one process at a time may hold.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::id::InstanceName;

/// A state folder that this process holds, for as long as this value lives.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    /// The lock goes with the open file, so that a killed process leaves none behind.
    _lock: File,
}

/// A state folder cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process holds it.
    #[error("an instance named {name} already runs here (process {pid})")]
    Held {
        /// The instance.
        name: InstanceName,
        /// Who holds it, in its own words.
        pid: String,
    },
    /// It cannot be made or written.
    #[error("the state folder {} cannot be used: {source}", path.display())]
    Io {
        /// Which folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl StateFolder {
    /// Makes the folder of this instance under `root` if need be, for its owner alone, and holds it.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn hold(root: &Path, name: &InstanceName) -> Result<Self, FolderError> {
        let path = root.join(name.as_str());
        let io = |source| FolderError::Io { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(io)?;
        let lock = path.join("lock");
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(lock).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                drop(file.read_to_string(&mut pid));
                return Err(FolderError::Held { name: name.clone(), pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { path, _lock: file })
    }

    /// Whether a process holds the folder at `path`. To look takes the lock for a moment, so it is no look in passing.
    #[must_use]
    pub fn is_held(path: &Path) -> bool {
        let lock = File::open(path.join("lock"));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_holder_at_a_time_and_a_folder_for_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let name = InstanceName::from_text("Qwen/Qwen3-8B").unwrap();
        let folder = StateFolder::hold(root.path(), &name).unwrap();
        let mode = std::fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let refused = StateFolder::hold(root.path(), &name).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!("an instance named qwen-qwen3-8b already runs here (process {})", std::process::id())
        );
        assert!(StateFolder::is_held(folder.path()));
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!StateFolder::is_held(&path));
        StateFolder::hold(root.path(), &name).unwrap();
    }
}
