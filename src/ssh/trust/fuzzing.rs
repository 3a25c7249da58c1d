//! What must hold of a file of known hosts.
#![expect(clippy::expect_used, reason = "whoever calls this wants to be stopped")]

use std::time::{Duration, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{Certificate, PrivateKey, PublicKey};

use super::known_hosts::lookup_name;
use super::write;
use super::{KnownHosts, Learned};
use crate::ssh::SshError;
use crate::ssh::config::{RevokedLists, Target};
use crate::ssh::fuzzing::{Files, apart};

/// A key whose text ends in `=`, which an ed25519 key's does not.
const EC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIQd1ktjWd8qBjcA4F+dwjoMofUytJ+dbLsbx0shGBJRJ8OPSHbAo5r1vG2veuovyW/OXR47YWkF/ltU8D0u17c=";
/// Longer files are cut: what holds of so many lines holds of more.
const MOST_LINES: usize = 24;

/// What servers show, and who signs for one of them.
struct Keys {
    host: PublicKey,
    other: PublicKey,
    ec: PublicKey,
    authority: PrivateKey,
}

impl Keys {
    fn new() -> Self {
        let ed25519 = |seed: u8| {
            let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32]));
            PrivateKey::new(pair, "").expect("a key made of a seed")
        };
        Self {
            host: ed25519(1).public_key().clone(),
            other: ed25519(2).public_key().clone(),
            ec: PublicKey::from_openssh(EC).expect("a good key"),
            authority: ed25519(3),
        }
    }

    /// The host's key, certified for `name`.
    fn certificate(&self, name: &str) -> Certificate {
        let mut builder = Builder::new(vec![0; 16], self.host.key_data().clone(), 0, u64::MAX >> 1).expect("a builder");
        builder.cert_type(CertType::Host).expect("a kind");
        builder.valid_principal(name).expect("a name");
        builder.sign(&self.authority).expect("a signature")
    }
}

/// What a server may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Host,
    Ec,
    Certificate,
}

const ALL: [Shown; 3] = [Shown::Host, Shown::Ec, Shown::Certificate];

/// How a file judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Revoked,
    Refused,
}

impl Verdict {
    fn of(result: &Result<(), SshError>) -> Self {
        match result {
            Ok(()) => Self::Good,
            Err(SshError::HostKeyRevoked { .. }) => Self::Revoked,
            Err(_) => Self::Refused,
        }
    }
}

/// How a file judges each.
struct Verdicts {
    host: Verdict,
    ec: Verdict,
    certificate: Verdict,
}

impl Verdicts {
    fn of(&self, shown: Shown) -> Verdict {
        match shown {
            Shown::Host => self.host,
            Shown::Ec => self.ec,
            Shown::Certificate => self.certificate,
        }
    }
}

struct Scene {
    files: Files,
    keys: Keys,
    target: Target,
    /// What the host's lines call it.
    name: String,
    certificate: Certificate,
}

impl Scene {
    fn new(destination: &str) -> Option<Self> {
        let files = Files::new();
        let target = Target::resolve(&files.options(destination)).ok()?;
        let keys = Keys::new();
        let (name, certificate) = (lookup_name(&target), keys.certificate(&target.host));
        Some(Self { files, keys, target, name, certificate })
    }

    fn judge(&self, text: &str) -> Verdicts {
        self.files.write("known_hosts", text.as_bytes());
        self.verdicts(&self.target)
    }

    fn verdicts(&self, target: &Target) -> Verdicts {
        let nothing = Verdicts { host: Verdict::Refused, ec: Verdict::Refused, certificate: Verdict::Refused };
        let Ok(known) = KnownHosts::load(target, &Learned::default()) else { return nothing };
        let now = UNIX_EPOCH + Duration::from_secs(1);
        Verdicts {
            host: Verdict::of(&known.verify_key(&self.keys.host)),
            ec: Verdict::of(&known.verify_key(&self.keys.ec)),
            certificate: Verdict::of(&known.verify_certificate(&self.certificate, now)),
        }
    }
}

