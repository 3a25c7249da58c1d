//! What is on disk of a life, before its job is asked for and until it is verified gone.
//!
//! Whatever dies, the next start can find the job by this: its name, its folder on the host, how far its log was read.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::id::{InstanceName, JobId, LifeId};
use crate::secret::Key;

/// The form of the file that this version writes.
pub const VERSION: u32 = 1;

/// A life on disk. The file is readable by its owner alone: it holds the engine's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// See [`VERSION`].
    pub version: u32,
    /// Whose life.
    pub instance: InstanceName,
    /// Which life; also the name of its folder on the host, and the marker in its processes' environment.
    pub life: LifeId,
    /// What frames the keeper's reports.
    pub nonce: String,
    /// The engine's key, where it has one of ours.
    pub engine_key: Option<Key>,
    /// The host, as the user calls it; none: this machine.
    pub host: Option<String>,
    /// The name of its job, where Slurm starts it.
    pub job_name: Option<String>,
    /// The machine behind the host's name that its launcher runs on, once that is known.
    #[serde(default)]
    pub machine: Option<String>,
    /// Its job's number, once Slurm gave one.
    pub job: Option<JobId>,
    /// The machine it runs on, once the keeper said so.
    pub node: Option<String>,
    /// Where its engine listens, once the keeper said so.
    pub port: Option<u16>,
    /// The path of the Unix socket that it listens on instead.
    #[serde(default)]
    pub socket: Option<String>,
    /// How much of its log was read.
    pub log_offset: u64,
    /// How long it goes on after the last word, in seconds.
    pub lease_s: u64,
    /// The last word of the lease that was sent.
    pub lease_word: u64,
}

/// The file of an instance's record.
#[derive(Clone, Debug)]
pub struct RecordFile {
    path: PathBuf,
}

impl RecordFile {
    /// The record in this instance's state folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join("life.json") }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the record whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, record: &Record) -> std::io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        // A temporary file is made with mode 0600, and keeps it when it takes its place.
        let mut file = NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, record)?;
        file.write_all(b"\n")?;
        file.as_file().sync_data()?;
        file.persist(&self.path)?;
        Ok(())
    }

    /// Reads the record of a life that an earlier process did not see to its end.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is not of a form that this version knows.
    pub fn read(&self) -> std::io::Result<Option<Record>> {
        match std::fs::read(&self.path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Forgets a life that is verified gone.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn remove(&self) -> std::io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = RecordFile::new(folder.path());
        assert!(file.read().unwrap().is_none());
        let record = Record {
            version: VERSION,
            instance: InstanceName::from_text("tiny").unwrap(),
            life: LifeId::random().unwrap(),
            nonce: "n".into(),
            engine_key: Some(Key::new("k")),
            host: Some("login".into()),
            job_name: Some("llm-proxy-tiny".into()),
            machine: Some("login1".into()),
            job: Some(JobId(7)),
            node: None,
            port: None,
            socket: None,
            log_offset: 12,
            lease_s: 600,
            lease_word: 3,
        };
        file.write(&record).unwrap();
        let mode = std::fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = file.read().unwrap().unwrap();
        assert_eq!(read.engine_key.unwrap().expose(), "k");
        assert_eq!((read.life, read.job, read.log_offset), (record.life, record.job, 12));
        file.remove().unwrap();
        file.remove().unwrap();
        assert!(file.read().unwrap().is_none());
    }
}
