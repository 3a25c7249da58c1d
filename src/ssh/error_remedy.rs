//! What a user can do about each cause.

use std::path::Path;

use super::words::quoted;
use super::{ChangedServer, CommandFault, SshError, UnknownServer};

/// What to do about `error`, in one or two sentences, if there is something to do.
pub(super) fn remedy(error: &SshError) -> Option<String> {
    let plain = match error {
        SshError::ConfigUnreadable { file, .. } => return Some(format!("check that you may read {}", file.display())),
        SshError::HostKeyUnknown { host, besides, .. } => return Some(unknown_key(host, besides)),
        SshError::HostKeyChanged { host, file, line, besides, .. } => return Some(changed(host, file, *line, besides)),
        SshError::AuthenticationFailed { offers, .. } => return Some(another_key(offers)),
        SshError::PersonNeeded { what, .. } => return Some(login(what)),
        SshError::PersonAsked { .. } => "answer at that terminal, or end it with Ctrl-C and run `llm-proxy login`",
        SshError::Through { error, .. } => return on_the_way(error),
        SshError::StillRefused { refusal } => return Some(then_login(refusal)),
        SshError::ProxyCommandFailed { fault: CommandFault::Refused, .. } => {
            "a ProxyCommand has no terminal to ask on: let it log in with a key or an agent, or write it as ProxyJump, \
             whose questions are asked here"
        }
        SshError::ProxyCommandFailed { .. } => {
            "run the ProxyCommand of your SSH configuration by hand, and mend what it says"
        }
        SshError::Prohibited { host, .. } => return Some(forbidden(host)),
        SshError::ConnectFailed { .. } | SshError::Protocol { .. } | SshError::Closed { .. } => return None,
        SshError::BadDestination { .. } => "write it as [user@]host[:port], or as an alias of your SSH configuration",
        SshError::ConfigInvalid { .. } => "correct that line; `ssh -G HOST` shows what ssh makes of it",
        SshError::SettingInvalid { .. } => "write it as KEY=VALUE, as ssh_config(5) has it",
        SshError::ConfigRefused { .. } => "correct that; `ssh -G HOST` then prints what it comes to",
        SshError::ConfigTimedOut { .. } => {
            "a command of `Match exec`, or the look-up of a name, takes too long: try `ssh -G HOST`"
        }
        SshError::NothingLeft { keyword, .. } => another_algorithm(keyword),
        SshError::JumpCircle { .. } | SshError::TooManyJumps { .. } => {
            "set `ProxyJump none` for the first of them that you can reach directly"
        }
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
            "this program has keys, certificates, passwords and questions (one-time codes), but no Kerberos \
             (gssapi-with-mic) and no hostbased: ask your site for one of those"
        }
        SshError::AuthenticationCutOff { tried, .. } => return Some(cut_off(tried)),
        SshError::NoVerdict { .. } => {
            "run `llm-proxy login` at a terminal; where a telephone is asked, confirm there sooner, or give a code instead"
        }
        SshError::CertificateUnusable { .. } => "ask your site's tool for a new one",
        SshError::KeyUnreadable { .. } => "check the path, and that it is a private key which you may read",
        SshError::Agent { .. } => "start an agent and add your key: `eval \"$(ssh-agent)\"; ssh-add`",
        SshError::TooManyChannels { .. } => "let some requests end first",
        SshError::ExecRefused { .. } => {
            "try `ssh HOST true`: the account may have no shell, or the server's MaxSessions may be reached"
        }
        SshError::Disconnected { .. } | SshError::LoginInterrupted { .. } => "the next request connects again",
    };
    Some(plain.to_owned())
}

fn unknown_key(host: &str, besides: &UnknownServer) -> String {
    match &besides.vouched_by {
        Some(by) => vouch(by, host),
        None => unknown(besides, "start with --accept-new-host-key"),
    }
}

fn another_algorithm(keyword: &str) -> &'static str {
    match keyword {
        "HostKeyAlgorithms" => {
            "allow another one for this host (certificates only count where an @cert-authority line names it); \
             `ssh -G HOST` shows what is allowed"
        }
        _ => "allow another one for this host; `ssh -G HOST` shows what is allowed",
    }
}

/// What to do about a server on the way. Our own option is about the target alone.
fn on_the_way(error: &SshError) -> Option<String> {
    let SshError::HostKeyUnknown { besides, .. } = error else { return remedy(error) };
    Some(unknown(besides, "set `StrictHostKeyChecking accept-new` for this host in your SSH configuration"))
}

