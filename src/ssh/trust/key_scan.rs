//! How a user may look at a server's keys by hand.

use crate::ssh::config::{Target, Way};
use crate::ssh::words::{quoted, shell_word};

/// A line for a shell that prints the keys of `target` as lines of known hosts, under the name that they are looked up by;
/// `None` where only a command of the user's leads there, or where the name is no word.
pub(super) fn key_scan(target: &Target) -> Option<String> {
    let host = shell_word(&target.host);
    let scan = match target.port {
        22 => format!("ssh-keyscan {host}"),
        port => format!("ssh-keyscan -p {port} {host}"),
    };
    let scan = match &target.way {
        Way::Direct => scan,
        // The server is seen from there.
        Way::Jump(hop) => format!("{} {}", hop.by_hand, shell_word(&scan)),
        Way::Command(_) => return None,
    };
    match &target.host_key_alias {
        None => Some(scan),
        Some(alias) => {
            let plain = !alias.is_empty() && alias.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            plain.then(|| format!("{scan} | sed {}", quoted(&format!("s/^[^ #]*/{alias}/"))))
        }
    }
}
