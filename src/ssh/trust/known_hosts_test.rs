#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::process::Command;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use russh::Preferred;
use tempfile::TempDir;
use test_case::test_case;

use super::*;
use crate::ssh::{SshHome, SshOptions};

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKzD/RXcDkbkp9n9BTn650KVaRPMKLAdFQJ2eRSHIfln";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1pUaYuG7bZSMhkJHojSOoWwdr+T+GffjIlVUMd0etC";
const EC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIQd1ktjWd8qBjcA4F+dwjoMofUytJ+dbLsbx0shGBJRJ8OPSHbAo5r1vG2veuovyW/OXR47YWkF/ltU8D0u17c=";
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDcB//TptE88MJxROx2DFIO7GV8KkZL3GEUTHyJoVrKoBJkowCgFytrd2d78vsR8CSd8IO4IHVW8bqLKulcUaLvhWCbYWoaM4oC0keo/cOMmz+bJNUkKFlDW8I57+1opBxFeuBQYyjNFOKMgJEckJe5A+L3twLG+/OHDwkg2gAwcVwfYALdbWhjhKO5I234Rp1KVxHhpZSCDbTOokETp8ZaZFgbP6CU54OWbh4wUPaTRGhnVa4TkDvy5JWQqMKZLSPmTp3LAcK8VBOKCy86eCkKDepRZOzs3U7KANQNz9CLwi437zdqczReMg2aSn7WP6Mq0cqJtjvqR8Fpxv12MDaJ";

/// The files of a user: `lines`, in which `A`, `B`, `EC` and `RSA` stand for keys, and a destination to look up.
fn known(destination: &str, lines: &str) -> (TempDir, KnownHosts) {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "me");
    std::fs::create_dir_all(&home.ssh_dir).unwrap();
    let text = lines.replace("{A}", A).replace("{B}", B).replace("{EC}", EC).replace("{RSA}", RSA);
    std::fs::write(home.ssh_dir.join("known_hosts"), text).unwrap();
    let known = load(destination, home).unwrap();
    (dir, known)
}

fn load(destination: &str, home: SshHome) -> Result<KnownHosts, SshError> {
    KnownHosts::load(&Target::resolve(&SshOptions { home, ..SshOptions::new(destination) })?, &Learned::default())
}

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh(text).unwrap()
}