/// A remedy that ends with a login names it already.
fn then_login(refusal: &SshError) -> String {
    match remedy(refusal) {
        Some(first) if first.contains("llm-proxy login") => first,
        Some(first) => format!("{first}; then run `llm-proxy login`"),
        None => "run `llm-proxy login` at a terminal".to_owned(),
    }
}

/// `otherwise` is how it is trusted with nobody asked.
fn unknown(besides: &UnknownServer, otherwise: &str) -> String {
    let by_hand = &besides.by_hand;
    let known = format!(
        "compare the fingerprint with the one that your site publishes; if it is the same, run `llm-proxy login` or \
         `{by_hand}` at a terminal and answer yes, or {otherwise}"
    );
    match &besides.authority {
        Some((file, line)) => format!(
            "{}:{line} names a certificate authority for this host: ask those who run it for a good certificate; or {known}",
            file.display()
        ),
        None => known,
    }
}

/// What to do where another host is to know it.
fn vouch(by: &str, host: &str) -> String {
    let bare = host.strip_prefix('[').and_then(|host| host.rsplit_once("]:"));
    let ssh = match bare {
        Some((host, port)) => format!("ssh -p {port} {}", quoted(host)),
        None => format!("ssh {}", quoted(host)),
    };
    format!(
        "on {by}, run `{ssh}`, compare the fingerprint that it shows with the one that your site publishes, and answer yes if it \
         is the same; or choose another route"
    )
}

fn changed(host: &str, file: &Path, line: usize, besides: &ChangedServer) -> String {
    let ChangedServer { by_hand, users_file, key_scan, vouched_by } = besides;
    if let Some(by) = vouched_by {
        return format!(
            "somebody may be listening in, or the host was set up anew: ask those who run it, and only then run \
             `ssh-keygen -R {}` on {by}; then {}",
            quoted(host),
            vouch(by, host)
        );
    }
    // Nothing but this process knows the other key, so there is no line to take out.
    if line == 0 {
        return format!(
            "somebody may be listening in, or the host was set up anew: ask those who run it; if it was, `{by_hand}` asks \
             about its new key and writes it down; without a file of known hosts, start this program anew"
        );
    }
    let file = file.display().to_string();
    let add_to = if users_file.is_empty() { &file } else { users_file };
    let get = key_scan.as_ref().map_or_else(|| "from those who run it".to_owned(), |scan| format!("by `{scan}`"));
    format!(
        "somebody may be listening in, or the host was set up anew: ask those who run it, and only then run \
         `ssh-keygen -R {} -f {}`, and then `{by_hand}`, which asks about its new key; where several machines stand behind \
         the name, this may be another of them: get its keys {get}, compare them with what your site publishes, and add \
         the line to {add_to}",
        quoted(host),
        quoted(&file)
    )
}

fn another_key(offers: &[String]) -> String {
    let offered = |method: &str| offers.iter().any(|offer| offer == method);
    if !offered("publickey") && !offered("keyboard-interactive") && !offered("password") && offered("gssapi-with-mic") {
        return "this program has no Kerberos (gssapi-with-mic): ask your site for a way in by key, password or one-time code"
            .to_owned();
    }
    "name the right key with -i, or add it to the agent with ssh-add".to_owned()
}

/// What to do where only a person can go on.
fn login(what: &str) -> String {
    let login = "run `llm-proxy login` at a terminal, and answer there";
    match what.strip_prefix("the passphrase of ") {
        Some(key) if !key.contains(" or ") => {
            format!("{login}; or add the key to the agent: `ssh-add {}`", quoted(key))
        }
        Some(_) | None => login.to_owned(),
    }
}

/// What to do where the server had enough.
fn cut_off(tried: &[String]) -> String {
    if tried.len() > 1 {
        "the server allows only so many tries (MaxAuthTries): name the one right key with -i or IdentityFile, and set \
         `IdentitiesOnly yes` for this host"
            .to_owned()
    } else {
        "wait some minutes, and then run `llm-proxy login` at a terminal".to_owned()
    }
}

fn forbidden(host: &str) -> String {
    format!(
        "{host} forbids forwarding (AllowTcpForwarding or PermitOpen in its sshd_config): ask those who run it, or choose \
         another route"
    )
}
