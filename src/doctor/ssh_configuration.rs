//! Which entries of the SSH configuration apply.

use super::line::parted;
use super::{Finding, Mend, own_file};
use crate::ssh::{SshError, SshOptions, Survey};

const CHECK: &str = "ssh configuration";

/// What a host is called that has no name.
const FOR_AN_ADDRESS: &str = "cluster";

/// What the configuration comes to.
pub(super) fn check(survey: &Result<Survey, SshError>) -> Vec<Finding> {
    let survey = match survey {
        Ok(survey) => survey,
        Err(error) => return vec![Finding::fail(CHECK, error.to_string()).maybe_advice(error.remedy())],
    };
    let entries: Vec<String> = survey.entries().into_iter().map(|(name, value)| format!("{name} {value}")).collect();
    let mut findings = vec![Finding::ok(CHECK, entries.join(", "))];
    findings.extend(survey.warnings().iter().map(|warning| Finding::warn(CHECK, warning.clone())));
    findings
}

/// Offers a short name for a host that was named by all its parts.
pub(super) fn short_name(options: &SshOptions, survey: &Survey) -> Option<Finding> {
    let has_parts = options.destination.contains(['@', ':']) || options.port.is_some() || options.user.is_some();
    let file = options.config_file.clone().unwrap_or_else(|| options.home.ssh_dir.join("config"));
    let (name, _) = parted(&options.destination);
    let host = name.rsplit('@').next().unwrap_or_default();
    let alias = if is_address(host) { FOR_AN_ADDRESS } else { host.split('.').next().unwrap_or(FOR_AN_ADDRESS) };
    let text = own_file::text(&file).unwrap_or_default();
    if !has_parts || text.split_whitespace().any(|word| word == alias) {
        return None;
    }
    // What would need quotes, or would be read as a token, could break the file for every host.
    let odd = |text: &str| text.contains(|c: char| c.is_whitespace() || "%\"'#\\".contains(c));
    if survey.entries().iter().any(|(_, value)| odd(value))
        || options.config_file.as_ref().is_some_and(|file| *file == *"none")
    {
        return None;
    }
    let mut lines = vec![format!("Host {alias}")];
    for (name, value) in survey.entries() {
        if ["HostName", "Port", "User", "ProxyJump", "IdentityFile"].contains(&name) {
            lines.push(format!("  {name} {value}"));
        }
    }
    let seen = format!("no entry for this host; with one, `--login {alias}` is enough");
    Some(Finding::ok("host entry", seen).mend(Mend::Append { file, text: lines.join("\n") }))
}

fn is_address(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}