/// What comes of showing key A, in one word and the number of the line that decided.
fn verdict(destination: &str, lines: &str) -> String {
    match known(destination, lines).1.verify_key(&key(A)) {
        Ok(()) => "good".to_owned(),
        Err(SshError::HostKeyChanged { line, .. }) => format!("changed {line}"),
        Err(SshError::HostKeyRevoked { line, .. }) => format!("revoked {line}"),
        Err(SshError::HostKeyUnknown { besides, .. }) => {
            besides.authority.map_or("unknown".to_owned(), |authority| format!("unknown, authority {}", authority.1))
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test_case("h", "h {A}", "good")]
#[test_case("h", "", "unknown"; "an empty file")]
#[test_case("h", "other {A}", "unknown"; "another host")]
#[test_case("h", "h {B}", "changed 1")]
#[test_case("h", "h {B}\nh {A}", "good"; "several keys for one name")]
#[test_case("h", "h {A}\nh {B}", "good"; "several keys for one name, the other way round")]
#[test_case("h", "h {EC}", "changed 1"; "a key of another kind too, for we asked for that first")]
#[test_case("h", "h {EC}\nh {B}\nh {RSA}", "changed 2"; "the line of the same kind is named")]
#[test_case("h", "# h\n\n   # h\nh {B}", "changed 4"; "comments and empty lines count")]
#[test_case("h", "a,h,b {A}", "good"; "one name of several")]
#[test_case("h.example.org", "*.example.org {A}", "good"; "a star")]
#[test_case("h1", "h? {A}", "good"; "a question mark")]
#[test_case("bad.example.org", "*.example.org,!bad.example.org {A}", "unknown"; "a negation")]
#[test_case("good.example.org", "!bad.example.org,*.example.org {A}", "good"; "a negation of another")]
#[test_case("h:2222", "[h]:2222 {A}", "good"; "a port")]
#[test_case("h:2222", "h {A}", "good"; "the name without its port may say yes")]
#[test_case("h:2222", "h {B}", "unknown"; "the name without its port never says changed")]
#[test_case("h:2222", "h {A}\n[h]:2222 {B}", "changed 2"; "the name without its port cannot overrule the one with it")]
#[test_case("h:2222", "h {A}\n[h]:2222 {EC}", "changed 2"; "nor where the one with it has a key of another kind")]
#[test_case("h:2222", "h {A}\n*2222 {B}", "changed 2"; "a pattern names the port too")]
#[test_case("h:2222", "h {B}\n[h]:2222 {B}\n[h]:2222 {A}", "good"; "several keys for the name with its port")]
#[test_case("h:2222", "h {B}\nh {A}", "good"; "several keys for the name without its port")]
#[test_case("h:2222", "h {A}\n@cert-authority [h]:2222 {B}", "good"; "an authority for the name with its port is no key of it")]
#[test_case("h:2222", "h {A}\n@revoked [h]:2222 {B}", "good"; "nor is a revoked key of it")]
#[test_case("h:2222", "h {A}\n[h]:2222 ssh-ed25519 AAAAbroken", "good"; "nor a broken line")]
#[test_case("h:2222", "@revoked [h]:2222 {A}\nh {A}", "revoked 1"; "a key revoked for the port")]
#[test_case("h", "[h]:2222 {A}", "unknown"; "another port")]
#[test_case("h:2222", "[*]:2222 {A}", "good"; "a pattern with a port")]
#[test_case("H", "h {A}", "good"; "capital letters of the user")]
#[test_case("h", "H {A}", "good"; "capital letters of the file")]
#[test_case("h", "h\t{A}", "good"; "a tab")]
#[test_case("h", "  h   {A}   a comment\r", "good"; "spaces and a carriage return")]
#[test_case("h", "@revoked h {A}\nh {A}", "revoked 1")]
#[test_case("h", "h {A}\n@revoked * {A}", "revoked 2"; "a revocation counts wherever it stands")]
#[test_case("h", "h {A}\n@revoked h {B}", "good"; "a revocation of another key")]
#[test_case("h", "@revoked h {B}", "unknown"; "a revoked key is no known one")]
#[test_case("h", "@revoked\th\t{A}", "revoked 1"; "a revocation with tabs")]
#[test_case("h:2222", "[h]:2222 {A}\n@revoked h {A}", "revoked 2"; "a revocation without the port")]
#[test_case("h", "@cert-authority h {A}", "unknown, authority 1"; "an authority's key is not the host's")]
#[test_case("h", "@cert-authority h {B}\nh {A}", "good"; "an authority and a key")]
#[test_case("h", "@unheard-of h {A}", "unknown"; "an unknown marker")]
#[test_case("h", "h ssh-ed25519 AAAAbroken\nh ssh-dss AAAAB3NzaC1kc3MAAAA=\nh 1024 35 1234567\nh\nh {A}", "good"; "broken lines are passed over")]
#[test_case("h", "h ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIKzD/RXcDkbkp9n9BTn650KVaRPMKLAdFQJ2eRSHIfln", "unknown"; "a kind that is not the key's")]
#[test_case("::1", "::1 {A}", "good"; "an address")]
#[test_case("[::1]:2222", "[::1]:2222 {A}", "good"; "an address with a port")]
fn table(destination: &str, lines: &str, expected: &str) {
    assert_eq!(verdict(destination, lines), expected);
}

#[test_case("h", "h"; "a name")]
#[test_case("h:2222", "[h]:2222"; "a name with a port")]
fn names_that_ssh_keygen_hashed_are_found(destination: &str, name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "me");
    std::fs::create_dir_all(&home.ssh_dir).unwrap();
    let file = home.ssh_dir.join("known_hosts");
    std::fs::write(&file, format!("other {B}\n{name} {A}\n")).unwrap();
    let status = Command::new("ssh-keygen").arg("-q").arg("-H").arg("-f").arg(&file).output();
    let status = status.unwrap_or_else(|error| panic!("ssh-keygen: {error}; install Debian's openssh-client"));
    assert!(status.status.success(), "{status:?}");
    assert!(std::fs::read_to_string(&file).unwrap().lines().all(|line| line.starts_with("|1|")));
    let known = load(destination, home).unwrap();
    assert!(known.verify_key(&key(A)).is_ok());
    assert!(matches!(known.verify_key(&key(B)), Err(SshError::HostKeyChanged { line: 2, .. })));
}

#[test]
fn an_alias_is_looked_up_without_a_port() {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "me");
    std::fs::create_dir_all(&home.ssh_dir).unwrap();
    std::fs::write(home.ssh_dir.join("config"), "Host h\nHostKeyAlias cluster\nPort 2222\n").unwrap();
    std::fs::write(home.ssh_dir.join("known_hosts"), format!("cluster {A}\n")).unwrap();
    assert!(load("h", home).unwrap().verify_key(&key(A)).is_ok());
}

