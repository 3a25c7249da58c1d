//! Whether the server is the one that we know, and whether it lets us in.

use std::path::PathBuf;

use tokio_util::task::TaskTracker;

use super::line::{append, file_word, shell_line, towards};
use super::mend::Compared;
use super::{Finding, Mend};
use crate::ssh::{AcceptedKey, Person, SshClient, SshError, SshOptions, Survey};

const HOST_KEY: &str = "host key";
const LOGIN: &str = "authentication";

/// Connects once with nobody, and again with somebody where only a person can go on.
pub(super) async fn check(
    options: &SshOptions,
    survey: &Survey,
    person: &Person,
    tasks: &TaskTracker,
) -> (Vec<Finding>, Option<SshClient>) {
    let client = match SshClient::new(options, tasks.clone()) {
        Ok(client) => client,
        Err(error) => return (vec![Finding::fail(LOGIN, error.to_string()).maybe_advice(error.remedy())], None),
    };
    let mut connected = client.connect().await;
    // What was refused is not shown again: only who was not asked yet is asked.
    let nobody_was_asked = |error: &SshError| matches!(error.root(), SshError::PersonNeeded { .. });
    if connected.as_ref().is_err_and(nobody_was_asked) && person.is_there() {
        connected = client.connect_with(person).await;
    }
    let error = match connected {
        Ok(()) => {
            let entrance = client.entrance().unwrap_or_default();
            let mut seen = match entrance.by.as_slice() {
                [] => "it asked for nothing".to_owned(),
                by => format!("let in by {}", by.join(" and ")),
            };
            if !entrance.offered.is_empty() {
                seen = format!("{seen} (it offers {})", entrance.offered.join(", "));
            }
            return (vec![known(&client), Finding::ok(LOGIN, seen)], Some(client));
        }
        Err(error) => error,
    };
    let known = known(&client);
    client.close().await;
    let findings = if error.is_host_key() {
        vec![host_key(&error), Finding::skipped(LOGIN, "no server is told who we are before it is known")]
    } else if error.is_authentication() {
        vec![known, refused(&error, options, survey)]
    } else {
        vec![Finding::fail(HOST_KEY, format!("it was not seen: {error}")).maybe_advice(error.remedy())]
    };
    (findings, None)
}

/// What is said of the key of a server that was taken for the right one.
fn known(client: &SshClient) -> Finding {
    let accepted = client.accepted_keys();
    if accepted.is_empty() {
        return Finding::ok(HOST_KEY, "it is the one that is known");
    }
    let (mut seen, mut undo) = (Vec::new(), Vec::new());
    for AcceptedKey { host, fingerprint, kept } in &accepted {
        seen.push(match kept {
            Ok(file) => {
                undo.push(format!("`{}`", shell_line(&["ssh-keygen", "-R", host, "-f", file])));
                format!("the key of {host} was not known; {fingerprint} was taken unseen, and added to {file}")
            }
            Err(problem) => {
                format!("the key of {host} was not known; {fingerprint} was taken unseen, and not kept: {problem}")
            }
        });
    }
    let undo = if undo.is_empty() { String::new() } else { format!("; if it is another, run {}", undo.join(" and ")) };
    Finding::warn(HOST_KEY, seen.join("; ")).advice(format!(
        "--accept-new-host-key, or StrictHostKeyChecking in your SSH configuration, says so. Compare it with what your site \
         publishes{undo}"
    ))
}

fn host_key(error: &SshError) -> Finding {
    let finding = Finding::fail(HOST_KEY, error.to_string()).maybe_advice(error.remedy());
    match error.root() {
        SshError::HostKeyUnknown { host, fingerprint, file, key, .. } => {
            let Ok(key) = key.to_openssh() else { return finding };
            let finding = finding.advice(format!(
                "that is so for everyone who comes for the first time. Compare {fingerprint} with what your site publishes for \
                 {host} (in its documentation; or ask those who run it), and only if it is the same, add the line"
            ));
            if file.as_os_str().is_empty() {
                return finding;
            }
            let line = format!("{host} {}", key.trim_end());
            let with = "what your site publishes (in its documentation; or ask those who run it) for";
            let compared = Compared { host: host.clone(), fingerprint: fingerprint.to_string(), with };
            finding.remedy(append(file, &line)).mend(Mend::Trust { file: file.clone(), line, compared })
        }
        SshError::HostKeyChanged { host, file, line: 1.., .. } => {
            let file = file.to_string_lossy();
            finding.remedy(shell_line(&["ssh-keygen", "-R", host, "-f", &file]))
        }
        _ => finding,
    }
}

/// The first key of ours that has a public half beside it.
pub(super) fn public_half(survey: &Survey) -> Option<PathBuf> {
    let beside = |path: PathBuf| {
        let mut name = path.into_os_string();
        name.push(".pub");
        PathBuf::from(name)
    };
    survey.key_files().into_iter().map(|key| beside(key.path)).find(|public| public.exists())
}

fn refused(error: &SshError, options: &SshOptions, survey: &Survey) -> Finding {
    let finding = Finding::fail(LOGIN, error.to_string()).maybe_advice(error.remedy());
    let by_hand = match error.root() {
        SshError::PersonNeeded { .. } => true,
        SshError::AuthenticationFailed { offers, .. } if offers.iter().any(|offer| offer == "publickey") => {
            offers.iter().any(|offer| offer == "password" || offer == "keyboard-interactive")
        }
        _ => return finding,
    };
    let Some(public) = public_half(survey) else { return finding };
    let key = public.to_string_lossy();
    if by_hand {
        finding
            .advice(
                "have your key let in by the line below, which logs in once with what the server asks you for (a password, a \
                 code); or run the doctor at a terminal, which offers that",
            )
            .remedy(towards("ssh-copy-id", &["-i", &key], options, &[]))
    } else {
        finding
            .advice(
                "the server takes keys alone, and none of yours: name the right one with -i, or give your site this public \
                 key (a portal, or ~/.ssh/authorized_keys there)",
            )
            .remedy(format!("cat {}", file_word(&public)))
    }
}
