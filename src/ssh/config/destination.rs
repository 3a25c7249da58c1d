//! What a user writes to name a host: `[user@]host[:port]`, `ssh://…`, or an alias of the configuration.

use std::fmt;

use crate::ssh::SshError;

/// A destination as it was written, before the configuration is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ssh) struct Destination {
    /// The user, if one was named.
    pub(in crate::ssh) user: Option<String>,
    /// A name, an address without brackets, or an alias.
    pub(in crate::ssh) host: String,
    /// The port, if one was named.
    pub(in crate::ssh) port: Option<u16>,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

impl Destination {
    /// Reads `written`.
    ///
    /// # Errors
    /// [`SshError::BadDestination`], with what is wrong.
    pub(in crate::ssh) fn parse(written: &str) -> Result<Self, SshError> {
        read(written).map_err(|problem| SshError::BadDestination { destination: written.to_owned(), problem })
    }
}

fn read(written: &str) -> Result<Destination, &'static str> {
    if written.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it contains white space");
    }
    let rest = match written.strip_prefix("ssh://") {
        Some(rest) => rest.strip_suffix('/').unwrap_or(rest),
        None => written,
    };
    if rest.contains('/') {
        return Err("a host name has no slash");
    }
    // The last one divides: some sites' user names contain an `@`.
    let (user, place) = match rest.rsplit_once('@') {
        Some(("", _)) => return Err("the user name is empty"),
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, rest),
    };
    let (host, port) = split_port(place)?;
    // A leading dash would be an option to any program that is given the name later on.
    if host.starts_with('-') || user.as_deref().is_some_and(|user| user.starts_with('-')) {
        return Err("a name does not begin with a dash");
    }
    if host.is_empty() {
        return Err("the host name is empty");
    }
    let port = port.map(read_port).transpose()?;
    Ok(Destination { user, host: host.to_owned(), port })
}

fn split_port(place: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(bracketed) = place.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or("the bracket is not closed")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("something other than a port follows the bracket"),
        };
    }
    match place.split_once(':') {
        // Two colons and no brackets: an IPv6 address by itself.
        Some((_, rest)) if rest.contains(':') => Ok((place, None)),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((place, None)),
    }
}

fn read_port(written: &str) -> Result<u16, &'static str> {
    match written.parse() {
        Ok(port) if port != 0 && written.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        Ok(_) | Err(_) => Err("the port is not a number from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    #[test_case("login", None, "login", None)]
    #[test_case("me@login", Some("me"), "login", None)]
    #[test_case("me@login:2222", Some("me"), "login", Some(2222))]
    #[test_case("login:2222", None, "login", Some(2222))]
    #[test_case("me@site@login", Some("me@site"), "login", None; "the last at sign divides")]
    #[test_case("ssh://me@login:22/", Some("me"), "login", Some(22))]
    #[test_case("ssh://login", None, "login", None)]
    #[test_case("::1", None, "::1", None)]
    #[test_case("me@[fe80::1]:22", Some("me"), "fe80::1", Some(22))]
    #[test_case("[::1]", None, "::1", None)]
    fn good(written: &str, user: Option<&str>, host: &str, port: Option<u16>) {
        let expected = Destination { user: user.map(str::to_owned), host: host.to_owned(), port };
        assert_eq!(Destination::parse(written).unwrap(), expected);
    }

    #[test_case("", "the host name is empty")]
    #[test_case("me@", "the host name is empty"; "only a user")]
    #[test_case("@login", "the user name is empty")]
    #[test_case("-oProxyCommand=x", "a name does not begin with a dash")]
    #[test_case("-l@login", "a name does not begin with a dash"; "user with a dash")]
    #[test_case("login:0", "the port is not a number from 1 to 65535")]
    #[test_case("login:+22", "the port is not a number from 1 to 65535"; "a sign")]
    #[test_case("login:65536", "the port is not a number from 1 to 65535"; "too large")]
    #[test_case("login:", "the port is not a number from 1 to 65535"; "no digits")]
    #[test_case("ssh://login/path", "a host name has no slash")]
    #[test_case("my login", "it contains white space")]
    #[test_case("[::1", "the bracket is not closed")]
    #[test_case("[::1]x", "something other than a port follows the bracket")]
    fn bad(written: &str, expected: &str) {
        match Destination::parse(written) {
            Err(SshError::BadDestination { problem, .. }) => assert_eq!(problem, expected),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn what_is_put_together_is_taken_apart(user in "[a-z][a-z@.]{0,6}", host in "[a-z][a-z0-9.-]{0,12}", port in 1u16..) {
            let expected = Destination { user: Some(user.clone()), host: host.clone(), port: Some(port) };
            prop_assert_eq!(Destination::parse(&format!("{user}@{host}:{port}")).unwrap(), expected.clone());
            prop_assert_eq!(Destination::parse(&expected.to_string()).unwrap(), expected);
        }

        #[test]
        fn never_panics(written in "\\PC{0,40}") {
            let _ = Destination::parse(&written);
        }
    }
}
