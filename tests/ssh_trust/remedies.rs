//! What a user is told to type about a changed key works when it is pasted into a shell.

use std::fs;
use std::process::{Command, Output};

use llm_proxy::ssh::{SshError, SshOptions};
use test_case::test_case;

use crate::sshd::{Sshd, connect, make_key};
use crate::support::public_key;

/// The commands in a remedy, which stand between backticks.
fn commands(error: &SshError) -> Vec<String> {
    let remedy = error.remedy().unwrap();
    remedy.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn pasted(line: &str) -> Output {
    Command::new("timeout").args(["30", "sh", "-c", line]).output().unwrap()
}

/// `{name}` is the name that the key is looked up by.
#[test_case("", "{name} {other}", "known_hosts"; "a name with a port")]
#[test_case("", "[127.0.0.*]:*,x {other}", "known_hosts"; "a pattern")]
#[test_case("", "{name} {other}\n{name} {ec}", "known hosts of 'mine' & $HOME"; "a name of a file that means something to a shell")]
#[test_case("HostKeyAlias Cluster", "cluster {other}", "known_hosts"; "an alias")]
#[test_case("HostKeyAlias Cluster", "clus*,!x {other}", "it's mine"; "a pattern for an alias")]
#[tokio::test]
async fn a_changed_key_can_be_mended_by_what_is_told(setting: &str, lines: &str, file: &str) {
    let server = Sshd::start("");
    make_key("ed25519", &server.path("other"), "");
    make_key("ecdsa", &server.path("ec"), "");
    let lines = lines.replace("{name}", &format!("[127.0.0.1]:{}", server.port));
    let lines = lines.replace("{other}", &public_key(&server, "other")).replace("{ec}", &public_key(&server, "ec"));
    let file = server.path(file);
    fs::write(&file, format!("{lines}\nanother {}\n", public_key(&server, "other"))).unwrap();
    let config = format!(
        "{setting}\nUserKnownHostsFile \"{}\"\nGlobalKnownHostsFile none\nIdentityFile {}\nHashKnownHosts no\n",
        file.display(),
        server.path("key").display()
    );
    fs::write(server.path("config of mine"), config).unwrap();
    let options =
        SshOptions { config_file: Some(server.path("config of mine")), identities: Vec::new(), ..server.options() };
    let error = connect(&options).await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyChanged { .. }), "{error:?}");
    let commands = commands(&error);
    let [remove, by_hand, scan] = &*commands else { panic!("{commands:?}") };

    let scanned = pasted(scan);
    assert!(scanned.status.success(), "{scan}: {scanned:?}");
    let removed = pasted(remove);
    assert!(removed.status.success(), "{remove}: {removed:?}");
    let left = fs::read_to_string(&file).unwrap();
    assert_eq!(left, format!("another {}\n", public_key(&server, "other")));
    let error = connect(&options).await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyUnknown { .. }), "{error:?}");

    // What the scan printed is what `ssh` writes.
    fs::write(&file, format!("{left}{}", String::from_utf8(scanned.stdout).unwrap())).unwrap();
    connect(&options).await.unwrap();
    fs::write(&file, left).unwrap();
    let accepting = by_hand.replacen("ssh ", "ssh -o StrictHostKeyChecking=accept-new ", 1);
    let connected = pasted(&format!("{accepting} true"));
    assert!(connected.status.success(), "{accepting}: {connected:?}");
    connect(&options).await.unwrap();
}

#[tokio::test]
async fn an_alias_that_is_no_word_gets_no_line_to_look_at_keys() {
    let server = Sshd::start("");
    make_key("ed25519", &server.path("other"), "");
    server.write_known_hosts(&format!("a/b&c {}\n", public_key(&server, "other")));
    let options = SshOptions { settings: vec!["HostKeyAlias=a/b&c".to_owned()], ..server.options() };
    let error = connect(&options).await.unwrap_err();
    let remedy = error.remedy().unwrap();
    assert!(remedy.contains("get its keys from those who run it"), "{remedy}");
    let commands = commands(&error);
    let [remove, by_hand] = &*commands else { panic!("{commands:?}") };
    assert!(pasted(remove).status.success(), "{remove}");
    assert!(by_hand.contains("-o 'HostKeyAlias=a/b&c' ssh://"), "{by_hand}");
}

#[tokio::test]
async fn an_unknown_host_with_a_port_can_be_reached_by_what_is_told() {
    let server = Sshd::start("");
    server.write_known_hosts("");
    let error = connect(&server.options()).await.unwrap_err();
    let port = server.port;
    assert!(
        commands(&error)
            .iter()
            .any(|line| line.ends_with(&format!("@127.0.0.1:{port}")) && line.starts_with("ssh ssh://")),
        "{error:?}"
    );
}
