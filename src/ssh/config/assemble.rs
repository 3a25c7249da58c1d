//! From what the configuration says to what a connection needs: tokens replaced, defaults filled in.

use std::path::{Path, PathBuf};

use super::by_hand::by_hand;
use super::configured::{Configured, Setting};
use super::destination::Destination;
use super::tokens::{self, OF_WAYS, Tokens};
use super::{RevokedLists, Target, UnknownHostKey, Way, readings};
use crate::ssh::words::printable;
use crate::ssh::{SshError, SshHome, SshOptions};

/// The keys that are looked for where none is named. Those of security keys are found for the agent to sign with.
const USUAL_KEYS: [&str; 5] = ["id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk"];

/// What no name of a host or user has that is handed to a shell; OpenSSH bars the same.
const FOR_SHELLS: &str = "'`\"$\\;&<>|(){}";

/// The target, and the value of its `ProxyJump`, if it is reached through another host.
///
/// # Errors
/// A setting means nothing, or allows nothing that we have.
pub(super) fn assemble(
    options: &SshOptions,
    destination: &Destination,
    mut found: Configured,
) -> Result<(Target, Option<String>), SshError> {
    // Newer versions of `ssh` end here, with these words.
    if let Some(setting) = found.get("RefuseConnection") {
        return Err(setting.origin.invalid(format!("RefuseConnection: {}", printable(setting.value()))));
    }
    let home = &options.home;
    let original = destination.host.as_str();
    let host = host_name(found.get("HostName"), original)?;
    let user = found.get("User").map_or(home.user.as_str(), Setting::value).to_owned();
    let port = readings::port(found.get("Port"))?;
    let alias = found.get("HostKeyAlias").map(|setting| setting.value().to_ascii_lowercase());
    let jump = found.get("ProxyJump").filter(|setting| !setting.is("none")).cloned();
    let hash = found.hash.clone();
    let tokens = Tokens {
        home,
        original,
        host: &host,
        port,
        user: &user,
        alias: alias.as_deref(),
        jump: jump.as_ref().map_or("", Setting::value),
        hash: hash.as_deref(),
    };
    let way = match found.get("ProxyCommand").filter(|setting| !setting.is("none")) {
        Some(setting) => Way::Command(command(setting, &tokens)?),
        None => Way::Direct,
    };
    let jump_to = jump.as_ref().map(|setting| on_the_way("ProxyJump", setting, &tokens)).transpose()?;
    let configured = files("IdentityFile", &mut found, &tokens);
    let users_files = several("UserKnownHostsFile", &mut found, &tokens, usual_files(&home.ssh_dir, "known_hosts"))?;
    let systems_files = systems_files(&found, home)?;
    let any_key_named = !options.identities.is_empty() || !found.all("IdentityFile").is_empty();
    let target = Target {
        name: options.destination.clone(),
        by_hand: by_hand(options, destination),
        way,
        named: options.identities.clone(),
        configured,
        usual: if any_key_named { Vec::new() } else { USUAL_KEYS.map(|name| home.ssh_dir.join(name)).to_vec() },
        certificates: files("CertificateFile", &mut found, &tokens),
        identities_only: readings::switch(found.get("IdentitiesOnly"))?,
        agent: agent(&mut found, &tokens),
        vouched: options.vouched.clone(),
        learn_into: users_files.first().filter(|file| *file != Path::new("/dev/null")).cloned(),
        known_hosts: users_files.into_iter().chain(systems_files).collect(),
        hash_known_hosts: readings::switch(found.get("HashKnownHosts"))?,
        unknown_host_key: match readings::unknown_host_key(&mut found)? {
            // Nobody's files are to know it, nor is it a host that the user has ever named.
            _asked if options.vouched.is_some() => UnknownHostKey::Refuse,
            _asked if options.accept_new_host_key => UnknownHostKey::Accept,
            configured => configured,
        },
        revoked_host_keys: revoked_lists(&found, &tokens)?,
        methods: readings::methods(&found)?,
        password_prompts: readings::number(found.get("NumberOfPasswordPrompts"))?.unwrap_or(3),
        batch: readings::switch(found.get("BatchMode"))?,
        algorithms: readings::algorithms(&found)?,
        keep_alive: readings::keep_alive(&found)?,
        connect_timeout: readings::span(found.get("ConnectTimeout"))?,
        address_family: readings::address_family(found.get("AddressFamily"))?,
        bind_address: readings::bind_address(&mut found),
        host_key_alias: alias.clone(),
        host: host.clone(),
        port,
        user: user.clone(),
        warnings: found.warnings,
    };
    Ok((target, jump_to))
}

/// The name to connect to.
fn host_name(setting: Option<&Setting>, original: &str) -> Result<String, SshError> {
    let host = match setting {
        Some(setting) => tokens::host_name(setting.value(), original)
            .map_err(|problem| setting.origin.invalid(format!("HostName {}: {problem}", setting.value())))?,
        None => original.to_owned(),
    };
    // As in OpenSSH; what holds a percent sign is an address with its interface.
    Ok(if host.contains('%') { host } else { host.to_ascii_lowercase() })
}

