//! What is started beside the port: an `ssh -R`, and who sees to its end.

use crate::host::Endpoint;

/// For an sshd that the user may log in to.
const TO_SSHD: &str = concat!(include_str!("supervise.sh"), include_str!("to_sshd.sh"));

/// For a server of ours.
const TO_US: &str = concat!(include_str!("supervise.sh"), include_str!("to_us.sh"));

/// Beside what the user's own configuration says. What is asked of a person there is never answered; whoever takes the far
/// side's place would be given a port that leads to the engine, so that a site's `StrictHostKeyChecking no` does not count; a
/// connection that others share would not be ours to end; and without the level, the port that was allocated is not told.
const OPTIONS: [&str; 12] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ExitOnForwardFailure=yes",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ConnectTimeout=15",
    "ControlMaster=no",
    "ControlPath=none",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "LogLevel=INFO",
];

/// The command of a tunnel to a port that the far side's sshd chooses. It ends with its standard input.
#[must_use]
pub fn to_sshd(user: &str, host: &str, endpoint: &Endpoint) -> Vec<String> {
    let forward = format!("0:{endpoint}");
    let destination = format!("{user}@{host}");
    let start = ["/bin/sh", "-c", TO_SSHD, "reverse", "ssh", "-N", "-T", "-R", &forward];
    let options = OPTIONS.iter().flat_map(|option| ["-o", option]);
    start.into_iter().chain(options).chain(["--", &destination]).map(str::to_owned).collect()
}

/// The command of a tunnel to a server of ours: it greets with the nonce, and is then told the rest.
#[must_use]
pub fn own_server(user: &str, nonce: &str, endpoint: &Endpoint) -> Vec<String> {
    ["/bin/sh", "-c", TO_US, "reverse", nonce, user, &endpoint.to_string()].map(str::to_owned).to_vec()
}
