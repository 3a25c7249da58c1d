//! What the files of known hosts say about a key.

use std::process::Command;

use llm_proxy::ssh::{SshError, SshOptions};
use test_case::test_case;

use crate::sshd::{Sshd, connect, make_key};
use crate::support::{connects, public_key, ssh_knows};

#[tokio::test]
async fn an_unknown_host_is_refused_before_any_key_is_shown() {
    let server = Sshd::start("");
    server.write_known_hosts("");
    let error = connect(&server.options()).await.unwrap_err();
    let SshError::HostKeyUnknown { fingerprint, key_type, .. } = &error else { panic!("{error:?}") };
    let shown = Command::new("ssh-keygen").arg("-lf").arg(server.path("host_ed25519.pub")).output().unwrap();
    assert!(String::from_utf8(shown.stdout).unwrap().contains(fingerprint.as_ref()), "{fingerprint}");
    assert_eq!(key_type.as_ref(), "ssh-ed25519");
    assert!(error.is_host_key() && !error.is_transient());
    assert!(!server.log().contains("publickey"), "{}", server.log());
}

#[tokio::test]
async fn a_changed_host_key_is_refused_with_its_line() {
    let server = Sshd::start("");
    make_key("ed25519", &server.path("impostor"), "");
    let impostor = std::fs::read_to_string(server.path("impostor.pub")).unwrap();
    server.write_known_hosts(&format!("# mine\n\n[127.0.0.1]:{} {impostor}", server.port));
    let error = connect(&server.options()).await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyChanged { line: 3, .. }), "{error:?}");
    // Several keys may stand for one name.
    server.write_known_hosts(&format!(
        "[127.0.0.1]:{} {impostor}\n{}",
        server.port,
        server.known_hosts_lines(&["ed25519"])
    ));
    connect(&server.options()).await.unwrap();
}

#[tokio::test]
async fn a_revoked_host_key_is_refused() {
    let server = Sshd::start("");
    let known = server.known_hosts_lines(&["ed25519"]);
    server.write_known_hosts(&format!("{known}@revoked * {}\n", server.host_key("ed25519")));
    let error = connect(&server.options()).await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyRevoked { line: 2, .. }), "{error:?}");
}

#[tokio::test]
async fn hashed_names_are_known() {
    let server = Sshd::start("");
    let hashed = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(server.path(".ssh/known_hosts")).output();
    assert!(hashed.unwrap().status.success());
    assert!(std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap().starts_with("|1|"));
    connect(&server.options()).await.unwrap();
}

#[test_case("ecdsa"; "ecdsa")]
#[test_case("ed25519"; "ed25519")]
#[test_case("rsa"; "rsa")]
#[tokio::test]
async fn a_server_with_several_keys_shows_the_one_we_know(known: &str) {
    let server = Sshd::start_with_host_keys(&["ed25519", "ecdsa", "rsa"], "");
    server.write_known_hosts(&server.known_hosts_lines(&[known]));
    connect(&server.options()).await.unwrap();
}