#[test]
fn all_four_files_count() {
    for file in [".ssh/known_hosts", ".ssh/known_hosts2", "etc-ssh/ssh_known_hosts", "etc-ssh/ssh_known_hosts2"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, format!("h {A}\n")).unwrap();
        assert!(load("h", SshHome::below(dir.path(), "me")).unwrap().verify_key(&key(A)).is_ok(), "{}", file.display());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_no_empty_file() {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "me");
    // A folder in the file's place: the superuser, who may run the tests, reads every file.
    std::fs::create_dir_all(home.ssh_dir.join("known_hosts")).unwrap();
    let error = load("h", home).unwrap_err();
    assert!(matches!(error, SshError::KnownHostsUnreadable { .. }), "{error:?}");
    assert!(error.is_host_key());
}

/// What comes of showing key A under `RevokedHostKeys` with this list, where A is known.
fn with_list(list: &[u8]) -> Result<(), SshError> {
    let (dir, _) = known("h", "h {A}");
    let home = SshHome::below(dir.path(), "me");
    std::fs::write(home.ssh_dir.join("config"), "\nHost h\nRevokedHostKeys ~/list").unwrap();
    std::fs::write(dir.path().join("list"), list).unwrap();
    load("h", home)?.verify_key(&key(A))
}

#[test]
fn a_list_of_revoked_keys_counts() {
    assert!(with_list(format!("# old ones\n\n{B} a comment\r\n{EC}\n{RSA}\n").as_bytes()).is_ok());
    assert!(with_list(b"").is_ok());
    let error = with_list(format!("# old ones\n{B}\n  {A} a comment").as_bytes()).unwrap_err();
    let SshError::HostKeyRevoked { file, line: 3, .. } = &error else { panic!("{error:?}") };
    assert!(file.ends_with("list"));
}

#[test_case("h {A}", "its line 1 is not a public key"; "a line of known hosts")]
#[test_case("{B}\nssh-ed25519 AAAAbroken", "its line 2 is not a public key"; "a broken key")]
#[test_case("ssh-ed25519", "its line 1 is not a public key"; "half a key")]
#[test_case("new-kind@example.org AAAAFG5ldy1raW5kQGV4YW1wbGUub3JnAAAAAA==", "its line 1 is not a public key"; "an unknown kind")]
#[test_case("SSHKRL\n\0\0\0\0\u{1}", "it is a binary key revocation list"; "a KRL")]
fn a_list_that_is_not_understood_is_no_empty_list(list: &str, expected: &str) {
    let error = with_list(list.replace("{A}", A).replace("{B}", B).as_bytes()).unwrap_err();
    assert!(error.to_string().contains(".ssh/config:3 sets RevokedHostKeys, and /"), "{error}");
    assert!(error.to_string().contains(&format!("/list cannot be used: {expected}")), "{error}");
    assert!(error.is_host_key() && error.remedy().is_some());
}

