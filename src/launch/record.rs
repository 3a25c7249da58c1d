//! What is on disk of a life, before its job is asked for and until it is verified gone.
//!
//! Whatever dies, the next start can find the job by this: its name, its folder on the host, how far its log was read.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Fingerprint, Share, Starter, write_whole};
use crate::host::Shell;
use crate::id::{InstanceName, JobId, LifeId};
use crate::secret::Key;
use crate::ssh::SshOptions;

/// The form of the file that this version writes, and the only one that it reads.
pub const VERSION: u32 = 2;

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
    /// How its host is reached; none: this machine.
    pub login: Option<SshOptions>,
    /// Which shell reads our scripts there.
    pub shell: Shell,
    /// Who starts it: under which name its job is found.
    pub starter: Starter,
    /// What it runs.
    pub plan: Fingerprint,
    /// The machine behind the host's name that its launcher runs on, once that one is asked to start it.
    pub machine: Option<String>,
    /// Its job's number, once Slurm gave one.
    pub job: Option<JobId>,
    /// The machine it runs on, once the keeper said so.
    pub node: Option<String>,
    /// How much of its log was read.
    pub log: LogMark,
    /// How long it goes on after the last word, in seconds.
    pub lease_s: u64,
    /// The last word of the lease that was sent.
    pub lease_word: u64,
    /// How long its engine may take to end by itself, in seconds.
    pub stop_s: u64,
    /// Whether it was ordered to end.
    pub ending: bool,
    /// What it has of this machine; nothing where who wrote this did not say.
    #[serde(default)]
    pub share: Option<Share>,
}

/// A place in a life's log where a line ends, and the same place in what is kept of it here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogMark {
    /// Bytes of the log before it, on the host.
    pub offset: u64,
    /// Bytes of the kept log's newest file before it.
    pub kept: u64,
    /// Which file that is: its inode.
    #[serde(default)]
    pub inode: u64,
}

impl Record {
    /// The host, as the user calls it; none: this machine.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.destination.as_str())
    }

    /// Whether a host may have been asked to start it: before that, nothing of it is anywhere else.
    #[must_use]
    pub fn was_asked_for(&self) -> bool {
        self.machine.is_some()
    }
}

/// A record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read, or not be moved.
    #[error("{} cannot be used: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another version of this program wrote it.
    #[error("{} was written by another version of llm-proxy (form {found}; this one knows form {VERSION})", path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// The form that it has.
        found: u32,
    },
    /// It is not a record.
    #[error("{} is no record of a life: {source}", path.display())]
    Form {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// How the names of records begin that were set aside.
const SET_ASIDE: &str = "orphan-";

/// What each version writes.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
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

    /// The records in this folder of lives that nobody goes on with.
    #[must_use]
    pub fn set_aside_in(folder: &Path) -> Vec<Self> {
        let entries =
            std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
        entries.iter().map(|entry| Self { path: entry.path() }).filter(Self::is_set_aside).collect()
    }

    /// Whether it is of a life that is not gone on with.
    #[must_use]
    pub fn is_set_aside(&self) -> bool {
        self.path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(SET_ASIDE.as_bytes()))
    }

    /// Keeps the record of a life that is not gone on with, beside those to come.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn set_aside(&self, record: &Record) -> Result<(), RecordError> {
        let aside = self.path.with_file_name(format!("{SET_ASIDE}{}.json", record.life.as_str()));
        std::fs::rename(&self.path, aside).map_err(|source| RecordError::Io { path: self.path.clone(), source })
    }

    /// Writes the record whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, record: &Record) -> std::io::Result<()> {
        write_whole(&self.path, record)
    }

    /// Reads the record of a life that an earlier process did not see to its end.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is not of a form that this version knows.
    pub fn read(&self) -> Result<Option<Record>, RecordError> {
        let path = || self.path.clone();
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(RecordError::Io { path: path(), source }),
        };
        let form = |source| RecordError::Form { path: path(), source };
        match serde_json::from_slice(&bytes).map_err(form)? {
            Versioned { version: VERSION } => serde_json::from_slice(&bytes).map(Some).map_err(form),
            Versioned { version } => Err(RecordError::Version { path: path(), found: version }),
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
    use crate::id::GpuIndex;
    use crate::launch::AskedBy;
    use crate::slurm::{JobName, SrunArgs};

    #[test]
    fn a_record_comes_back_as_it_was_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = RecordFile::new(folder.path());
        assert!(file.read().unwrap().is_none());
        let record = record();
        file.write(&record).unwrap();
        let mode = std::fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = file.read().unwrap().unwrap();
        assert_eq!((read.engine_key.unwrap().expose(), &read.share), ("k", &record.share));
        assert_eq!(
            (read.life, read.job, read.log, read.starter),
            (record.life, record.job, record.log, record.starter)
        );
        file.remove().unwrap();
        file.remove().unwrap();
        assert!(file.read().unwrap().is_none());
    }

    #[test]
    fn a_record_of_before_there_were_shares_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = RecordFile::new(folder.path());
        let mut written = serde_json::to_value(record()).unwrap();
        written.as_object_mut().unwrap().remove("share").unwrap();
        std::fs::write(file.path(), written.to_string()).unwrap();
        assert_eq!(file.read().unwrap().unwrap().share, None);
    }

    #[test]
    fn what_another_version_wrote_is_not_read_as_ours() {
        let folder = tempfile::tempdir().unwrap();
        let file = RecordFile::new(folder.path());
        let newer = r#"{"version": 3, "lives": []}"#;
        std::fs::write(file.path(), newer).unwrap();
        assert!(matches!(file.read(), Err(RecordError::Version { found: 3, .. })));
        for text in ["", "[]", r#"{"version": 2}"#] {
            std::fs::write(file.path(), text).unwrap();
            assert!(matches!(file.read(), Err(RecordError::Form { .. })), "{text}");
        }
    }

    fn record() -> Record {
        let instance = InstanceName::from_text("tiny").unwrap();
        Record {
            version: VERSION,
            life: LifeId::random().unwrap(),
            nonce: "n".into(),
            engine_key: Some(Key::new("k")),
            login: Some(SshOptions::new("login")),
            shell: Shell::Posix,
            starter: Starter::Slurm {
                asked_by: AskedBy::Sbatch,
                args: SrunArgs::new(Some("--mem=1G -M far"), &[]).unwrap(),
                job_name: JobName::new("me", "laptop", &instance),
            },
            plan: Fingerprint::default(),
            machine: Some("login1".into()),
            job: Some(JobId(7)),
            node: None,
            log: LogMark { offset: 12, kept: 9, inode: 3 },
            lease_s: 600,
            lease_word: 3,
            stop_s: 60,
            ending: false,
            share: Some(Share { gpus: vec![GpuIndex(1)], port: Some(9000) }),
            instance,
        }
    }
}
