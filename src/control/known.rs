//! Which instances this user has, running or not.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::status;
use crate::api::Status;
use crate::fleet::StateFolder;
use crate::id::InstanceName;
use crate::launch::RecordFile;

/// Between two looks at a lock: it tells nobody that it was let go.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// An instance that runs, or ran.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    /// Its name.
    pub name: InstanceName,
    /// Its state folder.
    pub folder: PathBuf,
}

/// The instances that have a folder under `root`, in the order of their names.
#[must_use]
pub fn known(root: &Path) -> Vec<Known> {
    let entries = std::fs::read_dir(root).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let mut known: Vec<Known> = entries.iter().filter_map(Known::of_entry).collect();
    known.sort();
    known
}

impl Known {
    /// The one of this name, whether it has a folder or not.
    #[must_use]
    pub fn named(root: &Path, name: InstanceName) -> Self {
        Self { folder: root.join(name.as_str()), name }
    }

    fn of_entry(entry: &DirEntry) -> Option<Self> {
        let text = entry.file_name().into_string().ok()?;
        let name = InstanceName::from_text(&text).filter(|name| name.as_str() == text)?;
        // What a proxy makes first in a folder of its own.
        entry.path().join("lock").exists().then(|| Self { name, folder: entry.path() })
    }

    /// Whether a proxy of this name ran here at some time.
    #[must_use]
    pub fn has_folder(&self) -> bool {
        self.folder.is_dir()
    }

    /// Returns when the proxy of this name has ended, and another may take its place.
    pub async fn ended(&self) {
        while StateFolder::is_held(&self.folder) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Where it stands, as seen on disk, while no proxy of this name runs.
    #[must_use]
    pub fn not_running(&self) -> Status {
        status::not_running(&self.name, RecordFile::new(&self.folder).read().ok().flatten().as_ref())
    }
}
