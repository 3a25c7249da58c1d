//! A destination and its configuration, brought together: everything that a connection needs to know.

use std::path::{Path, PathBuf};

use super::config_file::{self, Configured};
use super::destination::Destination;
use super::{SshError, SshHome, SshOptions};

/// Everything that a connection needs to know about its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As the user wrote it.
    pub(super) name: String,
    /// The name or address to connect to.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// The keys that the caller named.
    pub(super) named: Vec<PathBuf>,
    /// The keys that the configuration names.
    pub(super) configured: Vec<PathBuf>,
    /// The keys that `ssh` looks for by itself.
    pub(super) usual: Vec<PathBuf>,
    /// Whether the agent may only be asked for keys that were named.
    pub(super) identities_only: bool,
    pub(super) agent: Option<PathBuf>,
    /// The name to look the host's key up by, if it is not its own.
    pub(super) host_key_alias: Option<String>,
    /// The user's own files of known hosts, and then the system's.
    pub(super) known_hosts: Vec<PathBuf>,
    /// The lists of revoked keys, if the configuration names any.
    pub(super) revoked_host_keys: Option<RevokedLists>,
    /// What was passed over, for the log.
    pub(super) warnings: Vec<String>,
}

/// The lists of revoked host keys, and where the configuration names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RevokedLists {
    pub(super) lists: Vec<PathBuf>,
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

impl Target {
    /// Reads the destination and the configuration; connects to nothing.
    ///
    /// # Errors
    /// Either cannot be read, or asks for what this version does not do.
    pub(super) fn resolve(options: &SshOptions) -> Result<Self, SshError> {
        let destination = Destination::parse(&options.destination)?;
        let home = &options.home;
        let found = config_file::read(&destination.host, options.config_file.as_deref(), home)?;
        if let Some(proxy) = found.proxy.as_ref().filter(|proxy| !proxy.value.eq_ignore_ascii_case("none")) {
            return Err(SshError::ProxyUnsupported {
                option: proxy.option,
                value: proxy.value.clone(),
                file: proxy.file.clone(),
                line: proxy.line,
            });
        }
        let original = destination.host;
        let mut warnings = found.warnings.clone();
        let host = match &found.host_name {
            Some(written) => replace(written, |token| (token == 'h').then(|| original.clone()), &mut warnings)
                .unwrap_or_else(|| original.clone()),
            None => original.clone(),
        };
        let user = destination.user.or_else(|| found.user.clone()).unwrap_or_else(|| home.user.clone());
        let port = destination.port.or(found.port).unwrap_or(22);
        let token = |token: char| match token {
            'd' => Some(home.home.to_string_lossy().into_owned()),
            'h' => Some(host.clone()),
            'n' => Some(original.clone()),
            'p' => Some(port.to_string()),
            'r' => Some(user.clone()),
            'u' => Some(home.user.clone()),
            'k' => Some(found.host_key_alias.clone().unwrap_or_else(|| original.clone())),
            _ => None,
        };
        let mut paths = Paths { home, token: &token, warnings };
        let configured = if names_none(&found.identity_files) { Vec::new() } else { paths.all(&found.identity_files) };
        let known_hosts = known_hosts(&found, home, &mut paths);
        let revoked_host_keys = revoked_lists(&found, &mut paths)?;
        let agent = agent(&found, home, &mut paths);
        let warnings = paths.warnings;
        let usual = ["id_ed25519", "id_ecdsa", "id_rsa"].iter().map(|name| home.ssh_dir.join(name)).collect();
        Ok(Self {
            name: options.destination.clone(),
            named: options.identities.clone(),
            configured,
            usual,
            identities_only: found.identities_only.unwrap_or(false),
            agent,
            host_key_alias: found.host_key_alias.clone(),
            known_hosts,
            revoked_host_keys,
            warnings,
            host,
            port,
            user,
        })
    }
}

fn names_none(values: &[String]) -> bool {
    matches!(values, [only] if only.eq_ignore_ascii_case("none"))
}

fn known_hosts(found: &Configured, home: &SshHome, paths: &mut Paths<'_>) -> Vec<PathBuf> {
    let usual = |folder: &Path, names: [&str; 2]| names.iter().map(|name| folder.join(name)).collect::<Vec<_>>();
    let users = match &found.user_known_hosts {
        Some(values) if names_none(values) => Vec::new(),
        Some(values) => paths.all(values),
        None => usual(&home.ssh_dir, ["known_hosts", "known_hosts2"]),
    };
    let systems = match &found.global_known_hosts {
        Some(values) if names_none(values) => Vec::new(),
        Some(values) => values.iter().map(|written| paths.below_home(written.clone())).collect(),
        None => usual(&home.system_dir, ["ssh_known_hosts", "ssh_known_hosts2"]),
    };
    users.into_iter().chain(systems).collect()
}

/// What cannot be read as a path is no reason to do without the list.
fn revoked_lists(found: &Configured, paths: &mut Paths<'_>) -> Result<Option<RevokedLists>, SshError> {
    let Some(setting) = found.revoked_host_keys.as_ref().filter(|setting| !names_none(&setting.values)) else {
        return Ok(None);
    };
    let path = |written: &String| {
        paths.one(written).ok_or_else(|| SshError::ConfigInvalid {
            file: setting.file.clone(),
            line: setting.line,
            problem: format!("`RevokedHostKeys {written}` has a token that is not understood"),
        })
    };
    let lists = setting.values.iter().map(path).collect::<Result<_, _>>()?;
    Ok(Some(RevokedLists { lists, file: setting.file.clone(), line: setting.line }))
}

fn agent(found: &Configured, home: &SshHome, paths: &mut Paths<'_>) -> Option<PathBuf> {
    match found.identity_agent.as_deref() {
        None | Some("SSH_AUTH_SOCK") => home.agent_socket.clone(),
        Some("none") => None,
        Some(value) => match value.strip_prefix('$') {
            Some(variable) => std::env::var_os(variable).map(PathBuf::from),
            None => paths.one(value),
        },
    }
}

/// Turns what is written into paths: `~`, tokens, and folders that a path starts from.
struct Paths<'a> {
    home: &'a SshHome,
    token: &'a dyn Fn(char) -> Option<String>,
    warnings: Vec<String>,
}

impl Paths<'_> {
    fn one(&mut self, written: &str) -> Option<PathBuf> {
        let text = replace(written, self.token, &mut self.warnings)?;
        Some(self.below_home(text))
    }

    /// Only replaces `~`: OpenSSH knows no tokens in the names of the system's files.
    fn below_home(&self, text: String) -> PathBuf {
        match text.strip_prefix("~/") {
            Some(rest) => self.home.home.join(rest),
            None if text == "~" => self.home.home.clone(),
            None => PathBuf::from(text),
        }
    }

    fn all(&mut self, written: &[String]) -> Vec<PathBuf> {
        written.iter().filter_map(|written| self.one(written)).collect()
    }
}

/// Replaces `%` tokens; `None`, and a warning, for one that is not known.
fn replace(written: &str, token: impl Fn(char) -> Option<String>, warnings: &mut Vec<String>) -> Option<String> {
    let mut text = String::new();
    let mut characters = written.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let name = characters.next();
        match name {
            Some('%') => text.push('%'),
            Some(name) if token(name).is_some() => text.push_str(&token(name).unwrap_or_default()),
            Some(_) | None => {
                let name = name.map(String::from).unwrap_or_default();
                warnings.push(format!("`{written}` is passed over: %{name} is not understood"));
                return None;
            }
        }
    }
    Some(text)
}

#[cfg(test)]
#[path = "target_test.rs"]
mod tests;