/// Judges keys by a file in which `{HOST}`, `{OTHER}`, `{EC}` and `{CA}` stand for keys, and `{HASHED}` for the name as a
/// hash: a key is only good by a line that says so by itself and holds it, and never where a line revokes it, wherever
/// that stands.
///
/// # Panics
/// One of these does not hold.
pub fn known_hosts(input: &[u8]) {
    let Some((destination, text)) = apart(input) else { return };
    let Some(scene) = Scene::new(destination) else { return };
    let text = scene.fill_in(&String::from_utf8_lossy(text));
    let lines: Vec<&str> = text.split_inclusive('\n').take(MOST_LINES).collect();
    scene.one_line_decides(&lines);
    scene.revoked_wherever_it_stands(&lines);
    scene.listed_is_revoked(&lines);
}

impl Scene {
    fn fill_in(&self, text: &str) -> String {
        text.replace("{HOST}", &written(&self.keys.host))
            .replace("{OTHER}", &written(&self.keys.other))
            .replace("{EC}", &written(&self.keys.ec))
            .replace("{CA}", &written(self.keys.authority.public_key()))
            .replace("{HASHED}", &hashed(&self.name, &self.keys.other))
    }

    /// What is good is so by a line alone that holds the key, and what a line alone revokes is revoked.
    fn one_line_decides(&self, lines: &[&str]) {
        let whole = self.judge(&lines.concat());
        let each: Vec<Verdicts> = lines.iter().map(|line| self.judge(line)).collect();
        for shown in ALL {
            let whole = whole.of(shown);
            let proofs = self.proofs(shown);
            let any = |wanted: Verdict| each.iter().any(|verdicts| verdicts.of(shown) == wanted);
            assert!(!any(Verdict::Revoked) || whole == Verdict::Revoked, "{shown:?} in {lines:?}");
            assert!(any(Verdict::Good) || whole != Verdict::Good, "{shown:?} is good in {lines:?}");
            for (line, verdicts) in lines.iter().zip(&each) {
                let holds = proofs.iter().any(|proof| line.contains(proof));
                assert!(holds || verdicts.of(shown) == Verdict::Refused, "{shown:?} in {line:?}");
                // An authority's key, or a revoked one, is nobody's own.
                let marked = line.split_whitespace().next().is_some_and(|field| field.starts_with('@'));
                let good = verdicts.of(shown) == Verdict::Good;
                assert!(!good || !marked || shown == Shown::Certificate, "{shown:?} is good by {line:?}");
            }
        }
    }

    /// Of the texts that make `shown` good, one must be there: but for the last characters, which may be written otherwise.
    fn proofs(&self, shown: Shown) -> Vec<String> {
        let keys = match shown {
            Shown::Host => vec![&self.keys.host],
            Shown::Ec => vec![&self.keys.ec],
            Shown::Certificate => vec![&self.keys.host, self.keys.authority.public_key()],
        };
        let text = |key: &PublicKey| {
            let written = written(key);
            let base64 = written.split(' ').nth(1).unwrap_or_default();
            base64.get(..base64.len().saturating_sub(4)).unwrap_or_default().to_owned()
        };
        keys.into_iter().map(text).collect()
    }

    fn revoked_wherever_it_stands(&self, lines: &[&str]) {
        let name = self.name.as_str();
        let hashed = hashed(name, &self.keys.other);
        let mut patterns = vec!["*", &hashed];
        // Other names would be read as lists, negations or hashes.
        if !name.contains(',') && !name.starts_with(['!', '|']) {
            patterns.push(name);
        }
        let revoked = [
            (&self.keys.host, [Shown::Host, Shown::Certificate].as_slice()),
            (&self.keys.ec, &[Shown::Ec]),
            (self.keys.authority.public_key(), &[Shown::Certificate]),
        ];
        for (turn, (key, shown)) in revoked.into_iter().enumerate() {
            let pattern = patterns.iter().cycle().nth(turn + lines.len()).copied().unwrap_or("*");
            // Among lines that trust it, and others that revoke another.
            let (key, other) = (written(key), written(&self.keys.other));
            let line =
                format!("\n* {key}\n@revoked * {other}\n@revoked {pattern} {key}\n@revoked * {other}\n* {key}\n");
            for place in [0, lines.len() / 2, lines.len()] {
                let (before, after) = lines.split_at_checked(place).unwrap_or_default();
                let text = format!("{}{line}{}", before.concat(), after.concat());
                let verdicts = self.judge(&text);
                for shown in shown {
                    assert_eq!(verdicts.of(*shown), Verdict::Revoked, "{shown:?} in {text:?}");
                }
            }
        }
    }

