//! What the engine says, on standard error as engines do.

use std::io::Write as _;

/// Writes one line to standard error; a reader that is gone is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
