//! What earlier processes did not see to its end: this instance's own life, which is gone on with, and what only
//! `llm-proxy stop --orphans` ends.

use std::path::{Path, PathBuf};

use super::{Orphan, StateFolder};
use crate::id::InstanceName;
use crate::launch::{LeftBehind, Plan, Record, RecordError, RecordFile};

/// The instances that have a folder under `root`, and the folders, in the order of their names.
#[must_use]
pub fn folders(root: &Path) -> Vec<(InstanceName, PathBuf)> {
    let entries = std::fs::read_dir(root).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let named = entries.into_iter().filter_map(|entry| {
        let text = entry.file_name().into_string().ok()?;
        let name = InstanceName::from_text(&text).filter(|name| name.as_str() == text)?;
        // What a proxy makes first in a folder of its own.
        entry.path().join("lock").exists().then(|| (name, entry.path()))
    });
    let mut folders: Vec<_> = named.collect();
    folders.sort();
    folders
}

/// Every life under `root` that no process looks after, and the files that cannot be read.
#[must_use]
pub fn orphans(root: &Path) -> (Vec<Orphan>, Vec<RecordError>) {
    let (mut orphans, mut unreadable) = (Vec::new(), Vec::new());
    for (_, folder) in folders(root) {
        let looked_after = StateFolder::is_held(&folder);
        let own = (!looked_after).then(|| RecordFile::new(&folder));
        for file in own.into_iter().chain(RecordFile::set_aside_in(&folder)) {
            match file.read() {
                Ok(Some(record)) if record.was_asked_for() => orphans.push(Orphan { file, record }),
                Ok(_) => {}
                Err(error) => unreadable.push(error),
            }
        }
    }
    (orphans, unreadable)
}

/// The life that an earlier process of this instance left behind, where this one goes on with it. What there is to say of
/// it is added to `told`.
///
/// # Errors
/// Its record cannot be read, and is not to be written over.
pub fn take(
    file: &RecordFile,
    host: Option<&str>,
    plan: &Plan,
    told: &mut Vec<String>,
) -> Result<Option<Record>, RecordError> {
    let Some(record) = file.read()?.filter(Record::was_asked_for) else { return Ok(None) };
    let orphan = Orphan { file: file.clone(), record };
    if orphan.record.host() != host {
        // Its host may never answer again, and nobody waits here for that.
        file.set_aside(&orphan.record)?;
        told.push(orphan.to_string());
        return Ok(None);
    }
    let what = orphan.what();
    told.push(match LeftBehind::of(&orphan.record, plan) {
        LeftBehind::GoesOn => format!("{what} was left behind by an earlier run: it is used again"),
        LeftBehind::WasEnding => format!("{what} was being ended by an earlier run: it is seen to its end"),
        LeftBehind::OtherPlan => format!(
            "{what} was left behind by an earlier run, with another command or with other settings: it is ended before a \
             new one is started"
        ),
    });
    Ok(Some(orphan.record))
}

/// What there is to say of lives that other instances left behind.
#[must_use]
pub fn of_others(root: &Path, ours: &[InstanceName]) -> Vec<String> {
    let (orphans, unreadable) = orphans(root);
    let others = orphans.iter().filter(|orphan| !ours.contains(&orphan.record.instance)).map(ToString::to_string);
    others.chain(unreadable.iter().map(ToString::to_string)).collect()
}
