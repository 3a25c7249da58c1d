//! A login host and all that belongs to it, in one temporary folder that goes with it.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::LineEnding;
use russh::keys::{PrivateKey, PublicKeyBase64};
use tempfile::TempDir;

use super::leftovers::Leftovers;
use super::login_host::{LoginHost, LoginPlan};
use super::outward::{Nodes, Outward};
use super::remote_command::Surroundings;
use super::stand_ins;
use crate::ssh::{SshHome, SshOptions, new_key};

/// What the host is called in the SSH configuration beside it.
const HOST: &str = "demo-login";

/// Who logs in.
const USER: &str = "demo";

/// Where programs are, for who has no `PATH`.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The folders inside the temporary one.
const LAPTOP: &str = "laptop";
const CLUSTER_HOME: &str = "cluster/home";
const CLUSTER_BIN: &str = "cluster/bin";
const CLUSTER_JOBS: &str = "cluster/jobs";

/// A far end cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FarEndError {
    /// Its folder.
    #[error("no temporary folder can be made under {}: {source}", parent.display())]
    Folder {
        /// Where it would be.
        parent: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file in it, or its socket.
    #[error("the login host cannot be set up: {0}")]
    SetUp(#[from] std::io::Error),
    /// Its keys.
    #[error("no SSH key can be made: {0}")]
    Key(#[from] russh::keys::ssh_key::Error),
    /// Randomness.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// A login host in this process, and what a user of it has at home.
#[derive(Debug)]
pub struct FarEnd {
    folder: TempDir,
    login: LoginHost,
}

impl FarEnd {
    /// A login host whose one node is this machine.
    ///
    /// # Errors
    /// See [`FarEndError`].
    pub async fn start() -> Result<Self, FarEndError> {
        Self::with(Nodes { names: vec![stand_ins::NODE.to_owned()] }).await
    }

    /// A login host whose streams lead elsewhere.
    ///
    /// # Errors
    /// See [`FarEndError`].
    pub async fn with(outward: impl Outward) -> Result<Self, FarEndError> {
        let parent = std::env::temp_dir();
        let folder = tempfile::Builder::new()
            .prefix("llm-proxy-demo-")
            // It would be as open as the umask allows.
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(|source| FarEndError::Folder { parent, source })?;
        // Links in the way would make of one folder two names.
        let root = folder.path().canonicalize()?;
        for part in [LAPTOP, CLUSTER_HOME] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join(part))?;
        }
        let home = root.join(CLUSTER_HOME);
        stand_ins::write(&root.join(CLUSTER_BIN), &root.join(CLUSTER_JOBS))?;
        let (host_key, user_key) = (new_key()?, new_key()?);
        let login = LoginHost::start(LoginPlan {
            host_key: host_key.clone(),
            user: USER.to_owned(),
            user_key: user_key.public_key().clone(),
            surroundings: Surroundings { environment: environment(&home, &root.join(CLUSTER_BIN)), home },
            outward,
        })
        .await?;
        write_ssh_files(&SshHome::below(&root.join(LAPTOP), USER).ssh_dir, &login, &host_key, &user_key)?;
        Ok(Self { folder, login })
    }

    /// How a client reaches it: with a configuration, a key and known hosts of its own.
    #[must_use]
    pub fn ssh_options(&self) -> SshOptions {
        let laptop = self.folder.path().join(LAPTOP);
        let mut options = SshOptions { home: SshHome::below(&laptop, USER), ..SshOptions::new(HOST) };
        options.limits.disk_dir = Some(laptop);
        options
    }

    /// Where this program keeps its state, as long as the far end is there.
    #[must_use]
    pub fn state_root(&self) -> PathBuf {
        self.folder.path().join(LAPTOP).join("state")
    }

    /// The one folder that anything is written to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The SSH server.
    #[must_use]
    pub fn login(&self) -> &LoginHost {
        &self.login
    }

    /// Whether programs in its folder may be run at all.
    ///
    /// # Errors
    /// They may not, or there is no shell.
    pub fn try_stand_ins(&self) -> std::io::Result<()> {
        let srun = self.folder.path().join(CLUSTER_BIN).join("srun");
        let output = std::process::Command::new(srun).arg("--version").output()?;
        if output.status.success() { Ok(()) } else { Err(std::io::Error::other("a shell script does not run")) }
    }

    /// Ends the login host and what runs on it, and removes the folder. Says how many processes had to be killed.
    ///
    /// # Errors
    /// Something is left: a process, or the folder.
    pub async fn end(self) -> std::io::Result<usize> {
        let Self { folder, login } = self;
        let root = folder.path().canonicalize()?;
        login.end().await;
        let killed = Leftovers::of(&root.join(CLUSTER_HOME)).end().await?;
        folder.close()?;
        Ok(killed)
    }
}

/// The whole environment of commands there. Temporary files of theirs stay in the folder, too.
fn environment(home: &Path, bin: &Path) -> Vec<(OsString, OsString)> {
    let usual = std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| USUAL_PATH.into());
    let mut path = bin.as_os_str().to_owned();
    path.push(":");
    path.push(usual);
    let folder = |path: PathBuf| path.into_os_string();
    vec![
        ("HOME".into(), home.into()),
        ("XDG_STATE_HOME".into(), folder(home.join("state"))),
        ("TMPDIR".into(), home.into()),
        ("USER".into(), USER.into()),
        ("LANG".into(), "C.UTF-8".into()),
        ("PATH".into(), path),
    ]
}

fn write_ssh_files(
    folder: &Path,
    login: &LoginHost,
    host_key: &PrivateKey,
    user_key: &PrivateKey,
) -> Result<(), FarEndError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let (address, port) = (login.address().ip(), login.address().port());
    let config = format!("Host {HOST}\n  HostName {address}\n  Port {port}\n  User {USER}\n");
    let known = format!("[{address}]:{port} ssh-ed25519 {}\n", host_key.public_key_base64());
    for (name, text) in [
        ("config", config.as_str()),
        ("known_hosts", known.as_str()),
        ("id_ed25519", user_key.to_openssh(LineEnding::LF)?.as_str()),
    ] {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name))?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}
