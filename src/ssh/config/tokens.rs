//! What stands for something else in a value: `%` tokens, `${VARIABLES}` and `~`, as `ssh_config(5)` has them.

use std::path::{Path, PathBuf};

use sha1::{Digest as _, Sha1};

use crate::ssh::SshHome;

/// The tokens of names of files: `IdentityFile`, `CertificateFile`, `IdentityAgent`, `UserKnownHostsFile`, `RevokedHostKeys`.
pub(in crate::ssh) const OF_FILES: &str = "CdhijkLlnpru";

/// The tokens of `ProxyCommand` and `ProxyJump`.
pub(in crate::ssh) const OF_WAYS: &str = "hnpr";

/// The longest value that tokens and variables may make, in bytes: tokens stand for values that had tokens themselves, and a
/// short file must not fill the memory.
pub(super) const LONGEST: usize = 64 * 1024;

/// What the tokens stand for.
#[derive(Clone, Debug)]
pub(in crate::ssh) struct Tokens<'a> {
    /// `%d` and `%u`.
    pub(in crate::ssh) home: &'a SshHome,
    /// `%n`: the host as it was named.
    pub(in crate::ssh) original: &'a str,
    /// `%h`: the host that is connected to.
    pub(in crate::ssh) host: &'a str,
    /// `%p`.
    pub(in crate::ssh) port: u16,
    /// `%r`.
    pub(in crate::ssh) user: &'a str,
    /// `%k` where it is set: `HostKeyAlias`.
    pub(in crate::ssh) alias: Option<&'a str>,
    /// `%j`: the value of `ProxyJump`, or nothing.
    pub(in crate::ssh) jump: &'a str,
    /// `%C` as `ssh` gave it: its versions differ in what they hash.
    pub(in crate::ssh) hash: Option<&'a str>,
}

impl Tokens<'_> {
    fn value(&self, token: char) -> Option<String> {
        match token {
            'C' => Some(self.hash.map_or_else(|| self.computed_hash(), str::to_owned)),
            'd' => Some(self.home.home.to_string_lossy().into_owned()),
            'h' => Some(self.host.to_owned()),
            'i' => Some(nix::unistd::Uid::current().to_string()),
            'j' => Some(self.jump.to_owned()),
            'k' => Some(self.alias.unwrap_or(self.original).to_owned()),
            'L' => Some(this_host().split('.').next().unwrap_or_default().to_owned()),
            'l' => Some(this_host()),
            'n' => Some(self.original.to_owned()),
            'p' => Some(self.port.to_string()),
            'r' => Some(self.user.to_owned()),
            'u' => Some(self.home.user.clone()),
            _ => None,
        }
    }

    fn computed_hash(&self) -> String {
        let mut hash = Sha1::new();
        for part in [&this_host(), self.host, &self.port.to_string(), self.user, self.jump] {
            hash.update(part.as_bytes());
        }
        base16ct::lower::encode_string(&hash.finalize())
    }

    /// Replaces the tokens that are `allowed`.
    ///
    /// # Errors
    /// What is not understood, in words.
    pub(in crate::ssh) fn replace(&self, written: &str, allowed: &str) -> Result<String, String> {
        substitute(written, |token| self.value(token).filter(|_| allowed.contains(token)))
    }

    /// The file that `written` names: variables, tokens and `~` replaced.
    ///
    /// # Errors
    /// What is not understood, in words.
    pub(in crate::ssh) fn file(&self, written: &str) -> Result<PathBuf, String> {
        // Token by token and variable by variable, so that neither's value is read as the other.
        let mut text = String::new();
        let mut rest = written;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, behind) = after.split_once('}').ok_or("`${` is not closed")?;
            let value = std::env::var(name).map_err(|_| format!("the variable ${{{name}}} is not set"))?;
            text.push_str(&self.replace(before, OF_FILES)?);
            text.push_str(&value);
            not_too_long(&text)?;
            rest = behind;
        }
        text.push_str(&self.replace(rest, OF_FILES)?);
        not_too_long(&text)?;
        below_home(&text, &self.home.home)
    }
}

/// The name to connect to, in which `%h` stands for the host as it was named.
///
/// # Errors
/// What is not understood, in words.
pub(in crate::ssh) fn host_name(written: &str, original: &str) -> Result<String, String> {
    substitute(written, |token| (token == 'h').then(|| original.to_owned()))
}

