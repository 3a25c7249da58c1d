//! Keys of all kinds, against a real OpenSSH server: agents with many keys, certificates, security keys (by a stand-in).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use llm_proxy::ssh::{Person, SshClient, SshError, SshOptions};
use test_case::test_case;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/asking_server.rs"]
mod asking_server;
#[path = "support/sk_agent.rs"]
mod sk_agent;
#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/sshd.rs"]
mod sshd;

use asking_server::{connect_with, told};
use sk_agent::{SkAgent, Touch};
use sshd::{DEADLINE, SshAgent, Sshd, connect, make_key};

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).env("TZ", "UTC").args(arguments).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}; install Debian's openssh-client"));
    assert!(done.status.success(), "{done:?}");
}

/// Only this key is let in.
fn authorize(server: &Sshd, public: &str) {
    std::fs::write(server.path("authorized_keys"), format!("{public}\n")).unwrap();
}

fn public(server: &Sshd, key: &str) -> String {
    std::fs::read_to_string(server.path(&format!("{key}.pub"))).unwrap()
}

/// An agent with ten keys, of which the last is the right one; its file is gone, but not its public half.
fn agent_of_ten(server: &Sshd) -> SshAgent {
    let agent = SshAgent::start(&server.path(""), &[]);
    for number in 0..10 {
        let file = server.path(&format!("agents{number}"));
        make_key("ed25519", &file, "");
        agent.add(&file, "");
        std::fs::remove_file(&file).unwrap();
    }
    authorize(server, &public(server, "agents9"));
    agent
}

#[test_case("agents9.pub"; "by its public half")]
#[test_case("agents9"; "by the name of its file, which is gone")]
#[tokio::test]
async fn of_ten_keys_the_named_one_is_shown_first(named: &str) {
    for most in [6, 3] {
        let server = Sshd::start(&format!("MaxAuthTries {most}"));
        let agent = agent_of_ten(&server);
        let mut options = SshOptions { identities: Vec::new(), ..server.options() };
        options.home.agent_socket = Some(agent.socket.clone());
        std::fs::write(server.path(".ssh/config"), format!("IdentityFile ~/{named}\n")).unwrap();
        connect(&options).await.unwrap();
        assert!(!server.log().contains("Failed publickey"), "{}", server.log());
    }
}

#[tokio::test]
async fn too_many_keys_are_told_as_what_they_are() {
    let server = Sshd::start("MaxAuthTries 6");
    let agent = agent_of_ten(&server);
    let mut options = SshOptions { identities: Vec::new(), ..server.options() };
    options.home.agent_socket = Some(agent.socket.clone());
    let error = connect(&options).await.unwrap_err();
    let SshError::AuthenticationFailed { tried, notes, .. } = &error else { panic!("{error:?}") };
    assert_eq!(tried.len(), 5);
    assert_eq!(notes, &["5 more keys were not tried"]);
    assert!(error.remedy().unwrap().contains("-i"), "{error:?}");

    let server = Sshd::start("MaxAuthTries 3");
    let agent = agent_of_ten(&server);
    let mut options = SshOptions { identities: Vec::new(), ..server.options() };
    options.home.agent_socket = Some(agent.socket.clone());
    let error = connect(&options).await.unwrap_err();
    let SshError::AuthenticationCutOff { words, tried, .. } = &error else { panic!("{error:?}") };
    assert!(words.contains("Too many authentication failures"), "{words}");
    assert!((2..=3).contains(&tried.len()), "{tried:?}");
    let remedy = error.remedy().unwrap();
    assert!(remedy.contains("MaxAuthTries") && remedy.contains("IdentitiesOnly"), "{remedy}");
}

