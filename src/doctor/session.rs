//! Whether commands can be run on the host, in which shell, and what its profile prints by itself.

use std::time::SystemTime;

use super::ask::{Said, ask};
use super::line::towards;
use super::{Finding, Subject, clock};
use crate::backend;
use crate::host::{Host, Shell};

const SHELL: &str = "shell";
const PROFILE: &str = "profile";

/// The most of a profile's words that is repeated, in characters.
const MOST_WORDS: usize = 120;

const SCRIPT: &str = r#"
echo "shell=$SHELL"
echo "now=$(date +%s)"
echo "host=$(hostname 2>/dev/null || uname -n)"
echo "system=$(uname -sr)"
echo "door=$SSH_CONNECTION"
"#;

/// What the rest of the visit wants to know.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    /// The address by which the connection came to the host, as the host sees it, and the port.
    pub(super) door: Option<(String, u16)>,
}

/// Runs a first script.
pub(super) async fn check(subject: &Subject, host: &Host) -> (Vec<Finding>, Option<Session>) {
    let asked = SystemTime::now();
    let said = match ask(host, subject.shell, SCRIPT).await {
        Ok(said) => said,
        Err(error) => {
            let finding = Finding::fail(SHELL, error.to_string())
                .advice("the account may have no shell there, or its profile may end it: try what the line does");
            let line = subject.login.as_ref().map(|options| towards("ssh", &[], options, &[subject.shell.command()]));
            return (vec![Finding { remedy: line, ..finding }], None);
        }
    };
    let answered = SystemTime::now();
    let fact = |name| said.fact(name).unwrap_or("unknown");
    let seen = format!("{} on {} ({}), by {}", fact("shell"), fact("host"), fact("system"), subject.shell.command());
    let findings =
        vec![Finding::ok(SHELL, seen), profile(subject, &said), clock::check(said.fact("now"), asked, answered)];
    let door = said.fact("door").and_then(|door| {
        let mut fields = door.split_whitespace().skip(2);
        Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
    });
    (findings, Some(Session { door }))
}

/// What the profile prints by itself.
fn profile(subject: &Subject, said: &Said) -> Finding {
    if said.noise.is_empty() {
        return Finding::ok(PROFILE, "it prints nothing by itself");
    }
    let words: String = backend::visible(&said.noise.replace('\n', " / ")).chars().take(MOST_WORDS).collect();
    let finding = Finding::warn(PROFILE, format!("it prints by itself: {words}"));
    let by_bash = said.fact("shell").is_some_and(|shell| shell.ends_with("/bash"));
    match &subject.login {
        // Bash reads this file for a command that sshd runs; what else is in it is for a person's prompt. It is not edited from
        // here: what must be set for commands, such as a PATH, may stand anywhere in it.
        Some(_) if by_bash && subject.shell == Shell::Posix => finding.advice(
            "this program can live with it; scp, rsync and others cannot. In ~/.bashrc on the host, put the line \
             `case $- in *i*) ;; *) return ;; esac` before what prints, and below what commands need, such as PATH",
        ),
        Some(_) | None => finding.advice(
            "this program can live with it; scp, rsync and others cannot. Let the profile print only at a terminal: \
             [ -t 1 ] && echo …",
        ),
    }
}
