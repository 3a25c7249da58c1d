//! `ssh -G`: OpenSSH's own client says what the configuration comes to. It is the one truth for `Match`, `Include` and
//! canonical names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::configured::{Configured, Origin, Setting};
use super::destination::Destination;
use super::keywords::{Keyword, Takes};
use super::openssh_process::{self, Answer};
use crate::ssh::{SshError, SshOptions};

/// What is asked along with the rest, to see which tokens this version replaces by itself: it leaves those of names of keys
/// to its caller, and others according to its age.
const PROBES: [&str; 3] = ["UserKnownHostsFile", "IdentityAgent", "RevokedHostKeys"];

/// Asks `program`; `None` where it is not an OpenSSH client that answers.
///
/// # Errors
/// It refuses the configuration, or does not answer in time.
pub(in crate::ssh) fn ask(
    program: &Path,
    options: &SshOptions,
    destination: &Destination,
) -> Result<Option<Configured>, SshError> {
    let Some(mut defaults) = defaults(program, false)? else { return Ok(None) };
    let printed = match openssh_process::run(program, &arguments(options, destination))? {
        Answer::Printed(text) => Printed::read(&text),
        Answer::Refused { words } => return Err(SshError::ConfigRefused { words }),
        Answer::NotThere => return Ok(None),
    };
    if printed.is("batchmode", "yes")
        && let Some(of_batches) = self::defaults(program, true)?
    {
        defaults = of_batches;
    }
    let mut found = configured(&printed, &defaults);
    found.wants_gssapi =
        printed.is("gssapiauthentication", "yes") && !system_wants_gssapi(program, options, destination);
    Ok(Some(found))
}

/// As a user would call it. Keys that the caller names are left out: they change nothing else, and stay apart from those
/// that the configuration names.
fn arguments(options: &SshOptions, destination: &Destination) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["-G".into()];
    let mut option = |letter: &str, value: OsString| arguments.extend([letter.into(), value]);
    // We share no connection with `ssh`, so this place is free to have %C told to us; the first to name it wins.
    option("-o", "ControlPath=/%C".into());
    if let Some(file) = &options.config_file {
        option("-F", file.into());
    }
    if let Some(user) = &destination.user {
        option("-l", user.into());
    }
    if let Some(port) = destination.port {
        option("-p", port.to_string().into());
    }
    if let Some(jump) = &options.jump {
        option("-J", jump.into());
    }
    for setting in &options.settings {
        option("-o", setting.into());
    }
    arguments.extend(["--".into(), destination.host.clone().into()]);
    arguments
}

/// What `ssh -G` printed: for each keyword, in small letters, its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Printed(BTreeMap<String, Vec<String>>);

impl Printed {
    fn read(text: &str) -> Self {
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
            lines.entry(keyword.to_ascii_lowercase()).or_default().push(value.to_owned());
        }
        Self(lines)
    }

    fn first(&self, keyword: &str) -> Option<&str> {
        self.0.get(keyword)?.first().map(String::as_str)
    }

    fn is(&self, keyword: &str, value: &str) -> bool {
        self.first(keyword).is_some_and(|first| first == value)
    }
}

/// What was asked before: the program, and whether nobody is there to be asked.
type Known = BTreeMap<(PathBuf, bool), Option<Arc<Defaults>>>;

/// What this program says where nothing is configured.
#[derive(Debug)]
struct Defaults {
    printed: Printed,
    /// Which of [`PROBES`] come with their tokens replaced.
    replaced: Vec<&'static str>,
}

/// Asked once for each program, and once more for `BatchMode`: Debian's `ssh` then keeps connections alive by default.
fn defaults(program: &Path, batch: bool) -> Result<Option<Arc<Defaults>>, SshError> {
    static KNOWN: Mutex<Known> = Mutex::new(BTreeMap::new());
    let asked = (program.to_owned(), batch);
    if let Some(known) = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&asked) {
        return Ok(known.clone());
    }
    let mut arguments: Vec<OsString> = ["-G", "-F", "/dev/null"].map(OsString::from).to_vec();
    for probe in PROBES {
        arguments.extend(["-o".into(), format!("{probe}=/%h").into()]);
    }
    if batch {
        arguments.extend(["-o", "BatchMode=yes"].map(OsString::from));
    }
    arguments.extend(["--", "nothing-configured"].map(OsString::from));
    let defaults = match openssh_process::run(program, &arguments)? {
        Answer::Printed(text) => {
            let mut printed = Printed::read(&text);
            let replaced = |probe: &&str| !printed.is(&probe.to_ascii_lowercase(), "/%h");
            let replaced: Vec<&'static str> = PROBES.into_iter().filter(replaced).collect();
            for probe in PROBES {
                printed.0.remove(&probe.to_ascii_lowercase());
            }
            printed.first("hostname").is_some().then(|| Arc::new(Defaults { printed, replaced }))
        }
        // Such as Dropbear's, which goes by the same name.
        Answer::Refused { words } => {
            tracing::debug!(program = %program.display(), words, "this is no OpenSSH that knows -G");
            None
        }
        Answer::NotThere => None,
    };
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(asked, defaults.clone());
    Ok(defaults)
}

/// What differs from the defaults is what somebody configured: `ssh` prints both alike.
fn configured(printed: &Printed, defaults: &Defaults) -> Configured {
    let mut found = Configured::default();
    for (written, lines) in &printed.0 {
        let Some(keyword) = Keyword::named(written) else { continue };
        let always = matches!(keyword.name, "HostName" | "User" | "Port" | "BatchMode");
        if !always && defaults.printed.0.get(written) == Some(lines) {
            continue;
        }
        let replaced = keyword.name == "HostName" || defaults.replaced.contains(&keyword.name);
        for line in lines {
            let mut values = if keyword.takes == Takes::Several { paths(line) } else { vec![line.clone()] };
            if replaced {
                // So that what is left of `%%` is not replaced once more.
                values = values.iter().map(|value| value.replace('%', "%%")).collect();
            }
            found.add(keyword, Setting { values, origin: Origin::OpenSsh });
        }
    }
    found.hash = printed.first("controlpath").and_then(|path| path.strip_prefix('/')).map(str::to_owned);
    // An older one may leave the token as it is.
    found.hash = found.hash.filter(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    found
}

/// Paths in one line, which `ssh` prints without quotes: what does not begin like a path belongs to the one before.
fn paths(line: &str) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for word in line.split(' ') {
        match paths.last_mut() {
            Some(last) if !word.starts_with(['/', '~', '%', '$']) => {
                last.push(' ');
                last.push_str(word);
            }
            Some(_) | None => paths.push(word.to_owned()),
        }
    }
    paths
}

/// Some distributions switch GSSAPI on for everybody, and few users mean it.
fn system_wants_gssapi(program: &Path, options: &SshOptions, destination: &Destination) -> bool {
    if options.config_file.is_some() {
        return false;
    }
    let system = options.home.system_dir.join("ssh_config");
    let arguments = ["-G".into(), "-F".into(), system.into(), "--".into(), destination.host.clone().into()];
    match openssh_process::run(program, &arguments) {
        Ok(Answer::Printed(text)) => Printed::read(&text).is("gssapiauthentication", "yes"),
        Ok(Answer::Refused { .. } | Answer::NotThere) | Err(_) => false,
    }
}

#[cfg(test)]
#[path = "openssh_test.rs"]
mod tests;