#[test]
fn algorithms_of_known_keys_are_asked_for_first() {
    let first = |lines: &str| known("h", lines).1.algorithms().plain.first().unwrap().as_str().to_owned();
    assert_eq!(first(""), "ssh-ed25519");
    assert_eq!(first("h {EC}"), "ecdsa-sha2-nistp256");
    assert_eq!(first("h {RSA}"), "rsa-sha2-512");
    assert_eq!(first("h {EC}\nh {A}"), "ssh-ed25519");
    assert_eq!(first("@revoked h {EC}\n@cert-authority h {RSA}"), "ssh-ed25519");
    // What the name without its port knows does not decide here, so it must not choose the key that the server shows.
    let with_port = known("h:2222", "h {A}\n[h]:2222 {EC}").1.algorithms().plain;
    assert_eq!(with_port.first().unwrap().as_str(), "ecdsa-sha2-nistp256");
    // All but RSA with SHA-1.
    assert_eq!(known("h", "h {EC}").1.algorithms().plain.len() + 1, Preferred::DEFAULT.key.len());
}

#[test]
fn keys_of_all_files_and_hashed_names_are_asked_for_first() {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "me");
    std::fs::create_dir_all(&home.ssh_dir).unwrap();
    std::fs::create_dir_all(&home.system_dir).unwrap();
    let hashed = super::super::write::line("h", &key(EC), true).unwrap();
    std::fs::write(home.ssh_dir.join("known_hosts2"), hashed).unwrap();
    std::fs::write(home.system_dir.join("ssh_known_hosts"), format!("h {RSA}\n")).unwrap();
    let plain = load("h", home).unwrap().algorithms().plain;
    let plain: Vec<_> = plain.iter().map(Algorithm::as_str).collect();
    assert!(plain.starts_with(&["ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"]), "{plain:?}");
    assert!(!plain.contains(&"ssh-rsa"), "{plain:?}");
}

#[test]
fn what_only_this_process_knows_counts_like_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let target = Target::resolve(&SshOptions { home: SshHome::below(dir.path(), "me"), ..SshOptions::new("H:2222") });
    let target = target.unwrap();
    let learned = Learned::default();
    learned.trust(&Server::of(&target), &key(A));
    let known = KnownHosts::load(&target, &learned).unwrap();
    assert!(known.verify_key(&key(A)).is_ok());
    let error = known.verify_key(&key(B)).unwrap_err();
    assert!(matches!(error, SshError::HostKeyChanged { line: 0, .. }), "{error:?}");
    assert!(error.remedy().unwrap().ends_with("start this program anew"), "{error:?}");
    assert!(load("h:22", SshHome::below(dir.path(), "me")).unwrap().verify_key(&key(A)).is_err());
}

/// What comes of showing key A where another host vouches, as with [`verdict`].
fn vouched_verdict(destination: &str, files: &str, vouched: &str) -> (String, Option<String>) {
    let (dir, _) = known(destination, files);
    let home = SshHome::below(dir.path(), "me");
    std::fs::write(home.ssh_dir.join("config"), "StrictHostKeyChecking no\n").unwrap();
    let vouched = vouched.replace("{A}", A).replace("{B}", B);
    let vouched = Some(Vouched { by: "login".to_owned(), lines: vouched });
    let target = Target::resolve(&SshOptions { vouched, home, ..SshOptions::new(destination) }).unwrap();
    assert_eq!(target.unknown_host_key, crate::ssh::config::UnknownHostKey::Refuse);
    let Err(error) = KnownHosts::load(&target, &Learned::default()).unwrap().verify_key(&key(A)) else {
        return ("good".to_owned(), None);
    };
    let remedy = error.remedy();
    let found = match error {
        SshError::HostKeyChanged { file, line, .. } => format!("changed {}:{line}", file.display()),
        SshError::HostKeyRevoked { line, .. } => format!("revoked {line}"),
        SshError::HostKeyUnknown { file, besides, .. } if besides.authority.is_none() => {
            format!("unknown {}", file.display())
        }
        other => panic!("{other:?}"),
    };
    (found, remedy)
}

