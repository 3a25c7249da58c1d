//! What there is to say about a server whose key is not known.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::words::printable;

/// What else is known about a server whose key is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownServer {
    /// What a user would type at a shell to come to it.
    pub by_hand: String,
    /// Where it was found, if we know.
    pub address: Option<SocketAddr>,
    /// Where a certificate authority is named for this host: the file, and the line, counted from 1.
    pub authority: Option<(PathBuf, usize)>,
    /// Why the certificate that it showed says nothing for it, if it showed one.
    pub certificate: Option<String>,
    /// The host that vouches for it, and whose files are to know it.
    pub vouched_by: Option<String>,
}

impl UnknownServer {
    /// Where it was looked for, and what is wrong with its certificate.
    pub(super) fn words(&self, file: &Path) -> String {
        let mut notes = Vec::new();
        if !file.as_os_str().is_empty() {
            notes.push(format!("looked in {}", file.display()));
        }
        notes.extend(
            self.certificate.iter().map(|problem| format!("its certificate is not good: {}", printable(problem))),
        );
        super::words::notes_words(&notes)
    }
}
