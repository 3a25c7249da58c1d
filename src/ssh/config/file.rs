//! `ssh_config` files, read by ourselves where there is no `ssh` to ask.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::configured::{Configured, Origin, Setting};
use super::destination::Destination;
use super::glob;
use super::keywords::{Keyword, Takes};
use super::line::ConfigLine;
use super::matching::{self, Subject, Verdict};
use super::pattern;
use super::tokens;
use crate::ssh::{SshError, SshHome, SshOptions, regular_file};

/// How deep files may include one another; OpenSSH's own bound.
const DEEPEST_INCLUDE: usize = 16;

/// How many files a configuration may have, one that is included twice counted twice: OpenSSH has no bound, and files that
/// include one another several times each are then read for longer than anybody waits.
const MOST_FILES: usize = 1000;

/// How large all files of a configuration together may be, in bytes.
const MOST_BYTES: u64 = 16 << 20;

/// What decides which servers are trusted: where we cannot tell whether it counts, that is said by name.
const TRUST: [&str; 4] = ["RevokedHostKeys", "UserKnownHostsFile", "GlobalKnownHostsFile", "StrictHostKeyChecking"];

/// Reads the arguments, and then the files that count for `destination`: the one named, or else the user's and then the
/// system's.
///
/// # Errors
/// A file that was named cannot be read, or a line that counts means nothing.
pub(in crate::ssh) fn read(options: &SshOptions, destination: &Destination) -> Result<Configured, SshError> {
    let home = &options.home;
    let mut reader = Reader {
        host: &destination.host,
        home,
        found: Configured::default(),
        users_own: true,
        guarded: false,
        files: 0,
        bytes: 0,
    };
    reader.arguments(options, destination)?;
    let everything = || Block::new(Standing::Counts);
    match &options.config_file {
        // As with `ssh -F none`.
        Some(file) if file.as_os_str() == "none" => {}
        Some(file) => reader.file(file, &home.ssh_dir, true, &mut everything(), 0)?,
        None => {
            reader.guarded = true;
            reader.file(&home.ssh_dir.join("config"), &home.ssh_dir, false, &mut everything(), 0)?;
            (reader.users_own, reader.guarded) = (false, false);
            let system = home.system_dir.join("ssh_config");
            reader.file(&system, &home.system_dir, false, &mut everything(), 0)?;
        }
    }
    Ok(reader.found)
}

/// Looks whether the first file that counts is one at all, before somebody else reads it: what is no file may have no end.
///
/// # Errors
/// It is something else, or cannot be read.
pub(in crate::ssh) fn check_first(options: &SshOptions) -> Result<(), SshError> {
    let users = options.home.ssh_dir.join("config");
    let file = options.config_file.as_deref().filter(|file| file.as_os_str() != "none").unwrap_or(&users);
    match regular_file::read(file, MOST_BYTES) {
        // What there is not, `ssh` names in its own words, if it counts.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unreadable(file, error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether lines count for our host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Counts,
    Never,
    /// They stand in a `Match` that we do not understand, and are passed over.
    Unjudged,
}

/// Whether the lines being read count for our host.
struct Block {
    /// The whole file: an `Include` inside a block for another host never counts.
    file: Standing,
    /// The current `Host` or `Match`.
    current: Standing,
}

impl Block {
    fn new(file: Standing) -> Self {
        Self { file, current: file }
    }
}

struct Reader<'a> {
    host: &'a str,
    home: &'a SshHome,
    found: Configured,
    /// Whether what is read now is the user's, and not the system's for everybody.
    users_own: bool,
    /// Whether others must not be able to write what is read now, as `ssh` has it for the user's own file and what that
    /// includes: it may hold commands.
    guarded: bool,
    /// How many files were looked for, and how many bytes they had.
    files: usize,
    bytes: u64,
}

/// Where a line stands.
struct Place<'a> {
    file: &'a Path,
    line: usize,
    /// The folder that relative includes are looked for in.
    folder: &'a Path,
    depth: usize,
}

impl Place<'_> {
    fn origin(&self) -> Origin {
        Origin::File { file: self.file.to_owned(), line: self.line }
    }
}

