//! Which instances this user has, running or not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::status;
use crate::api::Status;
use crate::fleet::{StateFolder, left_behind};
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
    left_behind::folders(root).into_iter().map(|(name, folder)| Known { name, folder }).collect()
}

impl Known {
    /// The one of this name, whether it has a folder or not.
    #[must_use]
    pub fn named(root: &Path, name: InstanceName) -> Self {
        Self { folder: root.join(name.as_str()), name }
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
