//! Whether the host lets us in without a person: a link that breaks then comes back by itself.

use super::let_in::public_half;
use super::line::towards;
use super::{Finding, Mend, Subject};
use crate::ssh::{Entrance, SshClient, SshOptions, Survey};

const CHECK: &str = "own key";

/// Whether a new connection is made without anybody: how that came in.
pub(super) async fn come_in_again(subject: &Subject, options: &SshOptions) -> Option<Entrance> {
    let client = SshClient::new(options, subject.tasks.clone()).ok()?;
    let connected = client.connect().await;
    let entrance = client.entrance();
    client.close().await;
    connected.ok().and(entrance)
}

/// What is to be said about how we came in; nothing where it was by a key
/// from the beginning.
pub(super) fn check(options: &SshOptions, survey: &Survey, entrance: &Entrance, mended: bool) -> Option<Finding> {
    // A key is told by its fingerprint.
    let by_key = entrance.by.iter().any(|by| by.contains("SHA256:"));
    if by_key && mended {
        return Some(Finding::ok(CHECK, format!("a new connection was let in by {}", entrance.by.join(" and "))));
    }
    if by_key || entrance.by.is_empty() || !entrance.offered.iter().any(|method| method == "publickey") {
        return None;
    }
    let finding = Finding::warn(CHECK, format!("each new connection needs a person, for {}", entrance.by.join(", ")))
        .advice("let a key in, if your site allows it: then a link that breaks comes back by itself");
    Some(match public_half(survey) {
        Some(public) => {
            let key = public.to_string_lossy().into_owned();
            finding.remedy(towards("ssh-copy-id", &["-i", &key], options, &[])).mend(Mend::Install { public })
        }
        None => finding,
    })
}
