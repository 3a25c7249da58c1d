//! Writing a key into a file of known hosts, so that `ssh` reads it too.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::HostPatterns;
use sha1::Sha1;

use crate::ssh::words::printable;

/// How long the salt of a hashed name is, in bytes: as long as the hash.
const SALT: usize = 20;

/// The line that says that `name` has this key, without its end.
///
/// # Errors
/// The key cannot be written, the name would stand for others too, or the system has no random numbers for a hashed name.
pub(super) fn line(name: &str, key: &PublicKey, hashed: bool) -> io::Result<String> {
    if !hashed && !is_plain(name) {
        let problem = format!("the name {} would be read as something else there", printable(name));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    let name = if hashed { hash(name)? } else { name.to_owned() };
    let plain = PublicKey::new(key.key_data().clone(), "").to_openssh().map_err(io::Error::other)?;
    Ok(format!("{name} {}", plain.trim_end()))
}

/// Whether a name means itself in the file, and neither a pattern, a list, a marker nor a comment: an alias may be anything.
fn is_plain(name: &str) -> bool {
    let meaningful = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '*' | '?' | ',');
    !name.is_empty() && !name.starts_with(['!', '#', '@', '|']) && !name.contains(meaningful)
}

/// A name that can be found and not read (`|1|salt|hash`).
fn hash(name: &str) -> io::Result<String> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    let mac = Hmac::<Sha1>::new_from_slice(&salt).map_err(io::Error::other)?.chain_update(name);
    let hashed = HostPatterns::HashedName { salt: salt.to_vec(), hash: mac.finalize().into_bytes().into() };
    Ok(hashed.to_string())
}

/// Adds a line at the end of a file, which is made if there is none, for the user alone.
///
/// The line goes out in one write to the file's end, so that of two processes which do this at once neither loses a line.
///
/// # Errors
/// The file cannot be made or written.
pub(super) fn append(file: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut open = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
    let begin = if ends_within_a_line(&mut open)? { "\n" } else { "" };
    let bytes = format!("{begin}{line}\n").into_bytes();
    if open.write(&bytes)? != bytes.len() {
        return Err(io::Error::new(io::ErrorKind::StorageFull, "only a part of the line could be written"));
    }
    open.sync_data()
}

/// Whether somebody's last line lacks its end: what is added would become a part of it.
fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    Ok(file.read(&mut last)? == 1 && last != *b"\n")
}

#[cfg(test)]
#[path = "write_test.rs"]
mod tests;
