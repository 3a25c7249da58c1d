//! Files that have no end, or keep a reader waiting, hold nothing up: they are named.

use std::fs;
use std::path::Path;
use std::process::Command;

use llm_proxy::ssh::{SshError, SshOptions};
use test_case::test_case;
use tokio::time::{Duration, timeout};

use crate::sshd::{Sshd, connect};

/// How long anything here may take, where real `ssh` waits for ever.
const SOON: Duration = Duration::from_secs(8);

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

async fn refused(options: SshOptions) -> SshError {
    // What would hang does so in a call that blocks.
    let connecting = tokio::spawn(async move { connect(&options).await });
    timeout(SOON, connecting).await.expect("it is read, or refused, soon").unwrap().unwrap_err()
}

#[test_case("UserKnownHostsFile {pipe}", "pipe cannot be read: it is a pipe, not a file"; "a pipe for known hosts")]
#[test_case("UserKnownHostsFile /dev/zero", "/dev/zero cannot be read: it is a device, not a file"; "a device without an end")]
#[test_case("UserKnownHostsFile {dir}", "cannot be read: it is a folder, not a file"; "a folder for known hosts")]
#[test_case("GlobalKnownHostsFile {pipe}", "pipe cannot be read: it is a pipe, not a file"; "a pipe for the system's known hosts")]
#[test_case("UserKnownHostsFile {huge}", "huge cannot be read: it is larger than"; "a file without an end")]
#[test_case("RevokedHostKeys {pipe}", "pipe cannot be used: it is a pipe, not a file"; "a pipe for revoked keys")]
#[test_case("RevokedHostKeys /dev/zero", "/dev/zero cannot be used: it is a device, not a file"; "a device for revoked keys")]
#[tokio::test(flavor = "multi_thread")]
async fn what_decides_about_keys_is_a_file(setting: &str, told: &str) {
    let server = Sshd::start("");
    make_pipe(&server.path("pipe"));
    fs::File::create(server.path("huge")).unwrap().set_len(1 << 40).unwrap();
    let path = |name: &str| server.path(name).display().to_string();
    let setting =
        setting.replace("{pipe}", &path("pipe")).replace("{huge}", &path("huge")).replace("{dir}", &path(".ssh"));
    let setting = setting.replacen(' ', "=", 1);
    let error = refused(SshOptions { settings: vec![setting], accept_new_host_key: true, ..server.options() }).await;
    assert!(error.is_host_key() && error.to_string().contains(told), "{error}");
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn no_list_of_revoked_keys_and_no_known_hosts_are_named_as_ssh_users_name_them() {
    let server = Sshd::start("");
    let settings = ["UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=accept-new"].map(str::to_owned).to_vec();
    connect(&SshOptions { settings, ..server.options() }).await.unwrap();
}

/// With `ssh` to ask, and with our own reading.
#[test_case(true)]
#[test_case(false)]
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_a_file(by_ssh: bool) {
    let server = Sshd::start("");
    make_pipe(&server.path("pipe"));
    for (file, told) in
        [(server.path("pipe"), "a pipe"), ("/dev/zero".into(), "a device"), (server.path(".ssh"), "a folder")]
    {
        let mut home = server.home();
        home.ssh_program = by_ssh.then(|| "/usr/bin/ssh".into());
        let error = refused(SshOptions { config_file: Some(file), home, ..server.options() }).await;
        assert!(matches!(error, SshError::ConfigUnreadable { .. }) && error.to_string().contains(told), "{error}");
    }
    // A key that cannot be read is passed over, and named.
    let error = refused(SshOptions { identities: vec![server.path("pipe")], ..server.options() }).await;
    assert!(error.to_string().contains("it is a pipe, not a file"), "{error}");
}
