//! What the configuration says about one host, whoever read it: the first value wins, as in OpenSSH.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::keywords::{Keyword, Takes};
use crate::ssh::SshError;

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ssh) enum Origin {
    /// In a file, at a line that is counted from 1.
    File { file: PathBuf, line: usize },
    /// In an argument, `KEY=VALUE`.
    Argument(String),
    /// In what `ssh -G` printed.
    OpenSsh,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Argument(setting) => write!(f, "`{setting}`"),
            Self::OpenSsh => f.write_str("the SSH configuration"),
        }
    }
}

impl Origin {
    /// What stands there means nothing.
    pub(in crate::ssh) fn invalid(&self, problem: impl Into<String>) -> SshError {
        let problem = problem.into();
        match self {
            Self::File { file, line } => SshError::ConfigInvalid { file: file.clone(), line: *line, problem },
            Self::Argument(setting) => SshError::SettingInvalid { setting: setting.clone(), problem },
            Self::OpenSsh => SshError::ConfigRefused { words: problem },
        }
    }
}

/// One line's setting, before tokens and `~` are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ssh) struct Setting {
    /// The values; there is at least one.
    pub(in crate::ssh) values: Vec<String>,
    pub(in crate::ssh) origin: Origin,
}

impl Setting {
    /// The first value.
    pub(in crate::ssh) fn value(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }

    /// Whether the first value is `word`, in capital or small letters.
    pub(in crate::ssh) fn is(&self, word: &str) -> bool {
        self.value().eq_ignore_ascii_case(word)
    }

    /// A yes or a no.
    ///
    /// # Errors
    /// It is neither.
    pub(in crate::ssh) fn switch(&self) -> Result<bool, SshError> {
        match self.value().to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            other => Err(self.origin.invalid(format!("`{other}` is neither yes nor no"))),
        }
    }
}

/// What the configuration says about one host.
#[derive(Clone, Debug, Default)]
pub(in crate::ssh) struct Configured {
    settings: BTreeMap<&'static str, Vec<Setting>>,
    /// `%C` as `ssh` gave it.
    pub(in crate::ssh) hash: Option<String>,
    /// Whether the user switched GSSAPI on, and not only the system for everybody.
    pub(in crate::ssh) wants_gssapi: bool,
    /// What was passed over, for the log.
    pub(in crate::ssh) warnings: Vec<String>,
}

impl Configured {
    /// Takes a setting, unless an earlier one counts.
    pub(in crate::ssh) fn add(&mut self, keyword: Keyword, setting: Setting) {
        // As in OpenSSH, a jump makes every later command void and the other way round; `ProxyJump none` alone leaves
        // a command be.
        let void = match keyword.name {
            "ProxyJump" => self.get("ProxyCommand").is_some() && !setting.is("none"),
            "ProxyCommand" => self.get("ProxyJump").is_some_and(|jump| !jump.is("none")),
            _ => false,
        };
        if void {
            return;
        }
        let settings = self.settings.entry(keyword.name).or_default();
        if settings.is_empty()
            || keyword.takes == Takes::OneMore && !settings.iter().any(|s| s.values == setting.values)
        {
            settings.push(setting);
        }
    }

    /// The setting of this name, which is one of [`Keyword`]'s.
    pub(in crate::ssh) fn get(&self, name: &str) -> Option<&Setting> {
        self.all(name).first()
    }

    /// The settings of this name, in their order.
    pub(in crate::ssh) fn all(&self, name: &str) -> &[Setting] {
        debug_assert!(Keyword::named(name).is_some_and(|keyword| keyword.name == name), "{name} is never read");
        self.settings.get(name).map_or(&[], Vec::as_slice)
    }

    /// Says something once.
    pub(in crate::ssh) fn warn(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use test_case::test_case;

    use super::*;

    /// What of these lines counts for `name`.
    fn counts(lines: &[(&str, &str)], name: &str) -> Vec<String> {
        let mut found = Configured::default();
        for (keyword, value) in lines {
            let setting = Setting { values: vec![(*value).to_owned()], origin: Origin::OpenSsh };
            found.add(Keyword::named(keyword).unwrap(), setting);
        }
        found.all(name).iter().map(|setting| setting.value().to_owned()).collect()
    }

    #[test_case(&[("User", "a"), ("User", "b")], "User", &["a"])]
    #[test_case(&[("IdentityFile", "a"), ("IdentityFile", "b"), ("IdentityFile", "a")], "IdentityFile", &["a", "b"])]
    #[test_case(&[("ProxyJump", "a"), ("ProxyCommand", "b")], "ProxyCommand", &[])]
    #[test_case(&[("ProxyCommand", "none"), ("ProxyJump", "a")], "ProxyJump", &[])]
    #[test_case(&[("ProxyJump", "none"), ("ProxyJump", "a")], "ProxyJump", &["none"])]
    #[test_case(&[("ProxyJump", "none"), ("ProxyCommand", "b")], "ProxyCommand", &["b"]; "none leaves a command be")]
    fn the_first_wins(lines: &[(&str, &str)], name: &str, expected: &[&str]) {
        assert_eq!(counts(lines, name), expected);
    }
}
