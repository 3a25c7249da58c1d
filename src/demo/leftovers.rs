//! Processes that commands on the login host left behind.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// How long they may take to end by themselves: what followed a file notices its reader's end only at its next line.
const BY_THEMSELVES: Duration = Duration::from_secs(3);

/// How long a killed process may be seen.
const KILLED: Duration = Duration::from_secs(3);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The processes whose home is a folder that nobody else has.
#[derive(Debug)]
pub(super) struct Leftovers {
    /// As it stands in their environment.
    mark: Vec<u8>,
}

impl Leftovers {
    pub(super) fn of(home: &Path) -> Self {
        Self { mark: [b"HOME=", home.as_os_str().as_bytes()].concat() }
    }

    /// Waits until they are gone, and kills what is not. Says how many that were.
    ///
    /// # Errors
    /// Some cannot be killed, or one cannot look.
    pub(super) async fn end(&self) -> std::io::Result<usize> {
        let left = self.wait(BY_THEMSELVES).await?;
        if left.is_empty() {
            return Ok(0);
        }
        // The shell's own `kill`: there need be no other.
        let mut kill = Command::new("/bin/sh");
        kill.args(["-c", "kill -KILL \"$@\"", "sh"]).args(&left);
        kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        let still = self.wait(KILLED).await?;
        if still.is_empty() {
            return Ok(left.len());
        }
        Err(std::io::Error::other(format!("these processes cannot be ended: {}", still.join(" "))))
    }

    async fn wait(&self, patience: Duration) -> std::io::Result<Vec<String>> {
        let until = Instant::now() + patience;
        loop {
            let left = self.look()?;
            if left.is_empty() || Instant::now() >= until {
                return Ok(left);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn look(&self) -> std::io::Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let entry = entry?;
            let pid = entry.file_name().to_string_lossy().into_owned();
            // Those of other users, and those that are gone by now, cannot be read, and are not ours.
            if pid.bytes().all(|byte| byte.is_ascii_digit())
                && let Ok(environment) = std::fs::read(entry.path().join("environ"))
                && environment.split(|byte| *byte == 0).any(|variable| variable == self.mark)
            {
                found.push(pid);
            }
        }
        Ok(found)
    }
}
