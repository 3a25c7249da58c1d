//! What kind of end a `ProxyCommand` came to, and so whether it may be tried again.

/// Why a `ProxyCommand` carried no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandFault {
    /// It never ran.
    NotRun,
    /// Something that it logs in to would not have it: sites bar whoever fails to log in too often.
    Refused,
    /// It failed before the server spoke, and nothing says that this may pass; it may be a refusal in other words.
    Unexplained,
    /// The network, or the server, ended it.
    Passing,
}

/// The codes of a shell that found no such command, or may not run it.
const NOT_RUN: [i32; 2] = [126, 127];

/// What an inner `ssh`, or a program like it, says of a login that was refused, or that nobody was there for.
const OF_A_REFUSAL: [&str; 5] =
    ["permission denied", "access denied", "host key verification failed", "authentication", "askpass"];

/// What such a program says of a network that is not there just now, and of a server that is busy: before any login, and so
/// none of them can have failed. (A connection that was closed or timed out may have been, in the middle of one.)
const OF_THE_NETWORK: [&str; 10] = [
    "resolve",
    "name resolution",
    "not known",
    "unreachable",
    "no route to host",
    "network is down",
    "connection refused",
    "connect to host",
    "kex_exchange_identification",
    "banner exchange",
];

impl CommandFault {
    /// Judges an end with this status, if it has one, and these last words; `greeted`: the server had spoken by then.
    pub(super) fn judge(code: Option<i32>, words: &str, greeted: bool) -> Self {
        let words = words.to_ascii_lowercase();
        let speaks_of = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
        match code {
            Some(code) if NOT_RUN.contains(&code) => Self::NotRun,
            // Ended by a signal, or in order; or what ended it came later than any login of its own.
            None | Some(0) => Self::Passing,
            Some(_) if greeted => Self::Passing,
            Some(_) if speaks_of(&OF_A_REFUSAL) => Self::Refused,
            Some(_) if speaks_of(&OF_THE_NETWORK) => Self::Passing,
            Some(_) => Self::Unexplained,
        }
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::CommandFault::{self, NotRun, Passing, Refused, Unexplained};

    #[test_case(255, "me@gate: Permission denied (publickey,password)." => Refused)]
    #[test_case(255, "Host key verification failed." => Refused)]
    #[test_case(255, "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures" => Refused)]
    #[test_case(255, "gate: Permission denied (publickey).; Connection closed by UNKNOWN port 65535" => Refused; "both")]
    #[test_case(1, "FATAL ERROR: No supported authentication methods available" => Refused; "PuTTY")]
    #[test_case(1, "Proxy error: 407 Proxy Authentication Required" => Refused)]
    #[test_case(255, "ssh: Could not resolve hostname gate: Temporary failure in name resolution" => Passing; "no names")]
    #[test_case(255, "ssh: connect to host gate port 22: Network is unreachable" => Passing)]
    #[test_case(255, "kex_exchange_identification: Connection closed by remote host" => Passing)]
    #[test_case(1, "nc: getaddrinfo: Name or service not known" => Passing)]
    #[test_case(255, "ssh: connect to host gate port 22: Connection timed out" => Passing)]
    #[test_case(255, "Connection closed by 192.0.2.1 port 22" => Unexplained; "it may have been a refusal")]
    #[test_case(255, "Login timed out." => Unexplained)]
    #[test_case(1, "" => Unexplained; "not a word")]
    #[test_case(2, "token expired, run site-login" => Unexplained)]
    #[test_case(127, "sh: cloudflared: not found" => NotRun)]
    #[test_case(126, "sh: ./proxy: Permission denied" => NotRun; "may not be run")]
    #[test_case(0, "Permission denied" => Passing; "an end in order")]
    fn an_end_before_the_greeting(code: i32, words: &str) -> CommandFault {
        CommandFault::judge(Some(code), words, false)
    }

    #[test]
    fn an_end_by_a_signal_or_after_the_greeting_may_pass() {
        assert_eq!(CommandFault::judge(None, "Permission denied", false), Passing);
        assert_eq!(CommandFault::judge(Some(255), "Permission denied", true), Passing);
        assert_eq!(CommandFault::judge(Some(127), "not found", true), NotRun);
    }
}
