//! Whether the host's name has an address, and an SSH server answers there.

use super::line::{Typed, parted};
use super::{Finding, Subject, own_file};
use crate::config::nearest;
use crate::ssh::{SshError, SshOptions, Survey};

const CHECK: &str = "network";

/// The port of an SSH server, where nothing else is said.
const USUAL_PORT: u16 = 22;

/// Looks at the door.
pub(super) async fn check(subject: &Subject, options: &SshOptions, survey: &Survey) -> Vec<Finding> {
    if !survey.is_direct() {
        return vec![Finding::ok(
            CHECK,
            "the way leads through another host or a command, which is tried as a whole next",
        )];
    }
    let error = match survey.knock().await {
        Ok(knock) => {
            let before =
                if knock.before.is_empty() { String::new() } else { format!(" (and before it: {})", knock.before) };
            return vec![match knock.greeting {
                Some(greeting) => Finding::ok(CHECK, format!("{} says {greeting}{before}", knock.address)),
                None if knock.before.is_empty() => {
                    Finding::fail(CHECK, format!("{} took the connection and said nothing", knock.address))
                        .advice("check that this port is an SSH server's; one with too many callers is silent, too")
                }
                None => Finding::fail(CHECK, format!("{} turned us away: {}", knock.address, knock.before))
                    .advice("wait some minutes: servers turn away those who connect or fail too often"),
            }];
        }
        Err(error) => error,
    };
    let finding = Finding::fail(CHECK, error.to_string()).maybe_advice(error.remedy());
    vec![match &error {
        SshError::NameNotResolved { .. } => match meant(options, survey) {
            Some(destination) => finding
                .advice(format!("did you mean {destination}? The SSH configuration or known_hosts has that name"))
                .again(&subject.typed.with("--login", &destination)),
            None => finding,
        },
        SshError::ConnectionRefused { .. } => match other_port(survey).await {
            Some(port) => finding
                .advice(format!("an SSH server answers at port {port} of the same host"))
                .again(&at_port(&subject.typed, options, port)),
            None => finding,
        },
        _ => finding,
    }]
}

/// The destination with the name that was probably meant.
fn meant(options: &SshOptions, survey: &Survey) -> Option<String> {
    let config = options.config_file.clone().unwrap_or_else(|| options.home.ssh_dir.join("config"));
    let mut names: Vec<String> = Vec::new();
    for line in own_file::text(&config).unwrap_or_default().lines() {
        let mut words = line.split_whitespace();
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case("host")) {
            names.extend(words.filter(|name| !name.contains(['*', '?', '!'])).map(str::to_owned));
        }
    }
    names.extend(known_names(survey).into_iter().map(|(name, _)| name));
    let (name, port) = parted(&options.destination);
    let (user, host) = name.rsplit_once('@').map_or((None, name.as_str()), |(user, host)| (Some(user), host));
    let better = nearest(host, names.iter().map(String::as_str))?;
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{user}{better}{port}"))
}

/// Another port of the host where an SSH server answers: one that is known, or the usual one.
async fn other_port(survey: &Survey) -> Option<u16> {
    let known = known_names(survey).into_iter().filter(|(name, _)| name.eq_ignore_ascii_case(survey.host()));
    let ports = known.map(|(_, port)| port).chain(std::iter::once(USUAL_PORT));
    for port in ports.filter(|port| *port != survey.port()) {
        if survey.answers_at(port).await {
            return Some(port);
        }
    }
    None
}

fn at_port(typed: &Typed, options: &SshOptions, port: u16) -> Typed {
    let (name, _) = parted(&options.destination);
    let name = if name.contains(':') { format!("[{name}]") } else { name };
    // One in the destination wins over all others.
    typed.without("-p").without("--login-port").with("--login", &format!("{name}:{port}"))
}

/// The names in the files of known hosts that are not hashed, each with its port.
fn known_names(survey: &Survey) -> Vec<(String, u16)> {
    let mut names = Vec::new();
    for file in survey.known_hosts() {
        for line in own_file::text(file).unwrap_or_default().lines() {
            let first = line.split_whitespace().find(|word| !word.starts_with('@')).unwrap_or_default();
            for name in first.split(',').filter(|name| !name.contains(['|', '*', '?', '!', '#'])) {
                let (name, port) = parted(name);
                names.push((name, port.and_then(|port| port.parse().ok()).unwrap_or(USUAL_PORT)));
            }
        }
    }
    names
}
