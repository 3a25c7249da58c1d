//! On a terminal: each mending is shown first, and done with consent alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::login_host::Gate;
use crate::support::pty::Pty;
use crate::support::scene::soon;
use crate::support::{Cluster, HostName};

const CONSENT: &str = "? (yes/no) ";

fn mode(gate: &Gate) -> u32 {
    fs::metadata(gate.server.path("key")).expect("a key").permissions().mode() & 0o777
}

/// A host whose key is not known, and a key that others can read.
fn two_faults() -> Gate {
    let gate = Gate::start("");
    fs::write(gate.server.path(".ssh/known_hosts"), "").expect("a file");
    fs::set_permissions(gate.server.path("key"), fs::Permissions::from_mode(0o644)).expect("a file of ours");
    gate
}

fn doctor(gate: &Gate, home: &std::path::Path, more: &str) -> Pty {
    let binary = env!("CARGO_BIN_EXE_llm-proxy");
    Pty::start(&format!("exec {binary} doctor --ssh-config {} --login gate {more}", gate.config), home, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn with_consent_it_adds_the_host_key_and_takes_a_key_away_from_others() {
    let (gate, home) = (two_faults(), tempfile::tempdir().expect("a folder"));
    let mut doctor = doctor(&gate, home.path(), "");
    let text = doctor.wait_for_times(CONSENT, 1, soon()).await;
    assert!(text.contains("chmod 600"), "it is shown first: {text}");
    assert_eq!(mode(&gate), 0o644, "nothing is done before");
    doctor.type_keys("yes\n");
    let text = doctor.wait_for_times(CONSENT, 2, soon()).await;
    assert_eq!(mode(&gate), 0o600);
    assert!(text.contains("SHA256:") && text.contains("what your site publishes"), "{text}");
    assert!(text.contains(&gate.server.host_key("ed25519")), "the line is shown: {text}");
    assert_eq!(fs::read_to_string(gate.server.path(".ssh/known_hosts")).expect("a file"), "");
    doctor.type_keys("yes\n");
    let text = doctor.wait_for("authentication: let in by", soon()).await;
    assert!(text.contains("host key: it is the one that is known"), "the check ran again: {text}");
    assert!(doctor.ended(soon()).await.success());
    let known = fs::read_to_string(gate.server.path(".ssh/known_hosts")).expect("a file");
    assert_eq!(known, gate.server.known_hosts_lines(&["ed25519"]));
}

/// From an empty home to a key that is let in, and a name for the host, with nothing but what the doctor offers.
#[tokio::test(flavor = "multi_thread")]
async fn it_makes_a_key_and_installs_it_once_where_a_password_lets_in() {
    let options = ["PasswordAuthentication yes", "UsePAM yes"];
    let cluster = options.iter().fold(Cluster::builder(), |builder, option| builder.sshd_option(option));
    let cluster = cluster.password("cormorant").up();
    let home = tempfile::tempdir().expect("a folder");
    let (key, known) = (home.path().join("new/id_ed25519"), home.path().join("known_hosts"));
    let text = format!(
        "HostName {}\nIdentityFile {}\nIdentityAgent none\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n",
        cluster.address(HostName::Login),
        key.display(),
        known.display()
    );
    fs::write(home.path().join("config"), text).expect("a configuration");
    let enter = cluster.laptop_command("env");
    let binary = env!("CARGO_BIN_EXE_llm-proxy");
    let words = std::iter::once(enter.get_program()).chain(enter.get_args());
    let words = words.map(|word| word.to_str().expect("plain words").to_owned());
    let asked = ["-", binary, "doctor", "--ssh-config", "config", "--login"].map(str::to_owned);
    let user = format!("{}@gate-of-cluster", cluster.user());
    let all: Vec<String> = words.chain(asked).chain([user]).collect();
    let all: Vec<&str> = all.iter().map(|word| if word == "-" { "TERM=xterm" } else { word.as_str() }).collect();
    let line = shlex::try_join(all).expect("a line");
    let mut doctor = Pty::start(&format!("exec {line}"), home.path(), &[]);

    let text = doctor.wait_for_times(CONSENT, 1, soon()).await;
    assert!(text.contains("ssh-keygen -t ed25519"), "{text}");
    doctor.type_keys("yes\n");
    let text = doctor.wait_for_times(CONSENT, 2, soon()).await;
    assert!(text.contains("is not known") && key.exists(), "{text}");
    doctor.type_keys("yes\n");
    doctor.wait_for("assword:", soon()).await;
    doctor.type_keys("cormorant\n");
    let text = doctor.wait_for_times(CONSENT, 3, soon()).await;
    let public = fs::read_to_string(key.with_extension("pub")).expect("a key");
    assert!(text.contains("authorized_keys on the host") && text.contains(public.trim()), "{text}");
    doctor.type_keys("yes\n");
    doctor.wait_for("own key: a new connection was let in by", soon()).await;
    let text = doctor.wait_for_times(CONSENT, 4, soon()).await;
    assert!(text.contains("The doctor can add to config:") && text.contains("Host gate-of-cluster"), "{text}");
    doctor.type_keys("no\n");
    assert!(doctor.ended(soon()).await.success());
    let keys = fs::read_to_string(cluster.home().join(".ssh/authorized_keys")).expect("keys");
    assert_eq!(keys.matches(public.trim()).count(), 1, "{keys}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_consent_nothing_is_touched() {
    let (gate, home) = (two_faults(), tempfile::tempdir().expect("a folder"));
    let mut doctor = doctor(&gate, home.path(), "");
    doctor.wait_for_times(CONSENT, 1, soon()).await;
    doctor.type_keys("no\n");
    doctor.wait_for_times(CONSENT, 2, soon()).await;
    doctor.type_keys("\n");
    doctor.wait_for("2 faults to mend", soon()).await;
    assert_eq!(doctor.ended(soon()).await.code(), Some(3));
    assert_eq!(mode(&gate), 0o644);
    assert_eq!(fs::read_to_string(gate.server.path(".ssh/known_hosts")).expect("a file"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_nothing_where_that_was_said() {
    let (gate, home) = (two_faults(), tempfile::tempdir().expect("a folder"));
    let mut doctor = doctor(&gate, home.path(), "--no-input");
    doctor.wait_for("2 faults to mend", soon()).await;
    assert_eq!(doctor.ended(soon()).await.code(), Some(3));
    assert!(!doctor.text().contains(CONSENT), "{}", doctor.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_at_a_question_ends_it_and_touches_nothing() {
    let (gate, home) = (two_faults(), tempfile::tempdir().expect("a folder"));
    let mut doctor = doctor(&gate, home.path(), "");
    doctor.wait_for(CONSENT, soon()).await;
    doctor.type_keys("\u{3}");
    doctor.wait_for("nothing was changed", soon()).await;
    assert_eq!(doctor.ended(soon()).await.code(), Some(130));
    assert_eq!(mode(&gate), 0o644);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_at_a_later_question_tells_what_stays() {
    let (gate, home) = (two_faults(), tempfile::tempdir().expect("a folder"));
    let mut doctor = doctor(&gate, home.path(), "");
    doctor.wait_for(CONSENT, soon()).await;
    doctor.type_keys("yes\n");
    let text = doctor.wait_for_times(CONSENT, 2, soon()).await;
    let question = text.rsplit("? If so").nth(1).and_then(|before| before.lines().last()).expect("a question");
    assert!(question.contains("Is SHA256:") && question.contains("what your site publishes"), "{question}");
    doctor.type_keys("\u{3}");
    let text = doctor.wait_for("nothing else was changed", soon()).await;
    assert!(text.contains("what you said yes to stays") && text.contains("was taken away from others"), "{text}");
    assert_eq!(doctor.ended(soon()).await.code(), Some(130));
    assert_eq!(mode(&gate), 0o600);
    assert_eq!(fs::read_to_string(gate.server.path(".ssh/known_hosts")).expect("a file"), "");
}

/// For the trust in a host, nothing shorter than `yes` is one, but its fingerprint is.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_trusted_by_its_fingerprint_and_not_by_a_letter() {
    for (answer, trusted) in [("y".to_owned(), false), ("SHA256".to_owned(), true)] {
        let (gate, home) = (Gate::start(""), tempfile::tempdir().expect("a folder"));
        fs::write(gate.server.path(".ssh/known_hosts"), "").expect("a file");
        let mut doctor = doctor(&gate, home.path(), "");
        let text = doctor.wait_for(CONSENT, soon()).await;
        let fingerprint = text.split_whitespace().find(|word| word.starts_with("SHA256:")).expect("a fingerprint");
        let answer = if trusted { fingerprint.to_owned() } else { answer };
        doctor.type_keys(&format!("{answer}\n"));
        let code = doctor.ended(soon()).await.code();
        assert_eq!(code, Some(if trusted { 0 } else { 3 }), "{}", doctor.text());
    }
}