/// The command of `ProxyCommand`. Names go into it as they are, so they must mean nothing to a shell.
fn command(setting: &Setting, tokens: &Tokens<'_>) -> Result<String, SshError> {
    for (token, name) in [("%h", tokens.host), ("%n", tokens.original), ("%r", tokens.user)] {
        let harmless = !name.starts_with('-') && !name.contains(|c: char| FOR_SHELLS.contains(c) || c.is_control());
        if !harmless && setting.value().contains(token) {
            let problem = format!("ProxyCommand: `{name}` cannot be handed to a shell");
            return Err(setting.origin.invalid(problem));
        }
    }
    on_the_way("ProxyCommand", setting, tokens)
}

fn on_the_way(name: &str, setting: &Setting, tokens: &Tokens<'_>) -> Result<String, SshError> {
    let replaced = tokens.replace(setting.value(), OF_WAYS);
    replaced.map_err(|problem| setting.origin.invalid(format!("{name} {}: {problem}", setting.value())))
}

/// The files of a keyword of which every line names one; what cannot be read as a name is passed over aloud.
fn files(name: &'static str, found: &mut Configured, tokens: &Tokens<'_>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for setting in found.all(name).to_vec() {
        if setting.is("none") {
            continue;
        }
        match tokens.file(setting.value()) {
            Ok(file) => files.push(file),
            Err(problem) => found.warn(passed_over(name, setting.value(), &setting, &problem)),
        }
    }
    files
}

/// The files of a keyword of which one line names several.
fn several(
    name: &'static str,
    found: &mut Configured,
    tokens: &Tokens<'_>,
    usual: Vec<PathBuf>,
) -> Result<Vec<PathBuf>, SshError> {
    let Some(setting) = found.get(name).cloned() else { return Ok(usual) };
    let mut files = Vec::new();
    for written in values_or_none(&setting)? {
        match tokens.file(written) {
            Ok(file) => files.push(file),
            Err(problem) => found.warn(passed_over(name, written, &setting, &problem)),
        }
    }
    Ok(files)
}

fn passed_over(name: &str, written: &str, setting: &Setting, problem: &str) -> String {
    format!("{}: {name} {written} is passed over: {problem}", setting.origin)
}

/// OpenSSH knows no tokens in the names of the system's files.
fn systems_files(found: &Configured, home: &SshHome) -> Result<Vec<PathBuf>, SshError> {
    let Some(setting) = found.get("GlobalKnownHostsFile") else {
        return Ok(usual_files(&home.system_dir, "ssh_known_hosts"));
    };
    let file =
        |written: &String| tokens::below_home(written, &home.home).map_err(|problem| setting.origin.invalid(problem));
    values_or_none(setting)?.iter().map(file).collect()
}

fn usual_files(folder: &Path, name: &str) -> Vec<PathBuf> {
    vec![folder.join(name), folder.join(format!("{name}2"))]
}

/// The values, or nothing for `none`, which stands alone as in OpenSSH.
fn values_or_none(setting: &Setting) -> Result<&[String], SshError> {
    let none = |value: &String| value.eq_ignore_ascii_case("none");
    match setting.values.as_slice() {
        [only] if none(only) => Ok(&[]),
        values if values.iter().any(none) => Err(setting.origin.invalid("`none` must stand alone")),
        values => Ok(values),
    }
}

/// What cannot be read as a name is no reason to do without the list.
fn revoked_lists(found: &Configured, tokens: &Tokens<'_>) -> Result<Option<RevokedLists>, SshError> {
    let Some(setting) = found.get("RevokedHostKeys") else { return Ok(None) };
    let file = |written: &String| {
        let problem = |problem| setting.origin.invalid(format!("RevokedHostKeys {written}: {problem}"));
        tokens.file(written).map_err(problem)
    };
    let lists: Vec<PathBuf> = values_or_none(setting)?.iter().map(file).collect::<Result<_, _>>()?;
    Ok((!lists.is_empty()).then(|| RevokedLists { lists, named_by: setting.origin.to_string() }))
}

fn agent(found: &mut Configured, tokens: &Tokens<'_>) -> Option<PathBuf> {
    let Some(setting) = found.get("IdentityAgent").cloned() else { return tokens.home.agent_socket.clone() };
    if setting.is("none") {
        return None;
    }
    match setting.value() {
        "SSH_AUTH_SOCK" => tokens.home.agent_socket.clone(),
        value => match value.strip_prefix('$').filter(|rest| !rest.starts_with('{')) {
            Some(variable) => std::env::var_os(variable).map(PathBuf::from),
            None => match tokens.file(value) {
                Ok(socket) => Some(socket),
                Err(problem) => {
                    found.warn(passed_over("IdentityAgent", value, &setting, &problem));
                    None
                }
            },
        },
    }
}