#[test_case("h {B}", "h {A}", "good"; "the user knows another machine by the name")]
#[test_case("* {B}", "h {A}", "good"; "or all of them by one pattern")]
#[test_case("h {B}", "", "unknown the known hosts of login"; "and nobody vouches")]
#[test_case("h {A}", "", "unknown the known hosts of login"; "the user's own line says nothing for it")]
#[test_case("* {A}", "h {B}", "changed the known hosts of login:1"; "nor against who vouches")]
#[test_case("@cert-authority * {B}", "", "unknown the known hosts of login"; "nor does an authority of the user's")]
#[test_case("h {B}\n@revoked * {A}", "h {A}", "revoked 2"; "what the user revoked stays revoked")]
#[test_case("", "h {A}\n@revoked * {A}", "revoked 2"; "and so does what others did")]
fn where_another_host_vouches(files: &str, vouched: &str, expected: &str) {
    assert_eq!(vouched_verdict("h", files, vouched).0, expected);
}

#[test]
fn where_another_host_vouches_the_remedy_is_there() {
    let remedy = |lines| vouched_verdict("h:2222", "", lines).1.unwrap();
    let unknown = remedy("");
    assert!(unknown.starts_with("on login, run `ssh -p 2222 'h'`, compare the fingerprint"), "{unknown}");
    assert!(!unknown.contains("--accept-new-host-key"), "{unknown}");
    let changed = remedy("[h]:2222 {B}");
    assert!(
        changed.contains("run `ssh-keygen -R '[h]:2222'` on login; then on login, run `ssh -p 2222 'h'`"),
        "{changed}"
    );
}

proptest! {
    /// Whatever a file holds, it is read, and no line of it makes a key known that it does not hold.
    #[test]
    fn any_text_is_read_and_makes_no_key_known(text in "(?s).{0,400}") {
        let found = verdict("h", &text.replace('{', ""));
        prop_assert!(found.starts_with("unknown"));
    }

    /// Nor does what is nearly a line.
    #[test]
    fn any_order_of_fields_is_read(fields in vec(select(vec![
        "h", "*", "!h", "|1|", "|1|x|y", "@revoked", "@cert-authority", "@", "#", "ssh-ed25519", "AAAA", "{A}", "{B}", "\n", "\t", " ", "\r\n", ",", "\u{0}", "\u{e4}",
    ]), 0..24)) {
        let text: String = fields.concat();
        let found = verdict("h", &text);
        prop_assert!(found == "unknown" || text.contains('h') || text.contains('*'), "{found}");
        let holds_it = text.contains("{A}");
        prop_assert!(found != "good" || holds_it);
    }

    /// What we write, plain or hashed, is found under its name, and under no other.
    #[test]
    fn what_is_written_is_found(name in "[a-z0-9.-]{1,20}", port in 1_u16.., hashed: bool) {
        let dir = tempfile::tempdir().unwrap();
        let home = SshHome::below(dir.path(), "me");
        let at = |host: &str| Target::resolve(&SshOptions { home: home.clone(), ..SshOptions::new(format!("{host}:{port}")) });
        let (here, elsewhere) = (at(&format!("x{name}")).unwrap(), at(&format!("y{name}")).unwrap());
        let line = super::super::write::line(&lookup_name(&here), &key(A), hashed).unwrap();
        super::super::write::append(here.learn_into.as_ref().unwrap(), &line).unwrap();
        prop_assert!(KnownHosts::load(&here, &Learned::default()).unwrap().verify_key(&key(A)).is_ok());
        prop_assert!(KnownHosts::load(&elsewhere, &Learned::default()).unwrap().verify_key(&key(A)).is_err());
    }
}

#[test]
fn the_message_holds_what_a_person_compares() {
    let (dir, known) = known("me@h:2222", "");
    let error = known.verify_key(&key(A)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the host key of [h]:2222 is not known: ssh-ed25519 SHA256:TqgRYhG7LvZKtCxmgADSt748BJ79zb1HeRxN9BuXNF8 (looked in {})",
            dir.path().join(".ssh/known_hosts").display()
        )
    );
    assert!(
        error.remedy().unwrap().contains("run `llm-proxy login` or `ssh ssh://me@h:2222` at a terminal and answer yes")
    );
}
