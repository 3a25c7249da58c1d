//! What `ssh_config` files say about one host: the first value wins, as in OpenSSH.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config_line::ConfigLine;
use super::{SshError, SshHome, pattern};

/// How deep files may include one another; OpenSSH's own bound.
const DEEPEST_INCLUDE: usize = 16;

/// What the files say about one host, before tokens and `~` are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Configured {
    pub(super) host_name: Option<String>,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
    /// In order; `none` alone means none.
    pub(super) identity_files: Vec<String>,
    pub(super) identities_only: Option<bool>,
    pub(super) identity_agent: Option<String>,
    pub(super) user_known_hosts: Option<Vec<String>>,
    pub(super) global_known_hosts: Option<Vec<String>>,
    pub(super) revoked_host_keys: Option<RevokedSetting>,
    pub(super) host_key_alias: Option<String>,
    pub(super) proxy: Option<Proxy>,
    /// What was passed over, for the log.
    pub(super) warnings: Vec<String>,
}

/// The first `ProxyJump` or `ProxyCommand`, where it stands, and `none` too: it keeps a later one from counting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) option: &'static str,
    pub(super) value: String,
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

/// The first `RevokedHostKeys`, where it stands, and `none` too: it keeps a later one from counting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RevokedSetting {
    pub(super) values: Vec<String>,
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

/// What decides which servers are trusted: where we cannot tell whether it counts, that is said by name.
const TRUST: [&str; 4] = ["RevokedHostKeys", "UserKnownHostsFile", "GlobalKnownHostsFile", "StrictHostKeyChecking"];

/// Reads the files that count for `host`: the one named, or else the user's and then the system's.
///
/// # Errors
/// A file that was named cannot be read, or a line that counts means nothing.
pub(super) fn read(host: &str, named: Option<&Path>, home: &SshHome) -> Result<Configured, SshError> {
    let mut reader = Reader { host, home, found: Configured::default() };
    if let Some(file) = named {
        reader.file(file, &home.ssh_dir, true, &mut Block::new(Standing::Counts), 0)?;
    } else {
        reader.file(&home.ssh_dir.join("config"), &home.ssh_dir, false, &mut Block::new(Standing::Counts), 0)?;
        reader.file(
            &home.system_dir.join("ssh_config"),
            &home.system_dir,
            false,
            &mut Block::new(Standing::Counts),
            0,
        )?;
    }
    Ok(reader.found)
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
    fn invalid(&self, problem: impl Into<String>) -> SshError {
        SshError::ConfigInvalid { file: self.file.to_owned(), line: self.line, problem: problem.into() }
    }

    fn warning(&self, problem: &str) -> String {
        format!("{}:{}: {problem}", self.file.display(), self.line)
    }
}

