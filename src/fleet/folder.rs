//! An instance's state folder, which one process at a time may hold.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{geteuid, gethostname};

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
    #[error("an instance named {name} already runs here ({holder})")]
    Held {
        /// The instance.
        name: InstanceName,
        /// Who holds it, in its own words: a home folder may be several machines'.
        holder: String,
    },
    /// It is not ours alone.
    #[error("the state folder {} {fault}", path.display())]
    NotOurs {
        /// Which folder.
        path: PathBuf,
        /// What it is.
        fault: NotOurs,
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

/// Why a folder cannot be trusted with what is private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// Somebody else may lead it elsewhere.
    #[error("is a link, and not a folder")]
    Link,
    /// Somebody else may do with it as they like.
    #[error("belongs to another user (uid {owner})")]
    Owner {
        /// To whom.
        owner: u32,
    },
}

impl StateFolder {
    /// Makes the folder of this instance under `root` if need be, and sees that it is its owner's alone.
    ///
    /// # Errors
    /// It cannot be made, or is not ours.
    pub fn make(root: &Path, name: &InstanceName) -> Result<PathBuf, FolderError> {
        let path = root.join(name.as_str());
        let io = |source| FolderError::Io { path: path.clone(), source };
        let not_ours = |fault| FolderError::NotOurs { path: path.clone(), fault };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(io)?;
        if path.symlink_metadata().map_err(io)?.is_symlink() {
            return Err(not_ours(NotOurs::Link));
        }
        // What is looked at is what is changed, whatever the path leads to in between.
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY).bits();
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(&path);
        let (folder, metadata) = match opened {
            Ok(folder) => folder.metadata().map(|metadata| (folder, metadata)).map_err(io)?,
            Err(error) => {
                // Closed even to us: whose it is, the path still says.
                let owner = path.symlink_metadata().map_err(io)?.uid();
                let foreign = owner != geteuid().as_raw();
                return Err(if foreign { not_ours(NotOurs::Owner { owner }) } else { io(error) });
            }
        };
        if metadata.uid() != geteuid().as_raw() {
            return Err(not_ours(NotOurs::Owner { owner: metadata.uid() }));
        }
        if metadata.mode() & 0o7777 != 0o700 {
            folder.set_permissions(Permissions::from_mode(0o700)).map_err(io)?;
        }
        Ok(path)
    }

    /// Makes the folder as [`Self::make`] does, and holds it.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn hold(root: &Path, name: &InstanceName) -> Result<Self, FolderError> {
        let path = Self::make(root, name)?;
        let io = |source| FolderError::Io { path: path.clone(), source };
        let lock = path.join("lock");
        let mut options = OpenOptions::new();
        // Nor does it lead to a file elsewhere, which would be emptied.
        options.custom_flags(OFlag::O_NOFOLLOW.bits());
        let mut file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(lock).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                drop(file.read_to_string(&mut holder));
                return Err(FolderError::Held { name: name.clone(), holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        let machine = gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        writeln!(file, "process {} on {machine}", std::process::id()).map_err(io)?;
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
            format!(
                "an instance named qwen-qwen3-8b already runs here (process {} on {})",
                std::process::id(),
                gethostname().unwrap().to_string_lossy()
            )
        );
        assert!(StateFolder::is_held(folder.path()));
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!StateFolder::is_held(&path));
        StateFolder::hold(root.path(), &name).unwrap();
    }

    #[test]
    fn a_folder_that_others_could_enter_is_closed_to_them() {
        let root = tempfile::tempdir().unwrap();
        let name = InstanceName::from_text("m").unwrap();
        std::fs::create_dir(root.path().join("m")).unwrap();
        for before in [0o777, 0o755, 0o500, 0o2770] {
            std::fs::set_permissions(root.path().join("m"), Permissions::from_mode(before)).unwrap();
            let folder = StateFolder::hold(root.path(), &name).unwrap();
            assert_eq!(std::fs::metadata(folder.path()).unwrap().mode() & 0o7777, 0o700, "{before:o}");
        }
    }

    #[test]
    fn a_link_is_refused_untouched() {
        let root = tempfile::tempdir().unwrap();
        let name = InstanceName::from_text("m").unwrap();
        let (elsewhere, path) = (root.path().join("elsewhere"), root.path().join("m"));
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::set_permissions(&elsewhere, Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let refused = StateFolder::hold(root.path(), &name).unwrap_err().to_string();
        assert_eq!(refused, format!("the state folder {} is a link, and not a folder", path.display()));
        assert_eq!(std::fs::metadata(&elsewhere).unwrap().mode() & 0o777, 0o755);
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    }

    #[test]
    fn a_lock_that_leads_elsewhere_empties_no_other_file() {
        let root = tempfile::tempdir().unwrap();
        let name = InstanceName::from_text("m").unwrap();
        let precious = root.path().join("precious");
        std::fs::write(&precious, "kept").unwrap();
        let path = StateFolder::make(root.path(), &name).unwrap();
        std::os::unix::fs::symlink(&precious, path.join("lock")).unwrap();
        assert!(matches!(StateFolder::hold(root.path(), &name), Err(FolderError::Io { .. })));
        assert_eq!(std::fs::read_to_string(precious).unwrap(), "kept");
    }
}
