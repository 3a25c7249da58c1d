//! Reading the user's files: only whole ones that have an end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

/// What a user names who wants no file.
const NOTHING: &str = "/dev/null";

/// All that `file` holds, which is at most `most` bytes.
///
/// # Errors
/// It cannot be read, is more, or is something that may have no end or keep us waiting: a pipe, a device, a folder.
pub(super) fn read(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    if file == Path::new(NOTHING) {
        return Ok(Vec::new());
    }
    // A pipe that nobody writes into would not even open.
    let open = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(file)?;
    let length = regular(&open)?;
    let too_much = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} bytes"));
    if length > most {
        return Err(too_much());
    }
    // Room for all of it, and to see that there is no more: what is secret is not left behind in smaller rooms.
    let mut bytes = Vec::with_capacity(usize::try_from(length.saturating_add(1)).map_err(io::Error::other)?);
    open.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read <= most) { Ok(bytes) } else { Err(too_much()) }
}

/// The length of a regular file.
fn regular(open: &File) -> io::Result<u64> {
    let metadata = open.metadata()?;
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(metadata.len());
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
        File::create(&file).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&file, 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
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