/// In the lines, `{name}` is the name with its port, `{key}` the server's key, `{ec}` its second one, `{other}` another's.
#[test_case("", "{name} {key}", true; "the right key")]
#[test_case("", "{name} {other}", false; "another key")]
#[test_case("", "127.0.0.1 {key}", true; "the name without its port")]
#[test_case("", "127.0.0.1 {other}\n127.0.0.1 {key}", true; "one of two without the port")]
#[test_case("", "127.0.0.1 {other}", false; "another key without the port")]
#[test_case("", "127.0.0.1 {key}\n127.0.0.1 {ec}\n{name} {other}", false; "the name without its port cannot overrule")]
#[test_case("", "{name} {other}\n{name} {key}", true; "one of two")]
#[test_case("", "127.0.0.1 {key}\n@cert-authority {name} {other}", true; "an authority is no key")]
#[test_case("", "127.0.0.1 {key}\n@revoked {name} {other}", true; "a revoked key is no key")]
#[test_case("", "127.0.0.1 {key}\n{name} {ec}", true; "the name with its port chooses the kind of key")]
#[test_case("HostKeyAlgorithms ssh-ed25519", "127.0.0.1 {key}", true; "one kind of key only")]
#[test_case("HostKeyAlias alias", "alias {key}", true; "an alias without a port")]
#[test_case("HostKeyAlias alias", "[alias]:{port} {key}", false; "an alias with a port")]
#[test_case("HostKeyAlias alias", "{name} {key}\n127.0.0.1 {key}", false; "an alias stands instead of the name")]
#[test_case("HostKeyAlias ALIAS", "alias {key}", true; "an alias in capital letters")]
#[test_case("UserKnownHostsFile none", "{name} {key}", false; "no file")]
#[test_case("UserKnownHostsFile {dir}/missing {dir}/.ssh/known_hosts", "{name} {key}", true; "the second file")]
#[test_case("UserKnownHostsFile {dir}/missing\nUserKnownHostsFile {dir}/.ssh/known_hosts", "{name} {key}", false; "the first line counts")]
#[test_case("UserKnownHostsFile none\nGlobalKnownHostsFile {dir}/missing {dir}/.ssh/known_hosts", "{name} {key}", true; "the system's second file")]
#[test_case("GlobalKnownHostsFile {dir}/host_ed25519.pub", "{name} {key}", true; "a file of something else")]
#[test_case("RevokedHostKeys {dir}/host_ed25519.pub", "{name} {key}", false; "a list that revokes it")]
#[test_case("RevokedHostKeys {dir}/key.pub", "{name} {key}", true; "a list that revokes another")]
#[test_case("RevokedHostKeys {dir}/missing", "{name} {key}", false; "a list that is not there")]
#[test_case("RevokedHostKeys {dir}/.ssh/known_hosts", "{name} {key}", false; "a list of something else")]
#[test_case("RevokedHostKeys none\nRevokedHostKeys {dir}/host_ed25519.pub", "{name} {key}", true; "no list")]
#[test_case("RevokedHostKeys {dir}/krl", "{name} {key}", false; "a binary list")]
#[tokio::test]
async fn a_host_key_is_judged_as_ssh_does(config: &str, lines: &str, expected: bool) {
    let server = Sshd::start_with_host_keys(&["ed25519", "ecdsa"], "");
    make_key("ed25519", &server.path("other"), "");
    let other = std::fs::read_to_string(server.path("other.pub")).unwrap();
    let lines = lines.replace("{name}", &format!("[127.0.0.1]:{}", server.port));
    let lines = lines.replace("{key}", &server.host_key("ed25519")).replace("{ec}", &server.host_key("ecdsa"));
    server.write_known_hosts(&lines.replace("{other}", other.trim()).replace("{port}", &server.port.to_string()));
    let binary = [server.path("krl"), server.path("host_ed25519.pub")];
    let made = Command::new("ssh-keygen").args(["-q", "-k", "-f"]).args(binary).output();
    assert!(made.unwrap().status.success());
    let (ssh, ours) = connects(&server, config).await;
    assert_eq!((ssh, ours.is_ok()), (expected, expected), "{ours:?}");
    assert!(ours.is_ok() || ours.unwrap_err().is_host_key());
}

#[tokio::test]
async fn a_binary_list_of_revoked_keys_is_refused_by_name() {
    let server = Sshd::start("");
    let list = server.path("krl");
    let made = Command::new("ssh-keygen").args(["-q", "-k", "-f"]).args([&list, &server.path("key.pub")]).output();
    assert!(made.unwrap().status.success());
    // `ssh` can read it and finds that another key is revoked; we cannot, and so must not connect.
    let (ssh, ours) = connects(&server, &format!("Host *\nRevokedHostKeys {}", list.display())).await;
    assert!(ssh);
    let error = ours.unwrap_err();
    assert!(
        matches!(&error, SshError::RevokedHostKeysUnusable { named_by, .. } if named_by.ends_with("config:2")),
        "{error:?}"
    );
    let expected =
        format!("judged_config:2 sets RevokedHostKeys, and {} cannot be used: it is a binary", list.display());
    assert!(error.to_string().contains(&expected), "{error}");
    std::fs::copy(server.path("host_ed25519.pub"), &list).unwrap();
    let (ssh, ours) = connects(&server, &format!("RevokedHostKeys {}", list.display())).await;
    assert!(!ssh);
    let Err(SshError::HostKeyRevoked { file, line: 1, .. }) = ours else { panic!("{ours:?}") };
    assert_eq!(file, list);
}

#[tokio::test]
async fn a_key_of_another_kind_is_a_changed_one_as_in_ssh() {
    let server = Sshd::start("");
    make_key("rsa", &server.path("old"), "");
    server.write_known_hosts(&format!("[127.0.0.1]:{} {}\n", server.port, public_key(&server, "old")));
    assert!(!ssh_knows(&server, &["StrictHostKeyChecking=accept-new"]));
    let options = SshOptions { accept_new_host_key: true, ..server.options() };
    let error = connect(&options).await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyChanged { line: 1, .. }), "{error:?}");
}
