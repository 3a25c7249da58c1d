//! Small files of ours that are written whole or not at all.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use tempfile::NamedTempFile;

/// Puts a value as JSON into the place of the file at `path`, for its owner alone. It outlives a machine that loses its power.
///
/// # Errors
/// The folder cannot be written.
pub fn write_whole(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // A temporary file is made with mode 0600, and keeps it when it takes its place.
    let mut file = NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.write_all(b"\n")?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    // Its name, too.
    File::open(folder)?.sync_all()
}