impl Reader<'_> {
    /// They win over every file, in the order in which `ssh` is given them.
    fn arguments(&mut self, options: &SshOptions, destination: &Destination) -> Result<(), SshError> {
        let port = destination.port.map(|port| port.to_string());
        let given = [("User", "-l", &destination.user), ("Port", "-p", &port), ("ProxyJump", "-J", &options.jump)];
        for (name, option, value) in given {
            if let (Some(keyword), Some(value)) = (Keyword::named(name), value) {
                let origin = Origin::Argument(format!("{option} {value}"));
                self.found.add(keyword, Setting { values: vec![value.clone()], origin });
            }
        }
        for written in &options.settings {
            let origin = Origin::Argument(format!("-o {written}"));
            if let Some(line) = ConfigLine::read(written).map_err(|problem| origin.invalid(problem))? {
                if matches!(line.keyword.as_str(), "host" | "match" | "include") {
                    return Err(origin.invalid(format!("{} only stands in files", line.keyword)));
                }
                self.option(&line, origin)?;
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        file: &Path,
        folder: &Path,
        required: bool,
        block: &mut Block,
        depth: usize,
    ) -> Result<(), SshError> {
        let Some(bytes) = self.bytes_of(file, required).map_err(|error| unreadable(file, error))? else {
            return Ok(());
        };
        for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            let place = Place { file, line: index + 1, folder, depth };
            if let Some(line) = ConfigLine::read(line).map_err(|problem| place.origin().invalid(problem))? {
                self.line(&line, &place, block)?;
            }
        }
        Ok(())
    }

    /// What a file holds; `None` for one that there need not be. A folder is passed over, as by `ssh`: `Include` often has
    /// a star.
    fn bytes_of(&mut self, file: &Path, required: bool) -> io::Result<Option<Vec<u8>>> {
        self.files += 1;
        if self.files > MOST_FILES {
            return Err(io::Error::other(format!("the configuration has more than {MOST_FILES} files")));
        }
        let read = if self.guarded { regular_file::read_own } else { regular_file::read };
        match read(file, MOST_BYTES - self.bytes) {
            Ok(bytes) => {
                self.bytes += u64::try_from(bytes.len()).map_err(io::Error::other)?;
                Ok(Some(bytes))
            }
            Err(error) if !required => match error.kind() {
                io::ErrorKind::NotFound => Ok(None),
                io::ErrorKind::IsADirectory => {
                    self.found.warn(format!("{} is passed over: {error}", file.display()));
                    Ok(None)
                }
                io::ErrorKind::FileTooLarge => {
                    Err(io::Error::other(format!("the configuration has more than {MOST_BYTES} bytes")))
                }
                _other => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn line(&mut self, line: &ConfigLine, place: &Place<'_>, block: &mut Block) -> Result<(), SshError> {
        match line.keyword.as_str() {
            "host" => {
                let ours = pattern::list_matches(line.values.iter().map(String::as_str), self.host);
                block.current = if ours { block.file } else { Standing::Never };
            }
            "match" => block.current = self.judge(line, place, block.file)?,
            // Each included file begins in the state of the line that includes it, and leaves that state as it was.
            "include" => self.include(line, place, block.current)?,
            keyword => match block.current {
                Standing::Counts => self.option(line, place.origin())?,
                Standing::Unjudged => {
                    if let Some(option) = TRUST.iter().find(|option| option.eq_ignore_ascii_case(keyword)) {
                        let problem = "is not applied: the Match block around it is passed over";
                        self.found.warn(format!("{}: {option} {problem}", place.origin()));
                    }
                }
                Standing::Never => {}
            },
        }
        Ok(())
    }

    fn judge(&mut self, line: &ConfigLine, place: &Place<'_>, file: Standing) -> Result<Standing, SshError> {
        let host = self.host_so_far();
        let user = self.found.get("User").map_or(self.home.user.as_str(), Setting::value);
        let subject = Subject { original: self.host, host: &host, user, local_user: &self.home.user };
        let verdict = matching::judge(&line.values, &subject).map_err(|problem| place.origin().invalid(problem))?;
        Ok(match (file, verdict) {
            (Standing::Never, _) | (Standing::Counts | Standing::Unjudged, Verdict::Never) => Standing::Never,
            (Standing::Counts | Standing::Unjudged, Verdict::Applies) => file,
            (Standing::Unjudged, Verdict::Unjudged(_)) => Standing::Unjudged,
            (Standing::Counts, Verdict::Unjudged(criterion)) => {
                let problem =
                    format!("a Match block is passed over: without OpenSSH's `ssh`, `{criterion}` is not judged");
                self.found.warn(format!("{}: {problem}", place.origin()));
                Standing::Unjudged
            }
        })
    }

    fn host_so_far(&self) -> String {
        let written = self.found.get("HostName").map(Setting::value);
        written.and_then(|written| tokens::host_name(written, self.host).ok()).unwrap_or_else(|| self.host.to_owned())
    }

    fn include(&mut self, line: &ConfigLine, place: &Place<'_>, standing: Standing) -> Result<(), SshError> {
        if place.depth >= DEEPEST_INCLUDE {
            return Err(place.origin().invalid("files include one another too deeply"));
        }
        for value in &line.values {
            let path = tokens::below_home(value, &self.home.home).map_err(|problem| place.origin().invalid(problem))?;
            for file in glob::expand(&place.folder.join(path), MOST_FILES + 1) {
                self.file(&file, place.folder, false, &mut Block::new(standing), place.depth + 1)?;
            }
        }
        Ok(())
    }

    fn option(&mut self, line: &ConfigLine, origin: Origin) -> Result<(), SshError> {
        let Some(keyword) = Keyword::named(&line.keyword) else {
            self.unknown(line, &origin);
            return Ok(());
        };
        let values = match keyword.takes {
            Takes::Rest => vec![line.rest.clone()],
            Takes::One | Takes::OneMore if line.values.len() > 1 => {
                return Err(origin.invalid(format!("{} takes one value", keyword.name)));
            }
            Takes::One | Takes::OneMore | Takes::Several => line.values.clone(),
        };
        if keyword.name == "GSSAPIAuthentication" && self.found.get(keyword.name).is_none() {
            self.found.wants_gssapi = self.users_own;
        }
        self.found.add(keyword, Setting { values, origin });
        Ok(())
    }

    /// `ssh` would stop here; we go on, because what it knows and we do not may be newer than we are.
    fn unknown(&mut self, line: &ConfigLine, origin: &Origin) {
        let ignored = self.found.get("IgnoreUnknown").map(|setting| setting.value().to_ascii_lowercase());
        let ignored = ignored.is_some_and(|list| pattern::list_matches(list.split(','), &line.keyword));
        if !ignored && !Keyword::is_without_effect(&line.keyword) {
            self.found.warn(format!("{origin}: the keyword `{}` is not known, and passed over", line.keyword));
        }
    }
}

fn unreadable(file: &Path, error: io::Error) -> SshError {
    SshError::ConfigUnreadable { file: file.to_owned(), source: Arc::new(error) }
}

#[cfg(test)]
#[path = "file_test.rs"]
mod tests;
