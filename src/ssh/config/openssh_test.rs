#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tempfile::TempDir;
use test_case::test_case;

use super::*;
use crate::ssh::SshHome;
use crate::ssh::config::{Target, Way};

/// A stand-in for another version of `ssh`: a script that is given what the real one would be.
fn stand_in(script: &str) -> (TempDir, SshOptions) {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("ssh");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    // A child of another test, not yet its own program, may still hold the file open for writing; then it cannot be run.
    let busy =
        |result: &std::io::Result<_>| matches!(result, Err(error) if error.kind() == ErrorKind::ExecutableFileBusy);
    while busy(&Command::new(&program).arg("/dev/null").output()) {
        std::thread::yield_now();
    }
    let home = SshHome { ssh_program: Some(program), ..SshHome::below(dir.path(), "me") };
    (dir, SshOptions { home, ..SshOptions::new("h") })
}

/// What OpenSSH 7.4 prints: fewer keywords, older names, and the tokens left as they are.
const OLD: &str = r#"
case "$*" in *'/dev/null'*)
  printf '%s\n' 'user me' 'hostname h' 'port 22' 'challengeresponseauthentication yes' 'serveraliveinterval 0' \
    'serveralivecountmax 3' 'identityfile ~/.ssh/id_rsa' 'identityfile ~/.ssh/id_dsa' 'identityagent /%h' \
    'userknownhostsfile /%h' 'revokedhostkeys /%h' 'ciphers a,aes128-ctr' 'pubkeyacceptedkeytypes ssh-rsa';;
*)
  printf '%s\n' 'user you' 'hostname login' 'port 2222' 'challengeresponseauthentication no' 'serveraliveinterval 0' \
    'serveralivecountmax 3' 'identityfile ~/.ssh/id_rsa' 'identityfile ~/.ssh/id_dsa' 'identityagent ~/a-%r' \
    'userknownhostsfile ~/one two ~/three-%h' 'revokedhostkeys ~/r-%h' 'ciphers a,aes128-ctr' \
    'pubkeyacceptedkeytypes ssh-ed25519' 'controlpath /%C' 'proxyjump none';;
esac"#;

#[test]
fn an_old_version_is_understood() {
    let (dir, options) = stand_in(OLD);
    let home = dir.path();
    let target = Target::resolve(&options).unwrap();
    assert_eq!((target.user.as_str(), target.host.as_str(), target.port), ("you", "login", 2222));
    assert_eq!((target.configured.len(), target.usual.is_empty(), target.way), (0, false, Way::Direct));
    assert_eq!(target.agent, Some(home.join("a-you")));
    assert_eq!(target.known_hosts.first(), Some(&home.join("one two")));
    assert_eq!(target.known_hosts.get(1), Some(&home.join("three-login")));
    let revoked = target.revoked_host_keys.unwrap();
    assert_eq!((revoked.lists, revoked.named_by.as_str()), (vec![home.join("r-login")], "the SSH configuration"));
    assert_eq!(target.algorithms.ciphers, None);
    assert_eq!(target.algorithms.public_keys, Some(vec!["ssh-ed25519".to_owned()]));
    assert!(!target.methods.contains(&crate::ssh::config::Method::KeyboardInteractive));
}

#[test]
fn what_ssh_says_of_a_bad_line_is_repeated() {
    let script = "case \"$*\" in *'/dev/null'*) echo hostname h;; *) echo 'x line 3: Bad port' >&2; exit 255;; esac";
    let (_dir, options) = stand_in(script);
    let error = Target::resolve(&options).unwrap_err();
    assert_eq!(error.to_string(), "ssh does not accept the SSH configuration: x line 3: Bad port");
    assert!(error.remedy().is_some());
}

#[test_case("echo 'ssh: unknown option -G' >&2; exit 1"; "Dropbear")]
#[test_case("true"; "it prints nothing")]
#[test_case("rm -f \"$0\"; exit 127"; "it goes away")]
fn another_program_of_that_name_is_not_asked(script: &str) {
    let (dir, options) = stand_in(script);
    std::fs::create_dir_all(dir.path().join(".ssh")).unwrap();
    std::fs::write(dir.path().join(".ssh/config"), "User ours\n").unwrap();
    assert_eq!(Target::resolve(&options).unwrap().user, "ours");
}

#[test]
fn it_is_called_as_a_user_would() {
    let (dir, mut options) = stand_in("printf '%s\\n' \"$@\" >> \"${0%/ssh}/called\"; echo hostname h");
    options.user = Some("me".to_owned());
    options.port = Some(23);
    options.jump = Some("none".to_owned());
    options.settings = vec!["User=x".to_owned(), "Port 24".to_owned()];
    options.config_file = Some("/c".into());
    options.identities = vec!["/k".into()];
    Target::resolve(&options).unwrap();
    let called = std::fs::read_to_string(dir.path().join("called")).unwrap();
    let expected = "-G -o ControlPath=/%C -F /c -l me -p 23 -J none -o User=x -o Port 24 -- h\n"
        .replace(' ', "\n")
        .replace("Port\n", "Port ");
    assert!(called.ends_with(&expected), "{called}");
}

#[test_case("/a /b", &["/a", "/b"])]
#[test_case("/a b /c", &["/a b", "/c"]; "a space inside")]
#[test_case("~/a ${HOME}/b %d/c", &["~/a", "${HOME}/b", "%d/c"])]
#[test_case("none", &["none"])]
fn paths_in_a_line(line: &str, expected: &[&str]) {
    assert_eq!(paths(line), expected);
}

#[test]
fn the_hash_is_ssh_s_own() {
    let script = "echo hostname h; echo controlpath /abc; echo 'identityfile ~/%C'";
    let (dir, options) = stand_in(&format!("case \"$*\" in *'/dev/null'*) echo hostname h;; *) {script};; esac"));
    assert_eq!(Target::resolve(&options).unwrap().configured, [dir.path().join("abc")]);
}

#[test]
fn gssapi_matters_where_the_user_and_not_the_system_wants_it() {
    let printed = |user: &str, system: &str| {
        let script = format!(
            "case \"$*\" in *'/dev/null'*) echo hostname h;; *etc-ssh*) echo 'gssapiauthentication {system}';; \
             *) echo hostname h; echo 'gssapiauthentication {user}';; esac"
        );
        let (_dir, options) = stand_in(&script);
        Target::resolve(&options).unwrap().warnings.len()
    };
    assert_eq!((printed("yes", "no"), printed("yes", "yes"), printed("no", "no")), (1, 0, 0));
}
