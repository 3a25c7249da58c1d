//! Where an engine's log is kept: in its state folder, or in the folder of logs that the user names.

use std::io;
use std::path::{Path, PathBuf};

use super::{FolderError, StateFolder};
use crate::id::InstanceName;
use crate::launch::KeptLog;

/// The log's name in its folder.
const LOG: &str = "engine.log";

/// Says in the state folder where the log is, if it is elsewhere.
const ELSEWHERE: &str = "log-folder";

/// Opens the log of an instance: in a folder of its name under `logs`, which only its owner may enter, or else in its state
/// folder. What cannot be is told, and never keeps an engine from running.
pub fn open_engine_log(
    folder: &StateFolder,
    name: &InstanceName,
    logs: Option<&Path>,
    warnings: &mut Vec<String>,
) -> KeptLog {
    if let Some(logs) = logs {
        match open_elsewhere(folder.path(), name, logs) {
            Ok(log) => return log,
            Err(error) => {
                let told = format!("the engine's log cannot be kept under {}: {error}", logs.display());
                warnings.push(format!("{told}; it is kept in {}", folder.path().display()));
            }
        }
    }
    let here = forget_elsewhere(folder.path()).and_then(|()| KeptLog::open(&folder.path().join(LOG)));
    here.unwrap_or_else(|error| {
        warnings.push(format!("the engine's log cannot be kept: {error}"));
        KeptLog::nowhere()
    })
}

/// Where the log of the instance with this state folder is, or was the last time that it ran.
#[must_use]
pub fn engine_log(folder: &Path) -> PathBuf {
    let elsewhere = std::fs::read_to_string(folder.join(ELSEWHERE)).ok();
    elsewhere.map_or_else(|| folder.to_owned(), PathBuf::from).join(LOG)
}

fn open_elsewhere(state: &Path, name: &InstanceName, logs: &Path) -> io::Result<KeptLog> {
    let folder = StateFolder::make(logs, name).map_err(|error| match error {
        FolderError::NotOurs { path, fault } => io::Error::other(format!("{} {fault}", path.display())),
        FolderError::Io { source, .. } => source,
        FolderError::Held { .. } => io::Error::other(error),
    })?;
    let text = folder.to_str().ok_or_else(|| io::Error::other("its path is not UTF-8"))?;
    let log = KeptLog::open(&folder.join(LOG))?;
    std::fs::write(state.join(ELSEWHERE), text)?;
    Ok(log)
}

fn forget_elsewhere(state: &Path) -> io::Result<()> {
    match std::fs::remove_file(state.join(ELSEWHERE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_is_where_the_user_wants_it_and_found_again_there() {
        let (root, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = InstanceName::from_text("m").unwrap();
        let folder = StateFolder::hold(root.path(), &name).unwrap();
        let mut warnings = Vec::new();
        assert_eq!(engine_log(folder.path()), folder.path().join("engine.log"));
        let wanted = logs.path().join("deep/er");
        open_engine_log(&folder, &name, Some(&wanted), &mut warnings).line("there");
        assert_eq!(engine_log(folder.path()), wanted.join("m/engine.log"));
        assert_eq!(std::fs::read_to_string(wanted.join("m/engine.log")).unwrap(), "there\n");
        for (path, mode) in [("deep", 0o700), ("deep/er/m", 0o700), ("deep/er/m/engine.log", 0o600)] {
            let is = std::fs::metadata(logs.path().join(path)).unwrap().permissions().mode();
            assert_eq!(is & 0o7777, mode, "{path}");
        }
        open_engine_log(&folder, &name, None, &mut warnings).line("here");
        assert_eq!(std::fs::read_to_string(engine_log(folder.path())).unwrap(), "here\n");
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn where_it_cannot_be_the_user_is_told_and_it_is_in_the_state_folder() {
        let (root, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = InstanceName::from_text("m").unwrap();
        let folder = StateFolder::hold(root.path(), &name).unwrap();
        std::fs::write(logs.path().join("file"), "").unwrap();
        symlink("/tmp", logs.path().join("m")).unwrap();
        for (bad, why) in [("file/x", "Not a directory"), ("", "is a link, and not a folder")] {
            let mut warnings = Vec::new();
            open_engine_log(&folder, &name, Some(&logs.path().join(bad)), &mut warnings).line("kept");
            let [told] = warnings.as_slice() else { panic!("{warnings:?}") };
            assert!(told.starts_with("the engine's log cannot be kept under ") && told.contains(why), "{told}");
            assert!(told.ends_with(&format!("; it is kept in {}", folder.path().display())), "{told}");
        }
        assert_eq!(std::fs::read_to_string(engine_log(folder.path())).unwrap(), "kept\nkept\n");
    }
}