fn substitute(written: &str, value: impl Fn(char) -> Option<String>) -> Result<String, String> {
    let mut text = String::new();
    let mut characters = written.chars();
    while let Some(character) = characters.next() {
        not_too_long(&text)?;
        if character != '%' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('%') => text.push('%'),
            Some(token) => match value(token) {
                Some(value) => text.push_str(&value),
                None => return Err(format!("%{token} is not understood")),
            },
            None => return Err("a % stands at its end".to_owned()),
        }
    }
    not_too_long(&text)?;
    Ok(text)
}

fn not_too_long(text: &str) -> Result<(), String> {
    let fits = text.len() <= LONGEST;
    fits.then_some(()).ok_or_else(|| format!("it becomes longer than {} KiB", LONGEST / 1024))
}

/// Replaces `~` and `~user` alone: OpenSSH knows no tokens in the names of the system's files.
///
/// # Errors
/// There is no such user.
pub(in crate::ssh) fn below_home(text: &str, home: &Path) -> Result<PathBuf, String> {
    let Some(rest) = text.strip_prefix('~') else { return Ok(PathBuf::from(text)) };
    let (user, path) = rest.split_once('/').unwrap_or((rest, ""));
    if user.is_empty() {
        return Ok(home.join(path.trim_start_matches('/')));
    }
    match nix::unistd::User::from_name(user) {
        Ok(Some(person)) => Ok(person.dir.join(path.trim_start_matches('/'))),
        Ok(None) | Err(_) => Err(format!("there is no user {user}")),
    }
}

fn this_host() -> String {
    nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    fn with_tokens<T>(check: impl FnOnce(&Tokens<'_>) -> T) -> T {
        let home = SshHome::below(Path::new("/home/me"), "me");
        check(&Tokens {
            home: &home,
            original: "login",
            host: "login.example.org",
            port: 2222,
            user: "you",
            alias: None,
            jump: "gate",
            hash: None,
        })
    }

    #[test_case("~/a", "/home/me/a")]
    #[test_case("~", "/home/me")]
    #[test_case("~root/a", "/root/a"; "another user's")]
    #[test_case("a~b", "a~b"; "a tilde inside")]
    #[test_case("%d/%h-%n-%p-%r-%u-%k-%j", "/home/me/login.example.org-login-2222-you-me-login-gate")]
    #[test_case("/100%%h", "/100%h")]
    fn files(written: &str, expected: &str) {
        assert_eq!(with_tokens(|tokens| tokens.file(written)), Ok(PathBuf::from(expected)));
    }

    #[test_case("/%Z", "%Z is not understood")]
    #[test_case("/%", "a % stands at its end")]
    #[test_case("${", "`${` is not closed")]
    #[test_case("${LLM_PROXY_NO_SUCH}/x", "the variable ${LLM_PROXY_NO_SUCH} is not set")]
    #[test_case("~no-such-user/x", "there is no user no-such-user")]
    fn not_understood(written: &str, expected: &str) {
        assert_eq!(with_tokens(|tokens| tokens.file(written)), Err(expected.to_owned()));
    }

    #[test]
    fn variables_are_not_read_again() {
        let home = std::env::var("HOME").unwrap_or_default();
        assert_eq!(with_tokens(|tokens| tokens.file("/x${HOME}%%")), Ok(PathBuf::from(format!("/x{home}%"))));
    }

    #[test]
    fn only_what_is_allowed_is_replaced() {
        assert_eq!(with_tokens(|tokens| tokens.replace("%u", OF_WAYS)), Err("%u is not understood".to_owned()));
        assert_eq!(
            with_tokens(|tokens| tokens.replace("nc %h %p", OF_WAYS)).as_deref(),
            Ok("nc login.example.org 2222")
        );
    }

    proptest! {
        #[test]
        fn hidden_percent_signs_come_back(text in "[a-z%${}~ ]{0,20}") {
            let hidden = text.replace('%', "%%");
            prop_assert_eq!(with_tokens(|tokens| tokens.replace(&hidden, OF_FILES)), Ok(text));
        }

        #[test]
        fn never_panics(text in "\\PC{0,30}") {
            let _ = with_tokens(|tokens| tokens.file(&text));
        }
    }
}
