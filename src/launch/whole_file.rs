//! Small files of ours that are written whole or not at all.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Puts a value as JSON into the place of the file at `path`, for its owner alone. It outlives a machine that loses its power.
/// Who calls it waits for the disk, and nobody else does.
///
/// # Errors
/// The folder cannot be written.
pub fn write_whole(path: &Path, value: &impl Serialize) -> io::Result<()> {
    beside_the_streams(|| write(path, value))
}

/// Carries out what may wait for a disk, for seconds where it is busy or far away: the tasks that share this thread go on on
/// another meanwhile.
fn beside_the_streams<R>(work: impl FnOnce() -> R) -> R {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        // A runtime of one thread carries no streams.
        Ok(_) | Err(_) => work(),
    }
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

    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn who_waits_for_the_disk_keeps_nobody_waiting() {
        let (written, disk) = mpsc::channel();
        let record = tokio::spawn(async move { beside_the_streams(|| disk.recv_timeout(Duration::from_secs(30))) });
        let stream = tokio::spawn(async move { written.send(()) });
        assert_eq!(record.await.expect("no panic"), Ok(()), "the only thread of the runtime was kept");
        stream.await.expect("no panic").expect("the disk waits");
    }

    #[tokio::test]
    async fn it_writes_in_any_runtime() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record");
        write_whole(&path, &"here").expect("it is written");
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "\"here\"\n");
    }
}