#[tokio::test]
async fn a_locked_agent_is_told() {
    let server = Sshd::start("");
    let agent = SshAgent::start(&server.path(""), &[&server.path("key")]);
    // `ssh-add -x` reads its password from a terminal or from this program.
    let answer = server.path("askpass");
    std::fs::write(&answer, "#!/bin/sh\necho lock\n").unwrap();
    std::fs::set_permissions(&answer, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut locking = Command::new("ssh-add");
    locking.arg("-x").env("SSH_AUTH_SOCK", &agent.socket).env("SSH_ASKPASS", &answer);
    let locked = locking.env("SSH_ASKPASS_REQUIRE", "force").stdin(std::process::Stdio::null()).output().unwrap();
    assert!(locked.status.success(), "{locked:?}");
    let mut options = SshOptions { identities: Vec::new(), ..server.options() };
    options.home.agent_socket = Some(agent.socket.clone());
    let error = connect(&options).await.unwrap_err();
    assert!(error.to_string().contains("the agent holds no key, or is locked (`ssh-add -X`)"), "{error}");
}

#[tokio::test]
async fn two_keys_in_a_chain() {
    let server = Sshd::start("AuthenticationMethods publickey,publickey");
    make_key("ed25519", &server.path("second"), "");
    let both = format!("{}{}", public(&server, "key"), public(&server, "second"));
    authorize(&server, &both);
    let options = SshOptions { identities: vec![server.path("key"), server.path("second")], ..server.options() };
    connect(&options).await.unwrap();
    // One of them is not enough, and is not shown twice.
    let error = connect(&server.options()).await.unwrap_err();
    let SshError::AuthenticationFailed { tried, notes, .. } = &error else { panic!("{error:?}") };
    assert!(tried.is_empty(), "{tried:?}");
    assert!(notes.first().unwrap().starts_with("it accepted "), "{notes:?}");
}

/// Certifies a key for this test's user: `validity` as `ssh-keygen -V` takes it.
fn certify(server: &Sshd, key: &str, validity: &str) {
    let path = |name: &str| server.path(name).display().to_string();
    if !server.path("authority").exists() {
        make_key("ed25519", &server.path("authority"), "");
    }
    let user = sshd::user();
    let public = path(&format!("{key}.pub"));
    run("ssh-keygen", &["-q", "-s", &path("authority"), "-I", "test", "-n", &user, "-V", validity, &public]);
    authorize(server, &format!("cert-authority {}", self::public(server, "authority")));
}

#[test_case("ed25519", ""; "ed25519")]
#[test_case("rsa", ""; "rsa")]
#[test_case("ecdsa", ""; "ecdsa")]
#[test_case("ed25519", "open sesame"; "locked")]
#[tokio::test]
async fn a_certificate_beside_its_key(kind: &str, passphrase: &'static str) {
    let server = Sshd::start("");
    make_key(kind, &server.path("mine"), passphrase);
    certify(&server, "mine", "-1d:+1d");
    let options = SshOptions { identities: vec![server.path("mine")], ..server.options() };
    let (result, forms) = connect_with(&options, false, &[&[passphrase]]).await;
    result.unwrap();
    assert_eq!(forms.len(), usize::from(!passphrase.is_empty()));
    assert!(server.log().contains("-CERT"), "{}", server.log());
}

#[tokio::test]
async fn a_certificate_that_the_configuration_names() {
    let server = Sshd::start("");
    make_key("ed25519", &server.path("mine"), "");
    certify(&server, "mine", "-1d:+1d");
    std::fs::rename(server.path("mine-cert.pub"), server.path("day.pub")).unwrap();
    std::fs::write(server.path(".ssh/config"), "IdentityFile ~/mine\nCertificateFile ~/day.pub\n").unwrap();
    let mut options = SshOptions { identities: Vec::new(), ..server.options() };
    connect(&options).await.unwrap();
    // The key itself may be the agent's.
    let agent = SshAgent::start(&server.path(""), &[&server.path("mine")]);
    std::fs::remove_file(server.path("mine")).unwrap();
    options.home.agent_socket = Some(agent.socket.clone());
    connect(&options).await.unwrap();
    std::fs::write(server.path(".ssh/config"), "CertificateFile ~/day.pub\n").unwrap();
    connect(&options).await.unwrap();
    assert_eq!(server.accepted(), 3);
    assert!(!server.log().contains("Failed publickey"), "{}", server.log());
}

#[tokio::test]
async fn a_certificate_in_the_agent() {
    let server = Sshd::start("");
    make_key("rsa", &server.path("mine"), "");
    certify(&server, "mine", "-1d:+1d");
    let agent = SshAgent::start(&server.path(""), &[&server.path("mine")]);
    for name in ["mine", "mine-cert.pub"] {
        std::fs::remove_file(server.path(name)).unwrap();
    }
    let mut options = SshOptions { identities: Vec::new(), ..server.options() };
    options.home.agent_socket = Some(agent.socket.clone());
    connect(&options).await.unwrap();
    assert!(server.log().contains("RSA-CERT"), "{}", server.log());
}

#[tokio::test]
async fn an_expired_certificate_is_named_with_its_date() {
    let server = Sshd::start("");
    make_key("ed25519", &server.path("mine"), "");
    certify(&server, "mine", "20200101000000:20200102030405");
    let options = SshOptions { identities: vec![server.path("mine")], ..server.options() };
    let (result, forms) = connect_with(&options, false, &[]).await;
    let error = result.unwrap_err();
    let told_of = format!(
        "the certificate {} cannot be used: it expired on 2020-01-02 03:04 UTC",
        server.path("mine-cert.pub").display()
    );
    assert_eq!(error.to_string(), told_of);
    // The person is told at once: what comes after it may only be the site's fallback.
    assert_eq!(told(&forms), [format!("{told_of}: ask your site's tool for a new one")]);
    assert!(!server.log().contains("-CERT"), "it was shown: {}", server.log());
    assert_eq!(connect(&options).await.unwrap_err().to_string(), told_of);
}

#[tokio::test]
async fn kinds_of_keys_that_the_user_rules_out_are_not_shown() {
    let server = Sshd::start("");
    make_key("rsa", &server.path("rsa"), "");
    authorize(&server, &format!("{}{}", public(&server, "key"), public(&server, "rsa")));
    let only = |name: &str| SshOptions {
        identities: vec![server.path("key"), server.path("rsa")],
        settings: vec![format!("PubkeyAcceptedAlgorithms={name}")],
        ..server.options()
    };
    connect(&only("rsa-sha2-256")).await.unwrap();
    assert!(server.log().contains("Accepted publickey") && !server.log().contains("ED25519"), "{}", server.log());
    let error = connect(&only("ecdsa-sha2-nistp256")).await.unwrap_err();
    let SshError::AuthenticationFailed { tried, notes, .. } = &error else { panic!("{error:?}") };
    assert!(tried.is_empty(), "{tried:?}");
    assert!(notes.iter().all(|note| note.ends_with("PubkeyAcceptedAlgorithms leaves its kind out")), "{notes:?}");
}

#[tokio::test]
async fn a_public_half_that_is_another_keys_is_told() {
    let server = Sshd::start("");
    let path = |name: &str| server.path(name).display().to_string();
    // The old form of a locked key does not show its public half, so the file beside it is believed.
    run("ssh-keygen", &["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "open sesame", "-f", &path("old")]);
    std::fs::copy(server.path("key.pub"), server.path("old.pub")).unwrap();
    let options = SshOptions { identities: vec![server.path("old")], ..server.options() };
    let (result, _) = connect_with(&options, false, &[&["open sesame"]]).await;
    let error = result.unwrap_err();
    assert!(error.to_string().contains("the public half beside it is another key's"), "{error}");
}

#[tokio::test]
async fn a_security_key_behind_an_agent_is_touched_by_the_person() {
    let server = Sshd::start("");
    let agent = SkAgent::start(&server.path(""), Touch::Given);
    authorize(&server, &agent.public);
    let mut options = SshOptions { identities: Vec::new(), ..server.options() };
    options.home.agent_socket = Some(agent.socket.clone());
    let (result, forms) = connect_with(&options, false, &[]).await;
    result.unwrap();
    let account = format!("{}@127.0.0.1", sshd::user());
    assert_eq!(told(&forms), [format!("({account}) Touch your security key, if it asks for it.")]);
    assert_eq!(agent.signed(), 1);
}

/// Where another connection would need a person, none is made.
#[test_case(Touch::Given, "", 1; "with a touch")]
#[test_case(Touch::NotNeeded, "no-touch-required ", 2; "without one")]
#[tokio::test]
async fn only_what_needs_no_person_is_done_again(touch: Touch, option: &str, connections: usize) {
    let server = Sshd::start("");
    let agent = SkAgent::start(&server.path(""), touch);
    authorize(&server, &format!("{option}{}", agent.public));
    let mut options = SshOptions { identities: Vec::new(), ..server.options() };
    options.home.agent_socket = Some(agent.socket.clone());
    options.limits.channels_per_connection = 1;
    options.limits.place_timeout = Duration::from_millis(100);
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    let (person, _asked) = Person::somebody(false);
    timeout(DEADLINE, client.connect_with(&person)).await.unwrap().unwrap();
    let target = sshd::free_port();
    let first = client.dial("127.0.0.1", server.port).await.unwrap();
    let second = timeout(DEADLINE, client.dial("127.0.0.1", target)).await.unwrap().unwrap_err();
    match (touch, &second) {
        (Touch::Given, SshError::TooManyChannels { needs_person: true, .. })
        | (Touch::NotNeeded, SshError::ConnectFailed { .. }) => {}
        (Touch::Given | Touch::NotNeeded | Touch::Refused, other) => panic!("{other:?}"),
    }
    drop(first);
    assert_eq!(agent.signed(), connections);
    client.close().await;
}

#[tokio::test]
async fn an_agent_that_refuses_to_sign_is_passed_over() {
    let server = Sshd::start("");
    let agent = SkAgent::start(&server.path(""), Touch::Refused);
    authorize(&server, &format!("{}\n{}", agent.public, public(&server, "key")));
    let mut options = SshOptions { identities: Vec::new(), ..server.options() };
    options.home.agent_socket = Some(agent.socket.clone());
    let error = connect(&options).await.unwrap_err();
    assert!(error.to_string().contains("the agent did not sign with it"), "{error}");
    // The next key may do.
    std::fs::copy(server.path("key"), server.path(".ssh/id_ed25519")).unwrap();
    connect(&options).await.unwrap();
}

#[tokio::test]
async fn a_security_keys_own_file_says_whose_business_it_is() {
    let server = Sshd::start("");
    // What `ssh-keygen -t ed25519-sk` leaves behind: a handle, and no secret.
    let agent = SkAgent::start(&server.path(""), Touch::Given);
    std::fs::write(server.path("sk.pub"), &agent.public).unwrap();
    authorize(&server, &agent.public);
    let options = SshOptions { identities: vec![server.path("sk")], ..server.options() };
    let error = connect(&options).await.unwrap_err();
    assert!(error.to_string().contains("there is only its public half, and no agent holds the private one"), "{error}");
    let mut options = options;
    options.home.agent_socket = Some(agent.socket.clone());
    connect(&options).await.unwrap();
}

#[test_case("authorized_keys", "it is a public key"; "a public key")]
#[test_case("host_ed25519.pub", "it is a public key"; "another public key")]
#[tokio::test]
async fn a_named_file_that_is_no_private_key_is_told(name: &str, problem: &str) {
    let server = Sshd::start("");
    let options = SshOptions { identities: vec![Path::new(&server.path(name)).to_owned()], ..server.options() };
    let error = connect(&options).await.unwrap_err();
    assert!(error.to_string().contains(problem), "{error}");
}

#[tokio::test]
async fn an_old_form_that_cannot_be_undone_says_how_to_rewrite_it() {
    let server = Sshd::start("");
    let file = server.path("old").display().to_string();
    run("ssh-keygen", &["-q", "-t", "ecdsa", "-m", "PEM", "-N", "open sesame", "-f", &file]);
    authorize(&server, &public(&server, "old"));
    let options = SshOptions { identities: vec![server.path("old")], ..server.options() };
    let (result, forms) = connect_with(&options, false, &[]).await;
    let error = result.unwrap_err();
    assert!(forms.is_empty(), "{forms:?}");
    assert!(error.to_string().contains(&format!("`ssh-keygen -p -f '{file}'` rewrites it")), "{error}");
    // What it says works.
    run("ssh-keygen", &["-q", "-p", "-P", "open sesame", "-N", "open sesame", "-f", &file]);
    connect_with(&options, false, &[&["open sesame"]]).await.0.unwrap();
}
