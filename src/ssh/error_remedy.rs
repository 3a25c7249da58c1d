//! What a user can do about each cause.

use std::path::{Path, PathBuf};

use super::SshError;

/// What to do about `error`, in one or two sentences, if there is something to do.
pub(super) fn remedy(error: &SshError) -> Option<String> {
    let plain = match error {
        SshError::ConfigUnreadable { file, .. } => return Some(format!("check that you may read {}", file.display())),
        SshError::ProxyUnsupported { option, .. } => return Some(without_proxy(option)),
        SshError::HostKeyUnknown { destination, authority, .. } => {
            return Some(by_hand(destination, authority.as_deref()));
        }
        SshError::HostKeyChanged { host, file, .. } => return Some(changed(host, file)),
        SshError::AuthenticationFailed { offers, .. } => return Some(another_key(offers)),
        SshError::KeyEncrypted { file } => return Some(format!("add it to the agent: `ssh-add '{}'`", file.display())),
        SshError::Prohibited { host, .. } => return Some(forbidden(host)),
        SshError::ConnectFailed { .. } | SshError::Protocol { .. } | SshError::Closed { .. } => return None,
        SshError::BadDestination { .. } => "write it as [user@]host[:port], or as an alias of your SSH configuration",
        SshError::ConfigInvalid { .. } => "correct that line; `ssh -G HOST` shows what ssh makes of it",
        SshError::NameNotResolved { .. } => "check the spelling, your SSH configuration and, if one is needed, the VPN",
        SshError::ConnectionRefused { .. } => "check the port: the host is there, and nothing listens on it",
        SshError::ConnectionTimedOut { .. } | SshError::Unreachable { .. } => {
            "check the network and, if one is needed, the VPN"
        }
        SshError::HandshakeTimedOut { .. } => {
            "check that this port is an SSH server's; a firewall may also hold the connection up"
        }
        SshError::TurnedAway { .. } => {
            "wait some minutes and try again: servers turn away those who connect or fail too often"
        }
        SshError::NoCommonAlgorithm { .. } => "the server is very old or very strict: ask those who run it",
        SshError::HostKeyRevoked { .. } => "do not connect; ask those who run the host for its new key",
        SshError::RevokedHostKeysUnusable { .. } => {
            "name a list of public keys, one a line: without it, a revoked key cannot be told from a good one"
        }
        SshError::KnownHostsUnreadable { .. } => {
            "make the file readable: without it, no server can be told from another"
        }
        SshError::MoreAuthenticationNeeded { .. } => {
            "this version can only show keys: ask your site for a way in by key alone"
        }
        SshError::AuthenticationCutOff { .. } => {
            "name the one right key with -i, and set `IdentitiesOnly yes` for this host"
        }
        SshError::KeyUnreadable { .. } => "check the path, and that it is a private key which you may read",
        SshError::Agent { .. } => "start an agent and add your key: `eval \"$(ssh-agent)\"; ssh-add`",
        SshError::TooManyChannels { .. } => "let some requests end first",
        SshError::ExecRefused { .. } => {
            "try `ssh HOST true`: the account may have no shell, or the server's MaxSessions may be reached"
        }
        SshError::Disconnected { .. } => "the next request connects again",
    };
    Some(plain.to_owned())
}

fn without_proxy(option: &str) -> String {
    format!("run this program on a machine that reaches the host by itself, or set `{option} none` for this host")
}

fn by_hand(destination: &str, authority: Option<&(PathBuf, usize)>) -> String {
    let known = format!(
        "run `ssh {destination}` once, compare the fingerprint it shows with the one that your site publishes, and answer yes"
    );
    match authority {
        Some((file, line)) => format!(
            "{known} ({}:{line} names a certificate authority for it, which this version does not use)",
            file.display()
        ),
        None => known,
    }
}

fn changed(host: &str, file: &Path) -> String {
    format!(
        "somebody may be listening in, or the host was set up anew: ask those who run it, and only then run \
         `ssh-keygen -R '{host}' -f '{}'`",
        file.display()
    )
}

fn another_key(offers: &[String]) -> String {
    let key = "name the right key with -i, or add it to the agent with ssh-add";
    if offers.iter().any(|method| method == "password" || method == "keyboard-interactive") {
        format!("{key}; this version cannot answer a password or a one-time code")
    } else {
        key.to_owned()
    }
}

fn forbidden(host: &str) -> String {
    format!(
        "{host} forbids forwarding (AllowTcpForwarding or PermitOpen in its sshd_config): ask those who run it, or choose \
         another route"
    )
}
