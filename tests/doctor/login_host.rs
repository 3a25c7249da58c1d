//! Against one OpenSSH server: the way to a host, and who we are there.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::patient::{Diagnosis, Patient};
use crate::sshd::{SshAgent, Sshd, free_port, make_key};
use crate::support::engine_path;

/// A server, and a configuration of its user's under the name `gate`.
pub(crate) struct Gate {
    pub(crate) server: Sshd,
    pub(crate) config: String,
}

impl Gate {
    pub(crate) fn start(extra: &str) -> Self {
        let server = Sshd::start(extra);
        let this = Self { config: server.path("config").display().to_string(), server };
        this.configure("key");
        this
    }

    /// The user's key is in this file.
    fn configure(&self, key: &str) {
        let (key, known) = (self.server.path(key), self.server.path(".ssh/known_hosts"));
        let text = format!(
            "Host gate\n  HostName 127.0.0.1\n  Port {}\nHost *\n  IdentityFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
             UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n",
            self.server.port,
            key.display(),
            known.display(),
        );
        fs::write(&self.config, text).expect("a configuration");
    }

    pub(crate) fn words<'w>(&'w self, more: &[&'w str]) -> Vec<&'w str> {
        [&["--ssh-config", &self.config, "--login", "gate"], more].concat()
    }
}

#[test]
fn where_all_is_well_it_says_so_to_people_and_programs() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    let engine = engine_path().display().to_string();
    let words = gate.words(&["--name", "x", "--", &engine]);
    let found = patient.examine(&words);
    found.is_well();
    assert!(found.is_ok("network").contains("SSH-2.0-OpenSSH"));
    assert!(found.is_ok("authentication").contains("SHA256:"));
    assert!(found.is_ok("forwarding").contains("SSH-2.0-OpenSSH"));
    assert!(found.is_ok("command").contains(&engine));
    assert!(found.is_ok("ssh configuration").contains(&format!("Port {}", gate.server.port)));
    for check in ["host key", "keys", "agent", "shell", "clock", "space"] {
        found.is_ok(check);
    }
    let output = patient.command(env!("CARGO_BIN_EXE_llm-proxy")).arg("doctor").args(&words).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("\nok       authentication: let in by "), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where no terminal is: {text}");
    // Without a command, what is missing is a warning at most.
    patient.examine(&gate.words(&[])).is_well();
}

#[test]
fn what_cannot_be_understood_is_a_fault_and_the_rest_is_skipped_with_the_reason() {
    let patient = Patient::here();
    let found = patient.examine(&["--login", "gate", "--host", "0.0.0.0"]);
    found.fault("configuration", "no access key");
    found.skipped("all else");
}

#[test]
fn a_closed_port_leads_to_the_one_that_is_known() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    let login = format!("gate:{}", free_port());
    let found = patient.examine(&["--ssh-config", &gate.config, "--login", &login]);
    found.skipped("authentication");
    patient.call_again(&found.fault("network", "refused the connection"));
}

/// A pipe in the place of a file would keep whoever reads it waiting.
#[test]
fn a_pipe_in_the_place_of_known_hosts_is_not_waited_for() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    let known = gate.server.path(".ssh/known_hosts");
    fs::remove_file(&known).expect("a file");
    assert!(Command::new("mkfifo").arg(&known).status().expect("mkfifo (of coreutils)").success());
    let login = format!("gate:{}", free_port());
    let mut doctor = patient.command("timeout");
    doctor.args(["30", env!("CARGO_BIN_EXE_llm-proxy"), "doctor", "--json", "--ssh-config", &gate.config]);
    let output = doctor.args(["--login", &login]).output().expect("timeout (of coreutils)");
    Diagnosis::read(&output).fault("network", "refused the connection");
}

#[test]
fn what_a_server_says_that_turns_us_away_is_told() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let login = format!("gate:{}", listener.local_addr().expect("an address").port());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            drop(stream.write_all(b"Not allowed at this time\r\n"));
        }
    });
    let found = patient.examine(&["--ssh-config", &gate.config, "--login", &login]);
    found.fault("network", "turned us away: Not allowed at this time");
    found.skipped("authentication");
}

#[test]
fn an_unknown_host_key_is_shown_and_added() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    fs::remove_file(gate.server.path(".ssh/known_hosts")).expect("a file");
    let found = patient.examine(&gate.words(&[]));
    let line = found.fault("host key", "SHA256:");
    assert!(found.advice().contains("SHA256:"), "{}", found.advice());
    found.skipped("authentication");
    assert!(line.contains(&gate.server.host_key("ed25519")), "{line}");
    patient.apply(&line);
    patient.examine(&gate.words(&[])).is_well();
    // Also where the last line was left without an end.
    gate.server.write_known_hosts("# mine");
    patient.apply(&patient.examine(&gate.words(&[])).fault("host key", "SHA256:"));
    patient.examine(&gate.words(&[])).is_well();
}

