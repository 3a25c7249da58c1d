//! What can go wrong with a life beside its engine and its job, and what to do.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use crate::backend::Diagnosis;
use crate::host::HostError;
use crate::id::InstanceName;
use crate::keeper::ScriptError;
use crate::route::PassedOver;

fn diagnosis(code: &'static str, summary: String, remedy: &str) -> Diagnosis {
    Diagnosis { code, summary, remedy: remedy.to_owned() }
}

/// The engine or its job ended, and nobody said why.
#[must_use]
pub fn vanished() -> Diagnosis {
    diagnosis(
        "vanished",
        "the engine ended without a word".to_owned(),
        "try again; if it happens again, read the engine's log with -v, and ask the cluster's operators whether the \
         host was restarted",
    )
}

pub(super) fn no_random_bytes() -> Diagnosis {
    diagnosis("no_random_bytes", "the operating system gave no random bytes".to_owned(), "try again")
}

pub(super) fn command_not_written(error: &ScriptError) -> Diagnosis {
    diagnosis("bad_command", format!("the command cannot be run: {error}"), "mend the command, and start again")
}

pub(super) fn record_not_written(path: &Path, error: &dyn Display) -> Diagnosis {
    diagnosis(
        "state_not_written",
        format!("{} cannot be written: {error}", path.display()),
        "make room there, or make the folder writable: without this record a lost job could not be found again",
    )
}

/// The code of a start, or of a link, that only a person can help on.
pub const LOGIN_REQUIRED: &str = "login_required";

/// Only a person can make the connection to the host, for this cause. A login is the end of it, and seldom all: a key has
/// to be named, or a fingerprint compared, before; `remedy` says so.
#[must_use]
pub fn login_required(instance: &InstanceName, what: &dyn Display, remedy: Option<&str>) -> Diagnosis {
    let login = format!("`llm-proxy login {instance}`");
    let remedy = match remedy {
        Some(whole) if whole.contains("`llm-proxy login`") => whole.replace("`llm-proxy login`", &login),
        Some(before) => format!("{before}; then run {login}"),
        None => format!("run {login} at a terminal, and answer there"),
    };
    Diagnosis { code: LOGIN_REQUIRED, summary: what.to_string(), remedy }
}

pub(super) fn host_unreachable(instance: &InstanceName, error: &HostError) -> Diagnosis {
    if error.needs_person() {
        return login_required(instance, error, error.remedy().as_deref());
    }
    let remedy = error.remedy().unwrap_or_else(|| "check the host's name and the network, then try again".to_owned());
    Diagnosis { code: "host_unreachable", summary: error.to_string(), remedy }
}

pub(super) fn host_silent() -> Diagnosis {
    diagnosis(
        "host_silent",
        "the host took our script and did not answer".to_owned(),
        "log in there by hand: a profile that waits for something, or a home folder that is not there, may be why",
    )
}

pub(super) fn shell_failed(noise: &str) -> Diagnosis {
    let noise = crate::backend::redact(noise.lines().last().unwrap_or("it printed nothing"));
    diagnosis(
        "host_shell_failed",
        format!("the host's /bin/sh did not run what it was given: {}", noise.chars().take(300).collect::<String>()),
        "log in there by hand and run `/bin/sh -c 'command -v setsid tail mkdir'`: all three must be found; some hosts \
         allow no commands at all",
    )
}

pub(super) fn folder_not_written(text: &str) -> Diagnosis {
    diagnosis(
        "host_folder_not_written",
        format!("the host cannot keep the engine's files: {text}"),
        "make room in your home folder on the host (the files are small, in ~/.local/state/llm-proxy)",
    )
}

pub(super) fn folder_not_on_node(node: &str) -> Diagnosis {
    diagnosis(
        "folder_not_on_node",
        format!(
            "{node} could not begin the job: the files that this program keeps on the host are most likely not there"
        ),
        "--batch needs a folder that the host shares with its nodes: where the home folder is none, set XDG_STATE_HOME to \
         one in what your shell there reads for commands (~/.bashrc for bash), or leave --batch out",
    )
}

pub(super) fn on_another_machine(machine: &str, here: &str) -> Diagnosis {
    diagnosis(
        "on_another_machine",
        format!(
            "the engine runs on {machine}, and the host's name now leads to {here}, from where it cannot be reached"
        ),
        "give --login a name that leads to one machine only",
    )
}

pub(super) fn no_route(tried: &[PassedOver], remedy: Option<String>) -> Diagnosis {
    let tried: Vec<String> = tried.iter().map(ToString::to_string).collect();
    let remedy = remedy.unwrap_or_else(|| {
        "the engine listens, and no route leads to it: check --target-host, and whether a firewall stands between; \
         --route names one to try alone"
            .to_owned()
    });
    Diagnosis { code: "route_broken", summary: format!("the engine cannot be reached ({})", tried.join("; ")), remedy }
}

/// Of an engine that could be reached before.
pub(super) fn no_route_now(tried: &[PassedOver], remedy: Option<String>) -> Diagnosis {
    let tried: Vec<String> = tried.iter().map(ToString::to_string).collect();
    let remedy = remedy.unwrap_or_else(|| {
        "the engine goes on, and a way to it is looked for again and again: check whether a firewall stands between"
            .to_owned()
    });
    let summary = format!("no route leads to the engine any more ({})", tried.join("; "));
    Diagnosis { code: "route_broken", summary, remedy }
}

pub(super) fn lease_ran_out(lease: Duration) -> Diagnosis {
    diagnosis(
        "lease_ran_out",
        format!("the engine heard nothing from this program for {} s, and ended itself", lease.as_secs()),
        "give it a longer --lease if the connection is often away for so long",
    )
}
