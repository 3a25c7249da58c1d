//! An input, taken apart, and the home of a user who has it.
#![expect(clippy::expect_used, reason = "whoever calls this wants to be stopped")]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::ssh::{SshHome, SshOptions};

/// A destination, and what stands in the file.
pub(in crate::ssh) fn apart(input: &[u8]) -> Option<(&str, &[u8])> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let (first, rest) = input.split_at_checked(end)?;
    Some((std::str::from_utf8(first).ok()?, rest.get(1..)?))
}

/// A user's files, gone with it.
pub(in crate::ssh) struct Files {
    dir: TempDir,
}

impl Files {
    pub(in crate::ssh) fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().expect("a folder for the files") };
        fs::create_dir(files.home().ssh_dir).expect("a folder for the files");
        files
    }

    pub(in crate::ssh) fn home(&self) -> SshHome {
        SshHome::below(self.dir.path(), "me")
    }

    pub(in crate::ssh) fn options(&self, destination: &str) -> SshOptions {
        SshOptions { home: self.home(), ..SshOptions::new(destination) }
    }

    pub(in crate::ssh) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.home().ssh_dir.join(name);
        fs::write(&path, content).expect("a file is written");
        path
    }
}
