#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

use std::fs;
use std::process::Command;

use test_case::test_case;

use super::*;

/// A locked key's file, written by `ssh-keygen`.
fn locked(kind: &str, form: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", "right one", "-f"]).arg(&file);
    if form == "PEM" || form == "PKCS8" {
        command.args(["-m", form]);
    }
    assert!(command.status().unwrap().success());
    assert!(matches!(Identity::load(&file), Identity::Locked { .. }));
    (folder, file)
}

fn opened(file: &Path, passphrase: &str) -> Result<bool, SshError> {
    open(file, &passphrase.into()).map(|key| key.is_some())
}

#[test_case("ed25519", "OpenSSH")]
#[test_case("ecdsa", "OpenSSH")]
#[test_case("rsa", "OpenSSH")]
#[test_case("rsa", "PEM")]
#[test_case("ecdsa", "PKCS8")]
#[test_case("rsa", "PKCS8")]
fn a_wrong_passphrase_is_told_from_a_file_that_is_no_key_any_more(kind: &str, form: &str) {
    let (_folder, file) = locked(kind, form);
    assert!(opened(&file, "right one").unwrap());
    // One in 256 may look like something else, after the old ways to encrypt: such an error is no verdict.
    let wrong = (0..8).filter(|number| matches!(opened(&file, &format!("wrong {number}")), Ok(false))).count();
    assert!(wrong >= 6, "{wrong}");
    let text = fs::read_to_string(&file).unwrap();
    let begin = text.lines().next().unwrap();
    for broken in
        [String::new(), "no key".to_owned(), format!("{begin}\n"), format!("{begin}\n?!\n"), text.replace('A', "")]
    {
        fs::write(&file, &broken).unwrap();
        for passphrase in ["right one", "wrong one"] {
            let error = opened(&file, passphrase).unwrap_err();
            assert!(matches!(error, SshError::KeyUnreadable { .. }), "{broken:?}: {error:?}");
        }
    }
    fs::remove_file(&file).unwrap();
    assert!(opened(&file, "wrong one").is_err());
}
