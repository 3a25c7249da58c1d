#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

use test_case::test_case;

use super::*;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKzD/RXcDkbkp9n9BTn650KVaRPMKLAdFQJ2eRSHIfln";

fn key() -> PublicKey {
    PublicKey::from_openssh(&format!("{KEY} a comment")).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// What `ssh-keygen -F` finds under a name.
fn found(file: &Path, name: &str) -> String {
    let found = Command::new("ssh-keygen").args(["-F", name, "-f"]).arg(file).output();
    let found = found.unwrap_or_else(|error| panic!("ssh-keygen: {error}; install Debian's openssh-client"));
    String::from_utf8(found.stdout).unwrap()
}

#[test]
fn a_plain_line_is_what_ssh_writes() {
    assert_eq!(line("[h]:2222", &key(), false).unwrap(), format!("[h]:2222 {KEY}"));
}

#[test_case("*")]
#[test_case("a,b" ; "a list")]
#[test_case("!a" ; "a negation")]
#[test_case("@revoked" ; "a marker")]
#[test_case("a b" ; "two words")]
#[test_case("" ; "nothing")]
fn a_name_that_would_stand_for_others_is_only_written_hashed(name: &str) {
    assert_eq!(line(name, &key(), false).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    assert!(line(name, &key(), true).unwrap().starts_with("|1|"));
}

#[test_case("h", false)]
#[test_case("h", true; "a hashed name")]
#[test_case("[h]:2222", false; "a port")]
#[test_case("[h]:2222", true; "a hashed name with a port")]
#[test_case("::1", true; "a hashed address")]
fn ssh_keygen_finds_what_is_written(name: &str, hashed: bool) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("home/.ssh/known_hosts");
    append(&file, &line(name, &key(), hashed).unwrap()).unwrap();
    append(&file, &line("other", &key(), hashed).unwrap()).unwrap();
    let found = found(&file, name);
    assert!(found.contains("line 1") && found.contains(KEY), "{found}");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("|1|")).count(), if hashed { 2 } else { 0 });
    assert!(!hashed || !text.contains('h') || !text.contains("other"), "{text}");
}

#[test]
fn two_hashes_of_a_name_differ() {
    assert_ne!(line("h", &key(), true).unwrap(), line("h", &key(), true).unwrap());
}

#[test]
fn a_new_file_and_its_folder_are_the_users_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(".ssh/known_hosts");
    append(&file, "a").unwrap();
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn an_old_file_keeps_its_mode_and_lines() {
    let dir = tempfile::tempdir().unwrap();
    let (file, real) = (dir.path().join("known_hosts"), dir.path().join("elsewhere"));
    // The last line lacks its end.
    fs::write(&real, "first\nlast").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink(&real, &file).unwrap();
    append(&file, "a").unwrap();
    append(&file, "b").unwrap();
    assert_eq!(fs::read_to_string(&real).unwrap(), "first\nlast\na\nb\n");
    assert!(file.is_symlink());
    assert_eq!(mode(&real), 0o644);
}

#[test]
fn what_cannot_be_written_is_said() {
    let dir = tempfile::tempdir().unwrap();
    // A folder in the file's place: the superuser, who may run the tests, writes every file.
    assert!(append(dir.path(), "a").is_err());
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(append(&dir.path().join("file/known_hosts"), "a").is_err());
}

#[test]
fn many_who_write_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known_hosts");
    fs::write(&file, "unended").unwrap();
    thread::scope(|scope| {
        for writer in 0..8 {
            let file = &file;
            scope.spawn(move || {
                for number in 0..25 {
                    append(file, &format!("{writer}-{number} {}", "x".repeat(700))).unwrap();
                }
            });
        }
    });
    let text = fs::read_to_string(&file).unwrap();
    let whole = |line: &&str| line.len() > 700 && line.trim_end_matches('x').ends_with(' ');
    assert_eq!(text.lines().filter(whole).count(), 200);
    assert!(text.lines().all(|line| whole(&line) || line.is_empty() || line == "unended"));
}
