//! Faults and warnings that a server of this machine's is enough for, each cured by what is printed for it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Output, Stdio};

use crate::login_host::Gate;
use crate::patient::{Diagnosis, Patient};
use crate::support::ChildGuard;
use crate::support::scene::soon;

const BINARY: &str = env!("CARGO_BIN_EXE_llm-proxy");

/// What stands between backquotes in what is advised about a check.
fn advised(found: &Diagnosis, check: &str, level: &str) -> String {
    let finding = found.found(check, level).expect("the finding");
    let advice = finding.get("advice").and_then(|advice| advice.as_str()).expect("what to do");
    advice.split('`').nth(1).unwrap_or_else(|| panic!("no line in {advice}")).to_owned()
}

/// Where the system's own list of users has this home for us, which is the one that OpenSSH and so the doctor looks into.
fn at_home(patient: &Patient, words: &[&str]) -> Output {
    let home = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).expect("a list of users").expect("us").dir;
    let mut command = patient.command("unshare");
    command.args(["-m", "/bin/sh", "-c", "mount --bind \"$HOME\" \"$1\" && shift && exec \"$@\"", "sh"]);
    command.arg(home).args(words).output().expect("unshare (of util-linux)")
}

#[test]
fn a_folder_that_others_can_write_is_taken_away_from_them() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    let folder = patient.home().join(".ssh");
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("a folder of ours");
    let visit = || Diagnosis::read(&at_home(&patient, &[&[BINARY, "doctor", "--json"][..], &gate.words(&[])].concat()));
    let line = visit().fault("keys", "others can write there (0777)");
    let pasted = at_home(&patient, &["/bin/sh", "-c", &line]);
    assert!(pasted.status.success(), "{line}: {pasted:?}");
    assert_eq!(fs::metadata(&folder).expect("a folder").permissions().mode() & 0o777, 0o700);
    visit().is_well();
}

#[test]
fn a_key_behind_a_link_is_taken_away_from_others() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    let (key, real) = (gate.server.path("key"), gate.server.path("real key"));
    fs::rename(&key, &real).expect("the key");
    symlink(&real, &key).expect("a link");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("a file of ours");
    patient.apply(&patient.examine(&gate.words(&[])).fault("keys", "(0640)"));
    assert_eq!(fs::metadata(&real).expect("a file").permissions().mode() & 0o777, 0o600);
    patient.examine(&gate.words(&[])).is_well();
}

/// An agent is the shell's in which somebody types, and so is the line.
#[test]
fn an_agent_that_is_gone_is_started_again() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    let old = fs::read_to_string(&gate.config).expect("a configuration");
    fs::write(&gate.config, old.replace("IdentityAgent none", "IdentityAgent SSH_AUTH_SOCK")).expect("a configuration");
    let look = format!("llm-proxy doctor --json --ssh-config {} --login gate", gate.config);
    let visit = |before: &str, after: &str| {
        let line = format!("{before}{look}{after}");
        let mut command = patient.command("/bin/sh");
        command.args(["-c", &line]).env("SSH_AUTH_SOCK", patient.home().join("gone"));
        Diagnosis::read(&command.output().expect("a shell"))
    };
    let line = visit("", "").warning("agent", "it cannot be asked");
    let found = visit(&format!("{{ {line}; }} >/dev/null && "), "; ssh-agent -k >/dev/null");
    assert!(found.is_ok("agent").contains("it holds one key"));
}

#[test]
fn a_key_that_was_taken_unseen_is_told_and_can_be_forgotten() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    gate.server.write_known_hosts("");
    let known = || fs::read_to_string(gate.server.path(".ssh/known_hosts")).expect("a file");
    let found = patient.examine(&gate.words(&["--accept-new-host-key", "--no-input"]));
    found.is_well();
    found.warning("host key", "was taken unseen, and added to ");
    assert!(known().contains(&gate.server.host_key("ed25519")), "{}", known());
    let undo = advised(&found, "host key", "warn");
    patient.examine(&gate.words(&[])).is_ok("host key");
    patient.apply(&undo);
    patient.examine(&gate.words(&[])).fault("host key", "is not known");
}

#[test]
fn where_there_is_little_room_another_place_is_named() {
    let patient = Patient::here();
    let full = "mkdir -p \"$HOME/.cache\" && mount -t tmpfs -o size=1m none \"$HOME/.cache\" && exec \"$@\"";
    let visit = |more: &[&str]| {
        let mut command = patient.command("unshare");
        command.args(["-m", "/bin/sh", "-c", full, "sh", BINARY, "doctor", "--json"]).args(more);
        Diagnosis::read(&command.output().expect("unshare (of util-linux)"))
    };
    let found = visit(&[]);
    found.warning("space", "only 1 MiB are free in");
    let finding = found.found("space", "warn").expect("it is there").to_string();
    assert!(finding.contains("--env HF_HOME=/scratch/"), "{finding}");
    visit(&["--env", &format!("HF_HOME={}/roomy", patient.home().display())]).is_ok("space");
}

#[test]
fn a_shell_that_runs_nothing_is_shown_by_the_line() {
    let (gate, patient) = (Gate::start("ForceCommand echo no shell for you"), Patient::here());
    let line = patient.examine(&gate.words(&[])).fault("shell", "no shell for you");
    assert!(patient.apply(&line).contains("no shell for you"), "{line}");
}

/// What a program reads is a document, whatever becomes of the visit.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_written_whatever_happens() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    let found = patient.examine(&["--no-such-option"]);
    assert!(found.found("configuration", "fail").is_some());

    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let login = format!("gate:{}", silent.local_addr().expect("an address").port());
    let mut command = patient.command(BINARY);
    command.args(["doctor", "--json", "--ssh-config", &gate.config, "--login", &login]).stdin(Stdio::null());
    let mut doctor = ChildGuard::start("the doctor", &mut command);
    // It listens to one who says nothing.
    let (_connection, _) = silent.accept().expect("a connection");
    doctor.signal("INT");
    assert_eq!(doctor.wait(soon()).await.code(), Some(130));
    let text = doctor.stdout().all(soon()).await.concat();
    let findings: Vec<serde_json::Value> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let is = |finding: &&serde_json::Value| finding.get("check").is_some_and(|check| check == "interrupted");
    assert!(findings.iter().find(is).is_some_and(|told| told.to_string().contains("nothing was changed")), "{text}");
}
