//! The documented mode, an `ssh -R` from the job back to a host: whether that host is known to the nodes, and lets them in.
//!
//! It is looked at from where `srun` is: the nodes have the same home, and so the same keys and known hosts.

use russh::keys::{HashAlg, PublicKey};

use super::ask::{Said, ask};
use super::line::{shell_line, towards};
use super::mend::Compared;
use super::{Finding, Mend, Subject};
use crate::host::reverse::{Paste, ReverseFault};
use crate::host::{Host, append};
use crate::launch::{Starter, address_of_ours};
use crate::route::{Route, Wish};

const CHECK: &str = "loopback";

const SCRIPT: &str = include_str!("loopback.sh");

/// What a key of the nodes may do where it is let in: ask for ports on the loopback there, and nothing else (`sshd(8)`,
/// `AUTHORIZED_KEYS FILE FORMAT`). That it opens no connection there cannot be said; to a port that nobody has comes to the same.
const LIMITS: &str = r#"restrict,port-forwarding,permitlisten="localhost:*",permitopen="localhost:1",command="exit""#;

/// Where a host's own fingerprint is seen.
const BY_HAND: &str = "what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on";

/// Makes a key for the nodes, if there is none.
const MAKE_KEY: &str = "umask 077; mkdir -p ~/.ssh && { [ -f ~/.ssh/id_ed25519 ] || \
                        ssh-keygen -q -t ed25519 -N \"\" -f ~/.ssh/id_ed25519; }";

/// The keys that are let in.
const AUTHORISED: &str = "~/.ssh/authorized_keys";

/// Looks, where that mode was asked for.
pub(super) async fn check(subject: &Subject, host: &Host) -> Option<Finding> {
    let (plan, named) = (&subject.plan, &subject.plan.loopback);
    let wanted = named.user.is_some() || named.host.is_some() || plan.route == Wish::Only(Route::Reverse);
    if !wanted || !matches!(plan.starter, Starter::Slurm { .. }) {
        return None;
    }
    // As `serve` has it: this program then takes the tunnel itself.
    let ours = match (host, &named.host) {
        (Host::Ssh(_), Some(name)) => address_of_ours(name).await.is_some(),
        (Host::Local(_), None) => named.user.is_none(),
        (Host::Ssh(_), None) | (Host::Local(_), Some(_)) => false,
    };
    if ours {
        return Some(Finding::ok(
            CHECK,
            "the tunnel comes to this program itself: neither a key nor a known host is needed",
        ));
    }
    let (user, far) = (named.user.as_deref().unwrap_or_default(), named.host.as_deref().unwrap_or_default());
    let settings = ["USER_THERE", "FAR"].into_iter().zip([user, far]);
    let settings: Vec<String> = settings.map(|(name, value)| format!("{name}={}", shell_line(&[value]))).collect();
    Some(match ask(host, subject.shell, &format!("{}\n{SCRIPT}", settings.join("\n"))).await {
        Ok(said) => judge(subject, host, &said),
        Err(error) => Finding::fail(CHECK, error.to_string()),
    })
}

fn judge(subject: &Subject, host: &Host, said: &Said) -> Finding {
    let fact = |name| said.fact(name).unwrap_or_default().to_owned();
    let (user, far, here, is_place) = (fact("user"), fact("far"), fact("here"), fact("place") == "yes");
    // 255 is ssh's own; all else is what it ran.
    if said.fact("code").is_some_and(|code| code != "255") {
        return Finding::ok(CHECK, format!("{user}@{far} lets the keys of {here} in, and forwards a port to them"));
    }
    let words: Vec<String> = said.facts("said").map(str::to_owned).collect();
    let place = format!("on {here}");
    let fault = ReverseFault::of(&words, &Paste { launcher: String::new(), place, user, host: far, is_place });
    let finding = Finding::fail(CHECK, fault.to_string());
    let on_host = |script: &str| on_host(subject, host, script);
    match &fault {
        ReverseFault::UnknownHost(paste) => unknown(finding, paste, said, on_host),
        ReverseFault::ChangedHost(paste) => finding
            .advice(format!("ask those who run {} whether its key was changed; only if it was, forget the old one", paste.host))
            .remedy(on_host(&shell_line(&["ssh-keygen", "-R", &paste.host]))),
        ReverseFault::Denied { paste, .. } => denied(finding, paste, said, on_host),
        ReverseFault::NotForwarded(paste) => finding
            .advice(format!(
                "in the sshd_config of {}, AllowTcpForwarding must be yes and PermitListen, if it is there, any; where that is not \
                 yours to change, another route needs neither",
                paste.host
            ))
            .again(&subject.typed.without("--loopback-user").without("--loopback-host").with("--route", "auto")),
        ReverseFault::Ended { .. }
        | ReverseFault::TooManyKeys(_)
        | ReverseFault::NotCome { .. }
        | ReverseFault::Silent { .. }
        | ReverseFault::Foreign { .. }
        | ReverseFault::Untold { .. }
        | ReverseFault::NoChannel { .. }
        | ReverseFault::NotMade { .. }
        | ReverseFault::Nobody { .. } => finding.maybe_advice(fault.remedy()),
    }
}