impl Reader<'_> {
    fn file(
        &mut self,
        file: &Path,
        folder: &Path,
        required: bool,
        block: &mut Block,
        depth: usize,
    ) -> Result<(), SshError> {
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if !required && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(SshError::ConfigUnreadable { file: file.to_owned(), source: Arc::new(error) });
            }
        };
        for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            let place = Place { file, line: index + 1, folder, depth };
            if let Some(line) = ConfigLine::read(line).map_err(|problem| place.invalid(problem))? {
                self.line(&line, &place, block)?;
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &ConfigLine, place: &Place<'_>, block: &mut Block) -> Result<(), SshError> {
        match line.keyword.as_str() {
            "host" => {
                let ours = pattern::list_matches(line.values.iter().map(String::as_str), self.host);
                block.current = if ours { block.file } else { Standing::Never };
            }
            "match" => {
                let all = line.values.len() == 1 && line.first().eq_ignore_ascii_case("all");
                block.current = match block.file {
                    Standing::Counts if !all => Standing::Unjudged,
                    other @ (Standing::Counts | Standing::Unjudged | Standing::Never) => other,
                };
                if block.file == Standing::Counts && !all {
                    self.found
                        .warnings
                        .push(place.warning("a Match block is passed over: only `Match all` is understood"));
                }
            }
            // Each included file begins in the state of the line that includes it, and leaves that state as it was.
            "include" => self.include(line, place, block.current)?,
            keyword => match block.current {
                Standing::Counts => self.option(line, place)?,
                Standing::Unjudged => {
                    if let Some(option) = TRUST.iter().find(|option| option.eq_ignore_ascii_case(keyword)) {
                        let problem = format!("{option} is not applied: the Match block around it is passed over");
                        self.found.warnings.push(place.warning(&problem));
                    }
                }
                Standing::Never => {}
            },
        }
        Ok(())
    }

    fn include(&mut self, line: &ConfigLine, place: &Place<'_>, standing: Standing) -> Result<(), SshError> {
        if place.depth >= DEEPEST_INCLUDE {
            return Err(place.invalid("files include one another too deeply"));
        }
        for value in &line.values {
            let path = match value.strip_prefix("~/") {
                Some(rest) => self.home.home.join(rest),
                None => place.folder.join(value),
            };
            for file in expand(&path) {
                self.file(&file, place.folder, false, &mut Block::new(standing), place.depth + 1)?;
            }
        }
        Ok(())
    }

    fn option(&mut self, line: &ConfigLine, place: &Place<'_>) -> Result<(), SshError> {
        let found = &mut self.found;
        let value = || line.first().to_owned();
        match line.keyword.as_str() {
            "hostname" => first(&mut found.host_name, value),
            "user" => first(&mut found.user, value),
            "hostkeyalias" => first(&mut found.host_key_alias, value),
            "identityagent" => first(&mut found.identity_agent, value),
            "identitiesonly" => first(&mut found.identities_only, || line.is_yes()),
            "userknownhostsfile" => first(&mut found.user_known_hosts, files(line, place)?),
            "globalknownhostsfile" => first(&mut found.global_known_hosts, files(line, place)?),
            "revokedhostkeys" => {
                let values = files(line, place)?;
                let setting = || RevokedSetting { values: values(), file: place.file.to_owned(), line: place.line };
                first(&mut found.revoked_host_keys, setting);
            }
            "identityfile" => found.identity_files.push(value()),
            "port" => {
                let port = line.first().parse().ok().filter(|port| *port != 0);
                let port = port.ok_or_else(|| place.invalid(format!("`{}` is not a port", line.first())))?;
                first(&mut found.port, || port);
            }
            "proxyjump" => first(&mut found.proxy, || proxy("ProxyJump", line, place)),
            "proxycommand" => first(&mut found.proxy, || proxy("ProxyCommand", line, place)),
            "stricthostkeychecking" if !line.is_yes() && !line.first().eq_ignore_ascii_case("ask") => {
                found.warnings.push(place.warning("an unknown host key is refused all the same"));
            }
            "checkhostip" if line.is_yes() => {
                found.warnings.push(place.warning("a host key is only looked up by name, not by address too"));
            }
            "knownhostscommand" if !line.first().eq_ignore_ascii_case("none") => {
                found.warnings.push(place.warning("KnownHostsCommand is not run: what it would say is not heeded"));
            }
            "canonicalizehostname" if !line.first().eq_ignore_ascii_case("no") => {
                found.warnings.push(place.warning("host names are not canonicalized"));
            }
            "certificatefile" => {
                found.warnings.push(place.warning("a certificate is only found beside its key, as KEY-cert.pub"));
            }
            _ => {}
        }
        Ok(())
    }
}

fn first<T>(slot: &mut Option<T>, value: impl FnOnce() -> T) {
    if slot.is_none() {
        *slot = Some(value());
    }
}

/// As in OpenSSH, `none` stands alone.
fn files<'a>(line: &'a ConfigLine, place: &Place<'_>) -> Result<impl FnOnce() -> Vec<String> + use<'a>, SshError> {
    if line.values.len() > 1 && line.values.iter().any(|value| value.eq_ignore_ascii_case("none")) {
        return Err(place.invalid("`none` must stand alone"));
    }
    Ok(|| line.values.clone())
}

fn proxy(option: &'static str, line: &ConfigLine, place: &Place<'_>) -> Proxy {
    Proxy { option, value: line.rest.clone(), file: place.file.to_owned(), line: place.line }
}

/// The files that a path with `*` and `?` in its last part names, in order; a path without them names itself.
fn expand(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !name.contains(['*', '?']) {
        return vec![path.to_owned()];
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let entry_name = entry.file_name().to_string_lossy().into_owned();
            (!entry_name.starts_with('.') || name.starts_with('.')) && pattern::matches(&name, &entry_name)
        })
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}