    /// A list of `RevokedHostKeys` that holds a key revokes it, or cannot be used at all: then nothing is trusted.
    fn listed_is_revoked(&self, lines: &[&str]) {
        let key = written(&self.keys.host);
        self.files.write("known_hosts", format!("* {key}\n").as_bytes());
        let middle = lines.len() / 2;
        let (before, after) = lines.split_at_checked(middle).unwrap_or_default();
        let list = self.files.write("revoked", format!("{}\n{key}\n{}", before.concat(), after.concat()).as_bytes());
        let lists = RevokedLists { lists: vec![list], named_by: "a test".to_owned() };
        let target = Target { revoked_host_keys: Some(lists), ..self.target.clone() };
        let verdicts = self.verdicts(&target);
        for shown in [Shown::Host, Shown::Certificate] {
            assert_ne!(verdicts.of(shown), Verdict::Good, "{shown:?} with the list {lines:?}");
        }
    }
}

fn written(key: &PublicKey) -> String {
    key.to_openssh().expect("a key is written")
}

fn hashed(name: &str, key: &PublicKey) -> String {
    let line = write::line(name, key, true).expect("a line is written");
    line.split(' ').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const WORDS: &[&str] = &[
        "h",
        "[h]:23",
        "*",
        "!h",
        "h,x",
        "{HASHED}",
        "@revoked",
        "@cert-authority",
        "@",
        "#",
        "{HOST}",
        "{OTHER}",
        "{EC}",
        "{CA}",
        "|1|x|y",
        "ssh-ed25519",
        "AAAA",
        "\t",
        "\r",
        "\n",
        "\n",
        "\n",
        "\u{0}",
        "\u{e4}",
    ];

    fn destination() -> impl Strategy<Value = &'static str> {
        select(vec!["h", "h:23", "[::1]:23", "a,b", "!h", "*"])
    }

    fn line() -> impl Strategy<Value = String> {
        let marker = select(vec!["", "@revoked ", "@cert-authority ", "@REVOKED "]);
        let hosts = select(vec!["*", "h", "[h]:23", "x,h", "*,!h", "{HASHED}", "[*]:23"]);
        let key = select(vec!["{HOST}", "{OTHER}", "{EC}", "{CA}", "ssh-rsa {EC}"]);
        let end = select(vec!["\n", " a comment\n", "\r\n", "x\n", "\n\n"]);
        (marker, hosts, key, end).prop_map(|(marker, hosts, key, end)| format!("{marker}{hosts} {key}{end}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_its_lines(destination in destination(), lines in vec(line(), 0..8)) {
            known_hosts(format!("{destination}\n{}", lines.concat()).as_bytes());
        }

        #[test]
        fn whatever_its_words(destination in destination(), words in vec(select(WORDS), 0..40)) {
            known_hosts(format!("{destination}\n{}", words.join(" ")).as_bytes());
        }

        #[test]
        fn whatever_its_bytes(mut text: Vec<u8>) {
            text.splice(0..0, *b"h\n");
            known_hosts(&text);
        }
    }

    /// Else all of the above would hold of a parser that knows nothing.
    #[test]
    fn each_kind_of_line_is_good() {
        let scene = Scene::new("h:23").expect("a destination");
        let good = |line: &str, shown| scene.judge(&scene.fill_in(line)).of(shown) == Verdict::Good;
        for (line, shown) in [
            ("[h]:23 {HOST}", Shown::Host),
            ("h {HOST}", Shown::Host),
            ("{HASHED} {EC}", Shown::Ec),
            ("@cert-authority * {CA}", Shown::Certificate),
            ("h {HOST}", Shown::Certificate),
        ] {
            assert!(good(line, shown), "{shown:?} by {line}");
        }
        assert!(!good("h {OTHER}", Shown::Host));
    }
}