/// The line for this machine that runs it on the host, where it comes by standard input: so it needs no quotes that the login
/// shell there would have to understand, which may be a csh.
fn on_host(subject: &Subject, host: &Host, script: &str) -> String {
    match (&subject.login, host) {
        (Some(options), Host::Ssh(_)) => {
            format!("{} | {}", shell_line(&["printf", "%s\\n", script]), towards("ssh", &[], options, &["/bin/sh"]))
        }
        (Some(_) | None, Host::Local(_)) | (None, Host::Ssh(_)) => script.to_owned(),
    }
}

fn unknown(finding: Finding, paste: &Paste, said: &Said, on_host: impl Fn(&str) -> String) -> Finding {
    let far = &paste.host;
    let keys = said.facts("shown").filter_map(|text| PublicKey::from_openssh(text).ok());
    let keys: Vec<PublicKey> = keys.collect();
    let best = keys.iter().find(|key| key.algorithm().as_str() == "ssh-ed25519").or(keys.first());
    let Some((key, text)) = best.and_then(|key| Some((key, key.to_openssh().ok()?))) else {
        return finding
            .advice(format!("ask those who run {far} for its host key, for ~/.ssh/known_hosts on {}", paste.place));
    };
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    let is_its_own = said.facts("same").any(|same| same == text.trim());
    let compare = if is_its_own {
        format!("{fingerprint} is what {far} has in its own /etc/ssh, as it should be")
    } else {
        format!("compare {fingerprint} with {BY_HAND} {far} itself")
    };
    let line = shell_line(&[format!("{far} {}", text.trim())]);
    let line = append(&format!("printf \"%s\\n\" {line}"), "~/.ssh/known_hosts");
    let script = format!("umask 077; mkdir -p ~/.ssh && {line}");
    let with = if is_its_own { "(which is in its own /etc/ssh) the key of" } else { BY_HAND };
    let trust = Some(Compared { host: far.clone(), fingerprint, with });
    finding
        .advice(format!("{compare}; only if it is the same, add the line"))
        .remedy(on_host(&script))
        .mend(Mend::OnHost { shown: script.clone(), script, trust })
}

fn denied(finding: Finding, paste: &Paste, said: &Said, on_host: impl Fn(&str) -> String) -> Finding {
    let Paste { user, host: far, is_place, .. } = paste;
    let limits = shell_line(&[LIMITS]);
    if *is_place {
        let line = format!("printf \"%s %s\\n\" {limits} \"$(cat ~/.ssh/id_ed25519.pub)\"");
        let script = format!("{MAKE_KEY} && {}", append(&line, AUTHORISED));
        return finding
            .advice(
                "let the nodes' key in, made if there is none: it may ask for a port of the loopback there, and nothing else",
            )
            .remedy(on_host(&script))
            .mend(Mend::OnHost { shown: script.clone(), script, trust: None });
    }
    let Some(key) = said.fact("key") else {
        return finding
            .advice(format!("first, a key for the nodes; then look once more for the line that lets it in on {far}"))
            .remedy(on_host(MAKE_KEY))
            .mend(Mend::OnHost { shown: MAKE_KEY.to_owned(), script: MAKE_KEY.to_owned(), trust: None });
    };
    let line = append(&format!("printf \"%s\\n\" {}", shell_line(&[format!("{LIMITS} {key}")])), AUTHORISED);
    finding
        .advice(format!(
            "paste this on {far}, as {user}: the key may ask for a port of the loopback there, and nothing else"
        ))
        .remedy(format!("umask 077; mkdir -p ~/.ssh && {line}"))
}
