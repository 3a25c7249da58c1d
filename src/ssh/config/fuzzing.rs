//! What must hold of a configuration.

use super::tokens::LONGEST;
use super::{Target, Way};
use crate::ssh::fuzzing::{Files, apart};

/// What means something to a shell, and is no part of a name.
const FOR_SHELLS: [char; 9] = ['\'', '`', '"', '$', ';', '&', '|', '<', '>'];

/// Reads a configuration, and judges what comes of it: it is read or refused, soon; tokens stand for no more than they
/// should; and no name that a stranger chose becomes a command.
///
/// # Panics
/// One of these does not hold.
pub fn ssh_config(input: &[u8]) {
    let Some((destination, text)) = apart(input) else { return };
    let text = harmless(&String::from_utf8_lossy(text));
    let files = Files::new();
    files.write("config", text.as_bytes());
    let Ok(target) = Target::resolve(&files.options(destination)) else { return };
    assert!((1..).contains(&target.port));
    assert!(!target.host.is_empty() && target.host.len() <= LONGEST, "the host has {} bytes", target.host.len());
    assert!(!target.methods.is_empty());
    // `~` is replaced after all else.
    let longest = LONGEST + files.home().home.as_os_str().len();
    let paths = [&target.configured, &target.usual, &target.certificates, &target.known_hosts];
    for path in paths.into_iter().flatten().chain(&target.agent) {
        assert!(path.as_os_str().len() <= longest, "a path has {} bytes", path.as_os_str().len());
    }
    if let Way::Command(command) = &target.way {
        assert!(command.len() <= LONGEST, "the command has {} bytes", command.len());
        for character in FOR_SHELLS {
            assert!(!command.contains(character) || text.contains(character), "{destination} came into {command:?}");
        }
    }
}

/// The text without the lines that include files from elsewhere: this machine's are not the input's.
fn harmless(text: &str) -> String {
    let elsewhere = |line: &str| line.to_ascii_lowercase().contains("include") && line.contains(['/', '~']);
    text.split_inclusive('\n').filter(|line| !elsewhere(line)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const KEYWORDS: &[&str] = &[
        "Host",
        "Match",
        "Include",
        "HostName",
        "User",
        "Port",
        "ProxyJump",
        "ProxyCommand",
        "IdentityFile",
        "CertificateFile",
        "IdentityAgent",
        "UserKnownHostsFile",
        "GlobalKnownHostsFile",
        "RevokedHostKeys",
        "HostKeyAlias",
        "StrictHostKeyChecking",
        "PreferredAuthentications",
        "Ciphers",
        "ConnectTimeout",
        "AddressFamily",
        "IgnoreUnknown",
    ];
    const VALUES: &[&str] = &[
        "h", "*", "?", "!h", "config", "all", "host", "user", "final", "exec", "none", "yes", "no", "ask", "24",
        "1h2m", "%h", "%%", "%j", "%C%n%r%p", "%d/x", "~/x", "${HOME}", "me@g:22", "g,h", "+aes*", "-aes*", "\"a b\"",
        "'", "\"", "=", "#", "\t", "\u{e4}", "\u{0}",
    ];

    fn line() -> impl Strategy<Value = String> {
        (select(KEYWORDS), vec(select(VALUES), 0..4), select(vec![" ", "=", "\t", ","]))
            .prop_map(|(keyword, values, between)| format!("{keyword} {}\n", values.join(between)))
    }

    proptest! {
        #[test]
        fn whatever_its_lines(destination in select(vec!["h", "me@h:23", "$(x)@h", "h;x", "`x`"]), lines in vec(line(), 0..12)) {
            ssh_config(format!("{destination}\n{}", lines.concat()).as_bytes());
        }

        #[test]
        fn whatever_its_bytes(mut text: Vec<u8>) {
            text.splice(0..0, *b"h\n");
            ssh_config(&text);
        }
    }

    #[test]
    fn tokens_of_tokens_stay_small() {
        let (host, destination, tokens) = ("%h".repeat(2000), "x".repeat(2000), "%h%d".repeat(2000));
        for keyword in ["IdentityFile", "IdentityAgent", "UserKnownHostsFile", "ProxyCommand nc", "ProxyJump"] {
            ssh_config(format!("{destination}\nHostName {host}\n{keyword} {tokens}").as_bytes());
        }
    }

    #[test]
    fn a_file_that_includes_itself_many_times_is_soon_refused() {
        ssh_config(b"h\nInclude config config config config\nInclude * * * *\n");
    }

    #[test]
    fn many_stars_are_soon_judged() {
        ssh_config(format!("h\nInclude {}x\n", "*".repeat(4000)).as_bytes());
        ssh_config(format!("h\nInclude {}x\n", "*[a-z]".repeat(2000)).as_bytes());
    }
}
