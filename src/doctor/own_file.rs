//! Reading the user's own text files.

use std::io;
use std::path::Path;

use crate::ssh::regular_file;

/// More than any file of known hosts.
const MOST_BYTES: u64 = 64 << 20;

/// What stands in the file; what is no UTF-8 in it is no word that anybody looks for.
///
/// # Errors
/// It cannot be read, is too large, or is something that may have no end or keep us waiting, such as a pipe.
pub(super) fn text(file: &Path) -> io::Result<String> {
    regular_file::read(file, MOST_BYTES).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