#[test]
fn a_changed_host_key_is_named_by_its_line_and_forgotten() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    make_key("ed25519", &gate.server.path("other"), "");
    let other = fs::read_to_string(gate.server.path("other.pub")).expect("a key");
    gate.server.write_known_hosts(&format!("# mine\n[127.0.0.1]:{} {other}", gate.server.port));
    let found = patient.examine(&gate.words(&[]));
    let line = found.fault("host key", "known_hosts:2 knows another");
    assert!(line.starts_with("ssh-keygen -R "), "{line}");
    patient.apply(&line);
    // What is forgotten is unknown, and has to be compared like any other.
    patient.apply(&patient.examine(&gate.words(&[])).fault("host key", "is not known"));
    patient.examine(&gate.words(&[])).is_well();
}

#[test]
fn a_key_that_others_can_read_is_taken_away_from_them() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    let key = gate.server.path("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a file of ours");
    patient.apply(&patient.examine(&gate.words(&[])).fault("keys", "(0644)"));
    assert_eq!(fs::metadata(&key).expect("a file").permissions().mode() & 0o777, 0o600);
    patient.examine(&gate.words(&[])).is_well();
}

#[test]
fn without_a_key_one_is_made_and_given_to_the_site() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    gate.configure("mine/new key");
    fs::write(
        &gate.config,
        fs::read_to_string(&gate.config).expect("a file").replace(
            &gate.server.path("mine/new key").display().to_string(),
            &format!("\"{}\"", gate.server.path("mine/new key").display()),
        ),
    )
    .expect("a configuration");
    let found = patient.examine(&gate.words(&[]));
    found.fault("authentication", "could not be authenticated");
    let line = found.warning("keys", "there is no key");
    assert!(line.contains("ssh-keygen -q -t ed25519"), "{line}");
    patient.apply(&line);
    // Such a server lets nobody in who could add it: the site has to.
    let found = patient.examine(&gate.words(&[]));
    let shown = patient.apply(&found.fault("authentication", "could not be authenticated"));
    found.is_ok("host key");
    fs::write(gate.server.path("authorized_keys"), shown).expect("the site takes it");
    patient.examine(&gate.words(&[])).is_well();
}

#[test]
fn an_agent_and_the_number_of_its_keys_are_told() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    make_key("ed25519", &gate.server.path("other"), "");
    let agent =
        SshAgent::start(gate.server.path("").as_path(), &[&gate.server.path("key"), &gate.server.path("other")]);
    let old = fs::read_to_string(&gate.config).expect("a configuration");
    let by_agent = old
        .replace("IdentityAgent none", &format!("IdentityAgent {}", agent.socket.display()))
        .replace(&gate.server.path("key").display().to_string(), &gate.server.path("none").display().to_string())
        .replace("IdentitiesOnly yes", "IdentitiesOnly no");
    fs::write(&gate.config, by_agent).expect("a configuration");
    let found = patient.examine(&gate.words(&[]));
    found.is_well();
    assert!(found.is_ok("agent").contains("it holds 2 keys"));
    assert!(found.is_ok("authentication").contains("let in by the agent's"));
    drop(agent);
    let found = patient.examine(&gate.words(&[]));
    assert!(found.found("agent", "warn").is_some());
}

#[test]
fn forbidden_forwarding_is_named_with_what_those_who_run_it_can_do() {
    let (gate, patient) = (Gate::start("AllowTcpForwarding no"), Patient::here());
    let found = patient.examine(&gate.words(&[]));
    found.warning("forwarding", "does not allow a connection");
    let found = patient.examine(&gate.words(&["--route", "direct"]));
    found.fault("forwarding", "does not allow a connection");
    let advice = found.advice().to_owned();
    let setting = advice.split('`').nth(1).expect("a setting");
    let file = gate.server.path("sshd_config");
    let old = fs::read_to_string(&file).expect("a configuration");
    fs::write(&file, old.replace("AllowTcpForwarding no", setting)).expect("a configuration");
    gate.server.reload();
    patient.examine(&gate.words(&[])).is_well();
}

#[test]
fn without_a_login_host_this_machine_is_looked_at() {
    let patient = Patient::here();
    let found = patient.examine(&["--name", "x", "--", &engine_path().display().to_string()]);
    found.is_well();
    found.is_ok("command");
    assert!(found.found("authentication", "ok").is_none());
}

#[test]
fn a_command_that_is_not_found_is_a_fault() {
    let (gate, patient) = (Gate::start(""), Patient::here());
    let found = patient.examine(&gate.words(&["--name", "x", "--", "no-such-engine-anywhere"]));
    found.fault("command", "no-such-engine-anywhere is not found");
    let found = patient.examine(&gate.words(&["--chdir", "/no/such/folder", "--name", "x", "--", "/bin/true"]));
    found.fault("command", "--chdir");
}
