#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use test_case::test_case;

use super::*;

/// 2026-11-20 12:00 UTC.
const NOON: u64 = 1_795_176_000;

/// A certificate made by OpenSSH, good from eleven to one o'clock.
fn certified(host: bool) -> Certified {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new("ssh-keygen");
        let made = command.current_dir(dir.path()).env("TZ", "UTC").arg("-q").args(arguments).output();
        let made = made.unwrap_or_else(|error| panic!("ssh-keygen: {error}; install Debian's openssh-client"));
        assert!(made.status.success(), "{made:?}");
    };
    run(&["-t", "ed25519", "-N", "", "-f", "ca"]);
    run(&["-t", "ed25519", "-N", "", "-f", "key"]);
    let mut arguments = vec!["-s", "ca", "-I", "me", "-n", "me", "-V", "20261120110000:20261120130000"];
    if host {
        arguments.push("-h");
    }
    arguments.push("key.pub");
    run(&arguments);
    Certified { source: "key-cert.pub".to_owned(), ..Certified::beside(&dir.path().join("key")).unwrap() }
}

#[test_case(false, 0, None; "now")]
#[test_case(false, 3599, None; "its last second")]
#[test_case(false, 3600, Some("it expired on 2026-11-20 13:00 UTC"); "too late")]
#[test_case(false, -3601, Some("it is not valid before 2026-11-20 11:00 UTC"); "too early")]
#[test_case(true, 0, Some("it is a host's and not a user's"); "a hosts")]
fn a_certificate_is_judged(host: bool, shift: i64, problem: Option<&str>) {
    let now = UNIX_EPOCH + Duration::from_secs(NOON.checked_add_signed(shift).unwrap());
    let judged = certified(host).judge(now);
    let expected = problem.map(|problem| format!("the certificate key-cert.pub cannot be used: {problem}"));
    assert_eq!(judged.as_ref().err().map(ToString::to_string), expected);
    if let Err(error) = judged {
        assert!(error.is_authentication());
        assert_eq!(error.remedy().unwrap(), "ask your site's tool for a new one");
    }
}

#[test]
fn what_never_ends_has_a_date_in_words() {
    assert_eq!(date(u64::MAX), "a day that never comes");
}
