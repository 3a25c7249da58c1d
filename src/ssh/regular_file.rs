//! Reading the user's files: only whole ones that have an end.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Group, Uid, User};

/// What a user names who wants no file.
const NOTHING: &str = "/dev/null";

/// All that `file` holds, which is at most `most` bytes.
///
/// # Errors
/// It cannot be read, is more, or is something that may have no end or keep us waiting: a pipe, a device, a folder.
pub fn read(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_if(file, most, |_| Ok(()))
}

/// The same, of a file that nobody may write but the user and the superuser: what it says is done.
///
/// # Errors
/// As [`read`], or somebody else may write it.
pub(super) fn read_own(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_if(file, most, own)
}

fn read_if(file: &Path, most: u64, good: fn(&Metadata) -> io::Result<()>) -> io::Result<Vec<u8>> {
    if file == Path::new(NOTHING) {
        return Ok(Vec::new());
    }
    // A pipe that nobody writes into would not even open.
    let open = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(file)?;
    let metadata = open.metadata()?;
    regular(&metadata)?;
    good(&metadata)?;
    let length = metadata.len();
    let too_much = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} bytes"));
    if length > most {
        return Err(too_much());
    }
    // Room for all of it, and to see that there is no more: what is secret is not left behind in smaller rooms.
    let mut bytes = Vec::with_capacity(usize::try_from(length.saturating_add(1)).map_err(io::Error::other)?);
    open.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read <= most) { Ok(bytes) } else { Err(too_much()) }
}

/// As OpenSSH has it, and Debian's: a group of the user's own, with nobody else in it, may write too.
fn own(metadata: &Metadata) -> io::Result<()> {
    let denied = |problem| Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    let user = Uid::effective();
    if metadata.uid() != 0 && metadata.uid() != user.as_raw() {
        return denied("it belongs to somebody else, who could have anything done here");
    }
    let by_group = metadata.mode() & 0o020 != 0 && !is_own_group(user, Gid::from_raw(metadata.gid()));
    if metadata.mode() & 0o002 != 0 || by_group {
        return denied("others may write it, and could have anything done here: `chmod go-w` it");
    }
    Ok(())
}

fn is_own_group(user: Uid, group: Gid) -> bool {
    let (Ok(Some(user)), Ok(Some(group))) = (User::from_uid(user), Group::from_gid(group)) else { return false };
    group.name == user.name && group.gid == user.gid && group.mem.iter().all(|member| *member == user.name)
}

/// Whether it is a regular file.
fn regular(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder, not a file"));
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, not a file")))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        assert_eq!(read(&file, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(&dir.path().join("missing"), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&file, 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn what_others_may_write_is_not_our_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        for (mode, good) in [(0o600, true), (0o644, true), (0o646, false), (0o666, false)] {
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(read_own(&file, 5).is_ok(), good, "{mode:o}");
            assert!(read(&file, 5).is_ok());
        }
        assert!(!is_own_group(Uid::effective(), Gid::from_raw(Gid::effective().as_raw() + 4321)));
    }

    #[test]
    fn what_has_no_end_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for (path, told) in [(&*pipe, "a pipe"), (dir.path(), "a folder"), (Path::new("/dev/zero"), "a device")] {
            assert!(read(path, 100).unwrap_err().to_string().contains(told), "{path:?}");
        }
        assert!(read(Path::new(NOTHING), 0).unwrap().is_empty());
        // The kernel's files say that they are empty.
        assert!(!read(Path::new("/proc/self/stat"), 1 << 16).unwrap().is_empty());
    }
}
