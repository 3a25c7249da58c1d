//! Where the socket is, and how it is reached where its path is longer than an address may be.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

use crate::fleet::StateFolder;

/// The socket's name in the state folder.
const SOCKET: &str = "control.sock";

/// The longest path that fits into a socket's address: 107 bytes on Linux, 103 on other systems.
const LONGEST_PATH: usize = 103;

/// A place for temporary files whose own path is longer leaves too little room.
const LONGEST_TEMP: usize = 64;

/// The socket of an instance, as long as it is served.
#[derive(Debug)]
pub struct ControlSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Makes the socket. What an earlier process left there is replaced: whoever holds the folder is the only one who may
    /// have a socket in it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn bind(folder: &StateFolder) -> io::Result<Self> {
        let path = folder.path().join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let short = Short::new(&path)?;
        let listener = UnixListener::bind(&short.path)?;
        // The folder is closed to others, and so is the moment between the two.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // One that stays behind refuses connections, and is replaced by the next.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Connects to the socket in this folder.
pub(super) async fn connect(folder: &Path) -> io::Result<UnixStream> {
    let short = Short::new(&folder.join(SOCKET))?;
    UnixStream::connect(&short.path).await
}

/// A path that fits into an address: the socket's own, or one through a link in a folder that only we may enter.
struct Short {
    path: PathBuf,
    _link: Option<TempDir>,
}

impl Short {
    fn new(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= LONGEST_PATH {
            return Ok(Self { path: path.to_owned(), _link: None });
        }
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let temp = Some(std::env::temp_dir()).filter(|temp| temp.as_os_str().len() <= LONGEST_TEMP);
        let link = tempfile::Builder::new()
            .prefix("llm-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(temp.unwrap_or_else(|| "/tmp".into()))?;
        let name = link.path().join("f");
        symlink(folder.canonicalize()?, &name)?;
        Ok(Self { path: name.join(SOCKET), _link: Some(link) })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::id::InstanceName;

    #[tokio::test]
    async fn a_socket_is_private_replaces_a_stale_one_and_may_lie_deep() {
        for depth in [0, 3] {
            let root = tempfile::tempdir().unwrap();
            let deep = (0..depth).fold(root.path().to_owned(), |path, _| path.join("d".repeat(90)));
            let folder = StateFolder::hold(&deep, &InstanceName::from_text("m").unwrap()).unwrap();
            assert_eq!(folder.path().as_os_str().len() > 250, depth > 0);
            drop(std::os::unix::net::UnixListener::bind(folder.path().join(SOCKET)).ok());
            let socket = ControlSocket::bind(&folder).unwrap();
            let mode = std::fs::metadata(folder.path().join(SOCKET)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let (client, server) = tokio::join!(connect(folder.path()), socket.listener.accept());
            let (client, (server, _)) = (client.unwrap(), server.unwrap());
            super::super::peer::check(&client).unwrap();
            super::super::peer::check(&server).unwrap();
            drop(socket);
            assert_eq!(connect(folder.path()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }
}
