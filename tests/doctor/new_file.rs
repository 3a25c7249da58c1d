//! On a terminal: what was looked at, in a configuration file, which then says the same as the options.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::login_host::Gate;
use crate::support::engine_path;
use crate::support::pty::Pty;
use crate::support::scene::soon;

const CONSENT: &str = "? (yes/no) ";
const BINARY: &str = env!("CARGO_BIN_EXE_llm-proxy");

fn options(gate: &Gate) -> String {
    let engine = engine_path().display().to_string();
    let options = "--port 0 --lease 5m --idle-timeout 90m --prelude 'true && : \"a: b\" # c' --env HF_HOME=/tmp";
    format!("--ssh-config {} --login gate {options} -- {engine} --model 'tiny model'", gate.config)
}

fn doctor(gate: &Gate, home: &Path) -> Pty {
    Pty::start(&format!("exec {BINARY} doctor {}", options(gate)), home, &[])
}

/// What a line of the program's prints, in this home.
fn run(line: &str, home: &Path) -> String {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("exec {line}")]).env_clear().env("HOME", home).current_dir(home);
    let output = command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).output().expect("a shell");
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is run is the same to the letter.
fn rehearsal(line: &str, home: &Path) -> String {
    run(&line.replacen("llm-proxy serve", &format!("{BINARY} serve --dry-run"), 1), home)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_consent_it_is_written_for_the_user_alone_and_means_the_same() {
    let (gate, home) = (Gate::start(""), tempfile::tempdir().expect("a folder"));
    let file = home.path().join("llm-proxy.yaml");
    let mut visit = doctor(&gate, home.path());
    let text = visit.wait_for(CONSENT, soon()).await.replace('\r', "");
    assert!(text.contains("The doctor can write llm-proxy.yaml, which only you can read:"), "{text}");
    assert!(text.contains("    login: gate\n") && !file.exists(), "it is shown first: {text}");
    visit.type_keys("yes\n");
    let text = visit.wait_for("llm-proxy serve --config llm-proxy.yaml", soon()).await;
    assert!(visit.ended(soon()).await.success(), "{text}");
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);

    assert_eq!(run(&format!("{BINARY} config check llm-proxy.yaml"), home.path()), "nothing is wrong: tiny-model\n");
    let typed = rehearsal(&format!("llm-proxy serve {}", options(&gate)), home.path());
    let line = text.lines().find(|line| line.contains("--config")).expect("a line");
    let line = line.split("\u{1b}[1m").last().and_then(|line| line.split('\u{1b}').next()).expect("a line");
    assert!(line.trim_end().ends_with("--config llm-proxy.yaml --name tiny-model --lease 5m"), "{line}");
    assert_eq!(rehearsal(line.trim(), home.path()), typed);

    // It is there now, and says the same: nothing is asked.
    let mut again = doctor(&gate, home.path());
    again.wait_for("llm-proxy.yaml says all of this", soon()).await;
    assert!(again.ended(soon()).await.success());
    assert!(!again.text().contains(CONSENT), "{}", again.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_there_stays_as_it_is() {
    let (gate, home) = (Gate::start(""), tempfile::tempdir().expect("a folder"));
    let file = home.path().join("llm-proxy.yaml");
    fs::write(&file, "model: mine\n").expect("a file");
    let mut visit = doctor(&gate, home.path());
    visit.wait_for("it stays as it is", soon()).await;
    assert!(visit.ended(soon()).await.success());
    assert!(!visit.text().contains(CONSENT), "{}", visit.text());
    assert_eq!(fs::read_to_string(&file).expect("a file"), "model: mine\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_consent_or_a_terminal_none_is_written() {
    let (gate, home) = (Gate::start(""), tempfile::tempdir().expect("a folder"));
    let mut visit = doctor(&gate, home.path());
    visit.wait_for(CONSENT, soon()).await;
    visit.type_keys("no\n");
    assert!(visit.ended(soon()).await.success());
    let mut visit = doctor(&gate, home.path());
    visit.wait_for(CONSENT, soon()).await;
    visit.type_keys("\u{3}");
    visit.wait_for("nothing was changed", soon()).await;
    assert_eq!(visit.ended(soon()).await.code(), Some(130));
    let told = run(&format!("{BINARY} doctor {}", options(&gate)), home.path());
    assert!(told.contains("this is ready to be started") && !told.contains("configuration file"), "{told}");
    assert!(!home.path().join("llm-proxy.yaml").exists());
}
