//! What the doctor can mend itself, once somebody has seen it and said yes.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::ask::ask;
use super::permissions::take_away;
use super::{new_file, own_file};
use crate::host::quote::quote_word;
use crate::host::{self, Host, Shell};

/// What the doctor can do about a finding itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Add lines at the end of a file of this machine.
    Append {
        /// The file; made if there is none, for the user alone.
        file: PathBuf,
        /// The lines, without the last one's end.
        text: String,
    },
    /// Write a file of this machine that is not there yet, for the user alone.
    NewFile {
        /// Where.
        file: PathBuf,
        /// All of it.
        text: String,
    },
    /// Trust a server by its key from now on.
    Trust {
        /// The file of known hosts; made if there is none, for the user alone.
        file: PathBuf,
        /// The line for it.
        line: String,
        /// What a person compares.
        compared: Compared,
    },
    /// Take a file or folder of this machine away from others.
    Mode {
        /// Which, without links.
        path: PathBuf,
        /// The permissions that may stay.
        mode: u32,
    },
    /// Make a key of this user's.
    NewKey {
        /// Where; the public half goes beside it.
        file: PathBuf,
    },
    /// Let a key in on the host, over the connection that stands.
    Install {
        /// The public half.
        public: PathBuf,
    },
    /// Run something on the host, over the connection that stands.
    OnHost {
        /// What a person is shown of it.
        shown: String,
        /// All of it.
        script: String,
        /// What a person compares, where a server is trusted by it.
        trust: Option<Compared>,
    },
}

/// What a person compares before a server is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The server, as it is looked up.
    pub host: String,
    /// The SHA-256 fingerprint of the key that it shows.
    pub fingerprint: String,
    /// What that has to be; the server's name follows.
    pub with: &'static str,
}

impl Mend {
    /// What was done, once it is.
    pub(super) fn done(&self) -> String {
        match self {
            Self::Append { file, .. } => format!("lines were added to {}", file.display()),
            Self::NewFile { file, .. } => format!("{} was written", file.display()),
            Self::Trust { file, compared, .. } => {
                format!("the key of {} was added to {}", compared.host, file.display())
            }
            Self::Mode { path, .. } => format!("{} was taken away from others", path.display()),
            Self::NewKey { file } => format!("the key {} was made", file.display()),
            Self::Install { .. } => "your key was added to ~/.ssh/authorized_keys on the host".to_owned(),
            Self::OnHost { shown, .. } => format!("on the host was run: {shown}"),
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// It cannot be done; in words.
    pub(super) async fn apply(&self, host: Option<&Host>, shell: Shell) -> Result<(), String> {
        match self {
            Self::Append { file, text } | Self::Trust { file, line: text, .. } => {
                append(file, text).map_err(|error| format!("{}: {error}", file.display()))
            }
            Self::NewFile { file, text } => {
                new_file::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
            }
            Self::Mode { path, mode } => take_away(path, *mode).map_err(|error| format!("{}: {error}", path.display())),
            Self::NewKey { file } => new_key(file).await,
            Self::Install { public } => {
                let host = host.ok_or("there is no connection to the host")?;
                let line = own_file::text(public).map_err(|error| format!("{}: {error}", public.display()))?;
                install(host, shell, line.trim()).await
            }
            Self::OnHost { script, .. } => {
                let said = ask(host.ok_or("there is no connection to the host")?, shell, script).await;
                let said = said.map_err(|error| error.to_string())?;
                if said.code == 0 { Ok(()) } else { Err(said.stderr) }
            }
        }
    }
}

fn append(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let begin = match own_file::text(file) {
        Ok(old) if old.is_empty() || old.ends_with('\n') => "",
        Ok(_) => "\n",
        Err(error) if error.kind() == io::ErrorKind::NotFound => "",
        // To add to a pipe would wait for somebody who reads it.
        Err(error) => return Err(error),
    };
    let mut open = OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    open.write_all(format!("{begin}{text}\n").as_bytes())?;
    open.sync_data()
}

/// By OpenSSH's own program: what it writes is what `ssh` reads.
async fn new_key(file: &Path) -> Result<(), String> {
    if file.exists() {
        return Err(format!("{} is there already", file.display()));
    }
    if let Some(folder) = file.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file).stdin(Stdio::null());
    let output = command.output().await.map_err(|error| format!("ssh-keygen (of OpenSSH): {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// Once only, and so that sshd's `StrictModes` is content.
async fn install(host: &Host, shell: Shell, line: &str) -> Result<(), String> {
    let line = quote_word(line).map_err(|error| error.to_string())?;
    let script = format!(
        "umask 077; cd || exit; mkdir -p .ssh && chmod 700 .ssh && touch .ssh/authorized_keys &&\n\
         chmod 600 .ssh/authorized_keys || exit\n\
         grep -qxF -e {line} .ssh/authorized_keys && exit\n\
         {}",
        host::append(&format!("printf '%s\\n' {line}"), ".ssh/authorized_keys")
    );
    let said = ask(host, shell, &script).await.map_err(|error| error.to_string())?;
    if said.code == 0 { Ok(()) } else { Err(said.stderr) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::host::LocalHost;

    #[tokio::test]
    async fn what_is_added_stands_on_lines_of_its_own_for_the_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".ssh/known_hosts");
        let mend = |text: &str| Mend::Append { file: file.clone(), text: text.to_owned() };
        mend("a b").apply(None, Shell::Posix).await.unwrap();
        fs::write(&file, "no end").unwrap();
        mend("c d").apply(None, Shell::Posix).await.unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "no end\nc d\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(folder.path().join(".ssh")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    /// It would wait for somebody who reads it.
    #[tokio::test]
    async fn nothing_is_added_to_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
        let mend = Mend::Append { file, text: "a b".to_owned() };
        assert!(mend.apply(None, Shell::Posix).await.unwrap_err().contains("it is a pipe"));
    }

    #[tokio::test]
    async fn a_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let mend = Mend::NewKey { file: folder.path().join("new/id_ed25519") };
        mend.apply(None, Shell::Posix).await.unwrap();
        assert!(folder.path().join("new/id_ed25519.pub").exists());
        assert!(mend.apply(None, Shell::Posix).await.is_err());
    }

    #[tokio::test]
    async fn without_a_connection_no_key_is_installed() {
        let mend = Mend::Install { public: PathBuf::from("/nowhere") };
        assert!(mend.apply(None, Shell::Posix).await.is_err());
        let here = Host::Local(LocalHost);
        assert!(mend.apply(Some(&here), Shell::Posix).await.is_err(), "there is no such key");
    }
}
