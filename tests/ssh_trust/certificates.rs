//! Host certificates.

use std::process::Command;

use llm_proxy::ssh::{SshClient, SshError, SshOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_case::test_case;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::sshd::{DEADLINE, Sshd, connect, make_key};
use crate::support::{connect_answering, connects, public_key, ssh_knows};

/// A server whose key has a certificate. `arguments` are those of `ssh-keygen -s`; in the lines and the configuration, `{name}` is
/// the name with its port, `{ca}` the authority's key, `{other}` another one, `{key}` the server's. `expected` are the verdicts of `ssh`
/// and ours, and what our error says.
#[test_case("-h -n 127.0.0.1", "", "@cert-authority {name} {ca}", true, ""; "a good one")]
#[test_case("-h -n x,127.0.0.1", "", "@cert-authority 127.0.0.1 {ca}", true, ""; "an authority without the port")]
#[test_case("-h -n 127.0.0.1", "", "@cert-authority *,!10.* {ca}", true, ""; "an authority for many")]
#[test_case("-h -n 127.0.0.1", "", "@cert-authority {name} {other}\n@cert-authority * {ca}", true, ""; "the second authority")]
#[test_case("-h -n 127.0.0.1", "", "@cert-authority {name} {other}", false, "no authority signed it"; "another authority")]
#[test_case("-h -n 127.0.0.1", "", "@cert-authority {name} {other}\n@cert-authority 127.0.0.1 {ca}", true, ""; "an authority without the port besides another")]
#[test_case("-h -n 127.0.0.1", "", "@cert-authority 127.0.0.1 {ca}\n{name} {other}", true, ""; "an authority without the port and another key with it")]
#[test_case("-h -n 127.0.0.1", "", "@cert-authority elsewhere {ca}", false, "is not known"; "an authority for others")]
#[test_case("-h -n 127.0.0.1", "", "{name} {ca}", false, "has changed"; "an authority's key is no host's")]
#[test_case("-h -n 127.0.0.1 -V 20200101:20200201", "", "@cert-authority {name} {ca}", false, "is not good: it expired "; "expired")]
#[test_case("-h -n 127.0.0.1 -V 20990101:20990201", "", "@cert-authority {name} {ca}", false, "is not good: it is not valid yet"; "not yet valid")]
#[test_case("-h -n elsewhere", "", "@cert-authority {name} {ca}", false, "is not good: it is for elsewhere and not for 127.0.0.1"; "another name")]
#[test_case("-h -n 127.0.*", "", "@cert-authority {name} {ca}", false, "it is for 127.0.*"; "a pattern is a name")]
#[test_case("-n 127.0.0.1", "", "@cert-authority {name} {ca}", false, "it is a user's certificate"; "a user's")]
#[test_case("-h -n 127.0.0.1 -O critical:x=y", "", "@cert-authority {name} {ca}", false, "not understood: x"; "a condition")]
#[test_case("-h -n elsewhere", "", "@cert-authority {name} {ca}\n{name} {key}", true, ""; "another name and the key is known")]
#[test_case("-h -n elsewhere", "", "@cert-authority {name} {ca}\n{name} {other}", false, "has changed"; "another name and another key is known")]
#[test_case("-h -n 127.0.0.1", "", "@cert-authority {name} {ca}\n{name} {other}", true, ""; "a good one and another key is known")]
#[test_case("-h -n 127.0.0.1", "", "@cert-authority {name} {ca}\n@revoked {name} {ca}", false, "is revoked"; "a revoked authority")]
#[test_case("-h -n 127.0.0.1", "", "@cert-authority {name} {ca}\n@revoked {name} {key}", false, "is revoked"; "a revoked key")]
#[test_case("-h -n 127.0.0.1", "", "@cert-authority {name} {ca}\n@revoked {name} {ca}\n{name} {key}", false, "is revoked"; "a revoked authority of a known key")]
#[test_case("-h -n 127.0.0.1", "RevokedHostKeys {dir}/ca.pub", "@cert-authority {name} {ca}", false, "is revoked"; "an authority on a list")]
#[test_case("-h -n 127.0.0.1", "RevokedHostKeys {dir}/host_ed25519.pub", "@cert-authority {name} {ca}", false, "is revoked"; "a key on a list")]
#[test_case("-h -n 127.0.0.1", "HostKeyAlgorithms ssh-ed25519", "@cert-authority {name} {ca}", false, "is not known"; "certificates are not wanted")]
#[test_case("-h -n 127.0.0.1", "HostKeyAlgorithms ssh-ed25519-cert-v01@openssh.com", "@cert-authority {name} {ca}", true, ""; "only certificates are wanted")]
#[test_case("-h -n cluster", "HostKeyAlias Cluster", "@cert-authority cluster {ca}", true, ""; "an alias")]
#[test_case("-h -n Cluster", "HostKeyAlias Cluster", "@cert-authority cluster {ca}", false, "and not for cluster"; "an alias that it does not hold")]
#[tokio::test]
async fn a_certificate_is_judged_as_ssh_does(arguments: &str, config: &str, lines: &str, expected: bool, told: &str) {
    let server = certified("ed25519", arguments);
    write_lines(&server, lines);
    let (ssh, ours) = connects(&server, config).await;
    assert_eq!((ssh, ours.is_ok()), (expected, expected), "{ours:?}");
    let said = ours.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(said.contains(told), "{said}");
}

/// A server whose host key of this kind is certified by the key `ca`.
fn certified(kind: &str, arguments: &str) -> Sshd {
    let server = Sshd::start_with_host_keys(&[kind], "");
    for name in ["ca", "other"] {
        make_key("ed25519", &server.path(name), "");
    }
    let host = format!("host_{kind}");
    let signed = Command::new("ssh-keygen")
        .args(["-q", "-s", "ca", "-I", "test"])
        .args(arguments.split(' ').filter(|argument| !argument.is_empty()))
        .arg(format!("{host}.pub"))
        .current_dir(server.path(""))
        .output()
        .unwrap();
    assert!(signed.status.success(), "{signed:?}");
    let mut settings = std::fs::read_to_string(server.path("sshd_config")).unwrap();
    let certificate = server.path(&format!("{host}-cert.pub"));
    settings.extend(["HostCertificate ", &certificate.display().to_string(), "\n"]);
    std::fs::write(server.path("sshd_config"), settings).unwrap();
    server.reload();
    server
}

fn write_lines(server: &Sshd, lines: &str) {
    let mut lines = lines.replace("{name}", &format!("[127.0.0.1]:{}", server.port));
    for name in ["ca", "other"] {
        lines = lines.replace(&format!("{{{name}}}"), &public_key(server, name));
    }
    if lines.contains("{key}") {
        lines = lines.replace("{key}", &server.host_key("ed25519"));
    }
    server.write_known_hosts(&lines);
}

#[test_case("ed25519")]
#[test_case("ecdsa")]
#[test_case("rsa")]
#[tokio::test]
async fn certificates_of_every_kind_are_good(kind: &str) {
    let server = certified(kind, "-h -n 127.0.0.1");
    write_lines(&server, "@cert-authority {name} {ca}");
    assert!(ssh_knows(&server, &[]));
    connect(&server.options()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_showed_a_certificate_needs_one_for_as_long_as_the_program_runs() {
    let server = certified("ed25519", "-h -n 127.0.0.1");
    write_lines(&server, "@cert-authority {name} {ca}");
    let options = SshOptions { accept_new_host_key: true, ..server.options() };
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    let connect = async || timeout(DEADLINE, client.connect()).await.unwrap();
    connect().await.unwrap();
    let mut link = client.link();
    for id in server.process_ids() {
        kill(Pid::from_raw(id), Signal::SIGKILL).unwrap();
    }
    timeout(DEADLINE, link.wait_for(|link| !link.is_connected())).await.unwrap().unwrap();
    // Somebody else, with a key that nobody certified.
    for name in ["host_ed25519", "host_ed25519.pub", "host_ed25519-cert.pub"] {
        std::fs::remove_file(server.path(name)).unwrap();
    }
    make_key("ed25519", &server.path("host_ed25519"), "");
    let settings = std::fs::read_to_string(server.path("sshd_config")).unwrap();
    let settings: String =
        settings.lines().filter(|line| !line.starts_with("HostCert")).flat_map(|l| [l, "\n"]).collect();
    std::fs::write(server.path("sshd_config"), settings).unwrap();
    server.reload();
    let known = std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap();
    let error = connect().await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyChanged { line: 0, .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap(), known);
    client.close().await;
}

#[tokio::test]
async fn a_certificate_for_every_host_is_for_none() {
    let server = certified("ed25519", "-h");
    write_lines(&server, "@cert-authority {name} {ca}");
    // `ssh` takes it, and whoever holds one such key would be every host.
    assert!(ssh_knows(&server, &[]));
    let error = connect(&server.options()).await.unwrap_err();
    assert!(error.to_string().contains("it names no host at all"), "{error}");
    assert!(error.remedy().unwrap().contains("names a certificate authority for this host"), "{error:?}");
}

#[tokio::test]
async fn somebody_may_trust_a_host_whose_certificate_is_not_good() {
    let server = certified("ed25519", "-h -n elsewhere");
    write_lines(&server, "@cert-authority {name} {ca}");
    let (result, forms) = connect_answering(&server.options(), &["yes"]).await;
    result.unwrap();
    let words = &forms.first().unwrap().words;
    let told = "It shows a certificate, which says nothing for it: it is for elsewhere and not for 127.0.0.1.";
    assert!(words.contains(told), "{words}");
    assert!(ssh_knows(&server, &[]));
    connect(&server.options()).await.unwrap();
}
