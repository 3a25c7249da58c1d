//! The keys that would be offered: files, their permissions, and what the agent holds.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::line::file_word;
use super::{Finding, Mend};
use crate::ssh::{KeyFile, SshOptions, Survey, agent_keys};

const CHECK: &str = "keys";
const AGENT: &str = "agent";

/// Of whom others have any permission.
const OTHERS: u32 = 0o077;

/// Looks at the keys, and asks the agent.
pub(super) async fn check(options: &SshOptions, survey: &Survey) -> Vec<Finding> {
    let files = survey.key_files();
    let mut findings: Vec<Finding> = files.iter().filter_map(key_file).collect();
    let held = match survey.agent() {
        None => None,
        Some(socket) => Some(agent_keys(socket).await),
    };
    let in_agent = matches!(held, Some(Ok(1..)));
    if !in_agent && !files.iter().any(|key| key.path.exists()) {
        findings.push(no_key(options, &files));
    }
    findings.extend(folder(&options.home.ssh_dir));
    findings.push(match held {
        None => Finding::ok(AGENT, "none is used"),
        Some(Ok(0)) => Finding::ok(AGENT, "it holds no key"),
        Some(Ok(1)) => Finding::ok(AGENT, "it holds one key"),
        Some(Ok(keys)) => Finding::ok(AGENT, format!("it holds {keys} keys")),
        Some(Err(problem)) => {
            let key = files.iter().find(|key| key.path.exists()).map(|key| format!(" {}", file_word(&key.path)));
            Finding::warn(AGENT, format!("it cannot be asked: {problem}"))
                .advice("where you want one, start it in the shell that you type in, and add your key")
                .remedy(format!("eval \"$(ssh-agent -s)\" && ssh-add{}", key.unwrap_or_default()))
        }
    });
    findings
}

/// What is to be said about one key; nothing about one that nobody named and that is not there.
fn key_file(key: &KeyFile) -> Option<Finding> {
    let shown = key.path.display();
    let facts = match fs::metadata(&key.path) {
        Ok(facts) => facts,
        Err(_) if !key.named => return None,
        // Only its public half may be there, with an agent or a security key for the rest.
        Err(_) if key.path.with_extension("pub").exists() => {
            return Some(Finding::ok(CHECK, format!("{shown}: the public half alone")));
        }
        Err(error) => {
            return Some(Finding::warn(CHECK, format!("{shown}: {error}")).advice("name a key that is there, with -i"));
        }
    };
    let mode = facts.permissions().mode() & 0o777;
    let is_public = key.path.extension().is_some_and(|extension| extension == "pub");
    // As OpenSSH has it: only what is a file, and our own.
    let ours = facts.is_file() && facts.uid() == nix::unistd::Uid::effective().as_raw();
    if ours && mode & OTHERS != 0 && !is_public {
        let finding = Finding::fail(CHECK, format!("{shown}: others have permissions on it ({mode:04o})"));
        return Some(
            finding
                .advice("ssh refuses such a key, and whoever reads it can log in with it")
                .remedy(format!("chmod 600 {}", file_word(&key.path)))
                .maybe_mend(taken_away(&key.path, 0o600)),
        );
    }
    Some(Finding::ok(CHECK, format!("{shown} ({mode:04o})")))
}

/// A fault only where the host lets nobody in without, which the login tells: many ask for a password alone.
fn no_key(options: &SshOptions, files: &[KeyFile]) -> Finding {
    let named = files.iter().find(|key| key.named).map(|key| key.path.clone());
    let file = named.unwrap_or_else(|| options.home.ssh_dir.join("id_ed25519"));
    let folder = file.parent().map(file_word).unwrap_or_default();
    Finding::warn(CHECK, "there is no key: no file, and none in an agent")
        .advice(
            "make one: without it, each connection needs a person (this one has no passphrase; for one that has, leave out -N '' \
             and keep the key in an agent)",
        )
        .remedy(format!("mkdir -p -m 700 {folder} && ssh-keygen -q -t ed25519 -N '' -f {}", file_word(&file)))
        .mend(Mend::NewKey { file })
}

/// Whoever may write there can put a configuration or a key in.
fn folder(folder: &Path) -> Option<Finding> {
    let mode = fs::metadata(folder).ok()?.permissions().mode() & 0o777;
    (mode & 0o022 != 0).then(|| {
        Finding::fail(CHECK, format!("{}: others can write there ({mode:04o})", folder.display()))
            .remedy(format!("chmod 700 {}", file_word(folder)))
            .maybe_mend(taken_away(folder, 0o700))
    })
}

/// A link is shown for what it leads to.
fn taken_away(path: &Path, mode: u32) -> Option<Mend> {
    let path = fs::canonicalize(path).ok()?;
    Some(Mend::Mode { path, mode })
}
