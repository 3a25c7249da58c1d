#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use test_case::test_case;

use super::*;

fn keygen(arguments: &[&str], dir: &Path) {
    let made = Command::new("ssh-keygen").arg("-q").args(arguments).current_dir(dir).output();
    let made = made.unwrap_or_else(|error| panic!("ssh-keygen: {error}; install Debian's openssh-client"));
    assert!(made.status.success(), "{made:?}");
}

/// A folder with the keys `ca`, `other` and `host`, of which the first and the last are of these kinds.
fn keys(authority: &str, host: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (kind, name) in [(authority, "ca"), ("ed25519", "other"), (host, "host")] {
        keygen(&["-t", kind, "-N", "", "-f", name], dir.path());
    }
    dir
}

fn sign(dir: &TempDir, arguments: &[&str]) -> Certificate {
    keygen(&[&["-s", "ca", "-I", "test"], arguments, &["host.pub"]].concat(), dir.path());
    Certificate::read_file(&dir.path().join("host-cert.pub")).unwrap()
}

fn public_key(dir: &TempDir, name: &str) -> PublicKey {
    PublicKey::from_openssh(&std::fs::read_to_string(dir.path().join(name)).unwrap()).unwrap()
}

#[test_case("ed25519", "ed25519")]
#[test_case("ecdsa", "ed25519")]
#[test_case("rsa", "ecdsa")]
#[test_case("ed25519", "rsa")]
fn every_kind_of_key_signs_and_is_signed(authority: &str, host: &str) {
    let dir = keys(authority, host);
    let certificate = sign(&dir, &["-h", "-n", "a.example.org,b.example.org"]);
    let authority = public_key(&dir, "ca.pub");
    let check = |host: &str, authority: &PublicKey| check(&certificate, authority, host, SystemTime::now());
    assert_eq!(check("b.example.org", &authority), Ok(()));
    assert_eq!(
        check("c.example.org", &authority).unwrap_err().to_string(),
        "it is for a.example.org, b.example.org and not for c.example.org"
    );
    assert_eq!(check("b.example.org", &public_key(&dir, "other.pub")), Err(Unfit::Forged));
}

#[test_case(&["-n", "h"], "it is a user's certificate, not a host's"; "a user's")]
#[test_case(&["-h"], "it names no host at all"; "no name")]
#[test_case(&["-h", "-n", "*"], "it is for * and not for h"; "a pattern is a name")]
#[test_case(&["-h", "-n", "h", "-O", "critical:source-address=127.0.0.1"], "it has conditions that are not understood: source-address"; "a condition")]
#[test_case(&["-h", "-n", "h", "-V", "20200101:20200301"], "it expired "; "expired")]
#[test_case(&["-h", "-n", "h", "-V", "20990101:20990301"], "it is not valid yet: it will be in "; "not yet valid")]
fn what_is_wrong_is_said(arguments: &[&str], expected: &str) {
    let dir = keys("ed25519", "ed25519");
    let certificate = sign(&dir, arguments);
    let unfit = check(&certificate, &public_key(&dir, "ca.pub"), "h", SystemTime::now()).unwrap_err();
    assert!(unfit.to_string().starts_with(expected), "{unfit}");
}

#[test]
fn it_is_good_from_its_first_second_until_before_its_last() {
    let dir = keys("ed25519", "ed25519");
    let certificate = sign(&dir, &["-h", "-n", "h", "-V", "20200101000000Z:20200102000000Z"]);
    let begin = UNIX_EPOCH + Duration::from_secs(certificate.valid_after());
    let end = UNIX_EPOCH + Duration::from_secs(certificate.valid_before());
    let second = Duration::from_secs(1);
    let authority = public_key(&dir, "ca.pub");
    let at = |now| check(&certificate, &authority, "h", now);
    assert_eq!(at(begin - second), Err(Unfit::TooEarly { seconds: 1 }));
    assert_eq!((at(begin), at(end - second)), (Ok(()), Ok(())));
    assert_eq!(at(end), Err(Unfit::Expired { seconds: 0 }));
    assert_eq!(at(end + Duration::from_hours(50)).unwrap_err().to_string(), "it expired 2 days ago");
}

#[test]
fn one_bit_makes_it_a_forgery() {
    let dir = keys("ed25519", "ed25519");
    let certificate = sign(&dir, &["-h", "-n", "login"]);
    let bytes = certificate.to_bytes().unwrap();
    let at = bytes.windows(5).position(|bytes| bytes == b"login").unwrap();
    let mut forged = bytes;
    *forged.get_mut(at).unwrap() = b'n';
    let forged = Certificate::from_bytes(&forged).unwrap();
    assert_eq!(forged.valid_principals(), ["nogin"]);
    assert_eq!(check(&forged, &public_key(&dir, "ca.pub"), "nogin", SystemTime::now()), Err(Unfit::Forged));
}

#[test]
fn an_old_signature_is_refused() {
    let dir = keys("rsa", "ed25519");
    let certificate = sign(&dir, &["-h", "-n", "h", "-t", "ssh-rsa"]);
    assert_eq!(check(&certificate, &public_key(&dir, "ca.pub"), "h", SystemTime::now()), Err(Unfit::OldSignature));
}

#[test_case(1, "1 second")]
#[test_case(119, "119 seconds")]
#[test_case(120, "2 minutes")]
#[test_case(7200, "2 hours")]
#[test_case(172_800, "2 days")]
fn times_are_said_in_their_largest_unit(seconds: u64, expected: &str) {
    assert_eq!(how_long(seconds), expected);
}
