//! Small files of ours that are written whole or not at all.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::beside;

/// Puts a value as JSON into the place of the file at `path`, for its owner alone. It outlives a machine that loses its power.
/// Who calls it waits for the disk, and nobody else does.
///
/// # Errors
/// The folder cannot be written.
pub fn write_whole(path: &Path, value: &impl Serialize) -> io::Result<()> {
    beside::the_streams(|| write(path, value))
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "a test fails loudly")]

    use super::*;

    #[tokio::test]
    async fn it_writes_in_any_runtime() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record");
        write_whole(&path, &"here").expect("it is written");
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "\"here\"\n");
    }
}
