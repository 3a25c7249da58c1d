//! Taking a file or folder away from others.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::Uid;

/// Takes away every permission that is not in `mode`, and gives none.
///
/// What is looked at is what is changed, through one open file: were there a link in its place by now, or another user's
/// file, that one would be changed by its name.
///
/// # Errors
/// It cannot be opened, is a link, is neither a file nor a folder, or belongs to another user.
pub(super) fn take_away(path: &Path, mode: u32) -> io::Result<()> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let open = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let facts = open.metadata()?;
    let refused = |problem| Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    if !facts.is_file() && !facts.is_dir() {
        return refused("it is neither a file nor a folder");
    }
    if facts.uid() != Uid::effective().as_raw() {
        return refused("it belongs to another user");
    }
    open.set_permissions(Permissions::from_mode(facts.permissions().mode() & mode))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use std::fs;

    use test_case::test_case;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test_case(0o644, 0o600, 0o600)]
    #[test_case(0o440, 0o600, 0o400; "nothing is given")]
    #[test_case(0o777, 0o700, 0o700)]
    fn others_lose_it_and_nobody_gains(before: u32, wanted: u32, after: u32) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(before)).unwrap();
        take_away(&file, wanted).unwrap();
        assert_eq!(mode(&file), after);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("theirs"), folder.path().join("key"));
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(take_away(&link, 0o600).is_err());
        assert_eq!(mode(&file), 0o644);
        assert!(take_away(Path::new("/dev/null"), 0).is_err(), "no file");
    }
}
