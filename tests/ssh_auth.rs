//! Who we are and who the server is, against a real OpenSSH server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use llm_proxy::ssh::{Person, SshClient, SshError, SshOptions};
use tempfile::TempDir;
use test_case::test_case;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/asking_server.rs"]
mod asking_server;
#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/sshd.rs"]
mod sshd;

use asking_server::connect_with;
use sshd::{SshAgent, Sshd, connect, make_key};

#[test_case("ed25519"; "ed25519")]
#[test_case("ecdsa"; "ecdsa")]
#[test_case("rsa"; "rsa")]
#[tokio::test]
async fn a_key_file_is_enough(kind: &str) {
    let server = Sshd::start("");
    make_key(kind, &server.path("other"), "");
    std::fs::copy(server.path("other.pub"), server.path("authorized_keys")).unwrap();
    let options = SshOptions { identities: vec![server.path("other")], ..server.options() };
    connect(&options).await.unwrap();
    assert_eq!(server.accepted(), 1);
}

#[test_case("rsa", "PEM"; "an old RSA key")]
#[test_case("rsa", "PKCS8"; "an RSA key in PKCS 8")]
#[test_case("ecdsa", "PEM"; "an old ECDSA key")]
#[test_case("ecdsa", "PKCS8"; "an ECDSA key in PKCS 8")]
#[tokio::test]
async fn old_forms_of_key_files_are_read(kind: &str, form: &str) {
    let server = Sshd::start("");
    let file = server.path("other");
    make_key(kind, &file, "");
    std::fs::copy(server.path("other.pub"), server.path("authorized_keys")).unwrap();
    let convert = |passphrase: &str| {
        let arguments = ["-q", "-p", "-P", "", "-N", passphrase, "-m", form, "-f"];
        let converted = Command::new("ssh-keygen").args(arguments).arg(&file).output().unwrap();
        assert!(converted.status.success(), "{converted:?}");
    };
    convert("");
    assert!(!std::fs::read_to_string(&file).unwrap().contains("OPENSSH"));
    let options = SshOptions { identities: vec![file.clone()], ..server.options() };
    connect(&options).await.unwrap();
    convert("secret");
    let error = connect(&options).await.unwrap_err();
    // What cannot be opened at all is told so.
    if (kind, form) == ("ecdsa", "PEM") {
        assert!(error.to_string().contains("`ssh-keygen -p -f "), "{error}");
        return;
    }
    let SshError::PersonNeeded { what, .. } = &error else { panic!("{error:?}") };
    assert_eq!(what, &format!("the passphrase of {}", file.display()));
    // The public half beside it tells whether the server would take it; without one, the passphrase comes first.
    for beside in [true, false] {
        if !beside {
            std::fs::remove_file(server.path("other.pub")).unwrap();
        }
        let (result, forms) = connect_with(&options, false, &[&["wrong"], &["secret"]]).await;
        result.unwrap();
        assert_eq!(forms.len(), 2);
    }
}

#[test_case("named in the configuration", "IdentityFile ~/key\n", &[])]
#[test_case("in its usual place", "", &["key", ".ssh/id_ed25519"])]
#[tokio::test]
async fn a_key_file_is_found(_how: &str, config: &str, copy: &[&str]) {
    let server = Sshd::start("");
    std::fs::write(server.path(".ssh/config"), config).unwrap();
    if let [from, to] = copy {
        std::fs::copy(server.path(from), server.path(to)).unwrap();
    }
    let options = SshOptions { identities: Vec::new(), ..server.options() };
    connect(&options).await.unwrap();
}

#[tokio::test]
async fn an_alias_of_the_configuration_is_enough() {
    let server = Sshd::start("");
    let config =
        format!("Host cluster\nHostName 127.0.0.1\nPort {}\nUser {}\nIdentityFile ~/key\n", server.port, sshd::user());
    std::fs::write(server.path(".ssh/config"), config).unwrap();
    let options = SshOptions { home: server.home(), ..SshOptions::new("cluster") };
    connect(&options).await.unwrap();
}

#[test_case("ed25519"; "ed25519")]
#[test_case("rsa"; "rsa")]
#[tokio::test]
async fn the_agents_key_is_enough(kind: &str) {
    let server = Sshd::start("");
    make_key(kind, &server.path("other"), "");
    std::fs::copy(server.path("other.pub"), server.path("authorized_keys")).unwrap();
    let agent = SshAgent::start(&server.path(""), &[&server.path("other")]);
    std::fs::remove_file(server.path("other")).unwrap();
    let mut options = SshOptions { identities: Vec::new(), ..server.options() };
    options.home.agent_socket = Some(agent.socket.clone());
    connect(&options).await.unwrap();
}

#[tokio::test]
async fn an_encrypted_key_is_the_agents_business() {
    let server = Sshd::start("");
    let locked = server.path("locked");
    make_key("ed25519", &locked, "secret");
    std::fs::copy(server.path("locked.pub"), server.path("authorized_keys")).unwrap();
    // OpenSSH's format shows the public half of an encrypted key by itself.
    std::fs::remove_file(server.path("locked.pub")).unwrap();
    let mut options = SshOptions { identities: vec![locked.clone()], ..server.options() };

    let error = connect(&options).await.unwrap_err();
    assert!(matches!(error, SshError::PersonNeeded { .. }), "{error:?}");
    assert!(error.is_authentication());
    assert!(error.remedy().unwrap().ends_with(&format!("add the key to the agent: `ssh-add '{}'`", locked.display())));

    // The agent also holds other keys, more than a server lets us try; the named one is tried first.
    let agent = SshAgent::start(&server.path(""), &[]);
    for number in 0..6 {
        let other = server.path(&format!("other{number}"));
        make_key("ed25519", &other, "");
        agent.add(&other, "");
    }
    agent.add(&locked, "secret");
    options.home.agent_socket = Some(agent.socket.clone());
    connect(&options).await.unwrap();
}

#[tokio::test]
async fn a_certificate_beside_its_key_is_enough() {
    let server = Sshd::start("");
    let path = |name: &str| server.path(name).display().to_string();
    make_key("ed25519", Path::new(&path("authority")), "");
    make_key("ed25519", Path::new(&path("mine")), "");
    let user = sshd::user();
    let arguments = ["-q", "-s", &path("authority"), "-I", "test", "-n", &user, &path("mine.pub")];
    let signed = Command::new("ssh-keygen").args(arguments).output().unwrap();
    assert!(signed.status.success(), "{signed:?}");
    let authority = std::fs::read_to_string(path("authority.pub")).unwrap();
    std::fs::write(path("authorized_keys"), format!("cert-authority {authority}")).unwrap();
    let options = SshOptions { identities: vec![server.path("mine")], ..server.options() };
    connect(&options).await.unwrap();
    assert!(server.log().contains("Accepted publickey") && server.log().contains("-CERT"), "{}", server.log());
}

#[tokio::test]
async fn a_wrong_key_is_named_and_tried_once() {
    let server = Sshd::start("");
    make_key("ed25519", &server.path("wrong"), "");
    let options = SshOptions { identities: vec![server.path("wrong")], ..server.options() };
    let error = connect(&options).await.unwrap_err();
    let SshError::AuthenticationFailed { tried, offers, .. } = &error else { panic!("{error:?}") };
    assert_eq!(tried.len(), 1);
    assert!(tried.first().unwrap().contains("wrong (ssh-ed25519 SHA256:"), "{tried:?}");
    assert_eq!(offers, &["publickey"]);
    assert!(error.is_authentication() && !error.is_transient());
    assert_eq!(server.begun(), 1);
}

#[tokio::test]
async fn a_refused_login_is_not_tried_again_until_a_person_acts() {
    let server = Sshd::start("");
    std::fs::rename(server.path("authorized_keys"), server.path("aside")).unwrap();
    let mut options = server.options();
    // The pause of another refusal is not this one's.
    options.limits.host_key_pause = Duration::ZERO;
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    let error = client.connect().await.unwrap_err();
    std::fs::rename(server.path("aside"), server.path("authorized_keys")).unwrap();
    for _ in 0..10 {
        client.network_is_back();
        for again in [client.connect().await.unwrap_err(), client.exec("true").await.unwrap_err()] {
            assert!(again.to_string().starts_with(&error.to_string()), "{again}");
            assert!(again.is_authentication() && again.to_string().contains("llm-proxy login"), "{again}");
            assert!(again.remedy().unwrap().contains("llm-proxy login"), "{again:?}");
        }
    }
    assert_eq!(server.begun(), 1);
    let (person, _asked) = Person::somebody(false);
    client.connect_with(&person).await.unwrap();
    client.exec("true").await.unwrap();
    assert_eq!(server.begun(), 2);
}

#[tokio::test]
async fn a_refused_host_key_is_looked_at_again_after_its_pause() {
    let server = Sshd::start("");
    let mut options = server.options();
    options.limits.host_key_pause = Duration::from_secs(1);
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    std::fs::rename(server.path(".ssh/known_hosts"), server.path("aside")).unwrap();
    let begun = Instant::now();
    assert!(client.connect().await.unwrap_err().is_host_key());
    std::fs::rename(server.path("aside"), server.path(".ssh/known_hosts")).unwrap();
    while let Err(error) = client.connect().await {
        assert!(error.is_host_key(), "{error:?}");
        assert!(begun.elapsed() < sshd::DEADLINE, "it is never looked at again");
        tokio::task::yield_now().await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.begun(), 2);
}

#[tokio::test]
async fn no_key_at_all_says_what_the_server_takes() {
    let server = Sshd::start("");
    let options = SshOptions { identities: Vec::new(), ..server.options() };
    let error = connect(&options).await.unwrap_err();
    let SshError::AuthenticationFailed { tried, offers, .. } = &error else { panic!("{error:?}") };
    assert!(tried.is_empty());
    assert_eq!(offers, &["publickey"]);
    assert!(error.to_string().contains("nothing was offered"), "{error}");
    // A password would do, if anybody were there.
    let server = Sshd::start("PasswordAuthentication yes");
    let options = SshOptions { identities: Vec::new(), ..server.options() };
    let error = connect(&options).await.unwrap_err();
    assert!(matches!(error, SshError::PersonNeeded { .. }), "{error:?}");
}

#[tokio::test]
async fn a_named_key_that_is_missing_or_no_key_is_said() {
    let server = Sshd::start("");
    for (name, problem) in [("missing", "there is no such file"), ("authorized_keys", "it is a public key")] {
        let options = SshOptions { identities: vec![server.path(name)], ..server.options() };
        let error = connect(&options).await.unwrap_err();
        assert!(matches!(error, SshError::KeyUnreadable { .. }), "{error:?}");
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_said() {
    let server = Sshd::start("");
    let mut options = SshOptions { identities: Vec::new(), ..server.options() };
    options.home.agent_socket = Some(server.path("nobody.sock"));
    let error = connect(&options).await.unwrap_err();
    assert!(matches!(error, SshError::Agent { .. }), "{error:?}");
    assert!(error.to_string().contains("nobody.sock"), "{error}");
    // And it is no hindrance to a key that works.
    options.identities = vec![server.path("key")];
    connect(&options).await.unwrap();
}

/// The options of a user who names so many keys, none of them the right one.
fn with_wrong_keys(server: &Sshd, count: usize) -> SshOptions {
    let key = |number| {
        let file = server.path(&format!("wrong{number}"));
        make_key("ed25519", &file, "");
        file
    };
    SshOptions { identities: (0..count).map(key).collect(), ..server.options() }
}

#[tokio::test]
async fn at_most_five_keys_are_tried() {
    let server = Sshd::start("MaxAuthTries 20");
    let error = connect(&with_wrong_keys(&server, 7)).await.unwrap_err();
    let SshError::AuthenticationFailed { tried, notes, .. } = &error else { panic!("{error:?}") };
    assert_eq!(tried.len(), 5);
    assert!(notes.contains(&"2 more keys were not tried".to_owned()), "{notes:?}");
}

#[tokio::test]
async fn the_servers_last_words_are_told() {
    let server = Sshd::start("MaxAuthTries 2");
    let error = connect(&with_wrong_keys(&server, 3)).await.unwrap_err();
    let SshError::AuthenticationCutOff { words, .. } = &error else { panic!("{error:?}") };
    assert!(words.contains("Too many authentication failures"), "{words}");
    assert!(error.is_authentication());
}

#[tokio::test]
async fn a_right_key_that_is_not_enough_is_no_wrong_key() {
    let server = Sshd::start("AuthenticationMethods publickey,password\nPasswordAuthentication yes");
    let error = connect(&server.options()).await.unwrap_err();
    let SshError::PersonNeeded { what, tried, .. } = &error else { panic!("{error:?}") };
    assert_eq!((what.as_str(), tried.as_slice()), ("a password", &[][..]));
    // A password that is wrong, three times: nothing was wrong with the key.
    let (result, forms) = connect_with(&server.options(), false, &[&["wrong"], &["wrong"], &["wrong"]]).await;
    let error = result.unwrap_err();
    let SshError::AuthenticationFailed { tried, offers, notes, .. } = &error else { panic!("{error:?}") };
    assert_eq!(tried, &["a password", "a password", "a password"]);
    assert_eq!(offers, &["password"]);
    assert!(notes.first().unwrap().contains("key (ssh-ed25519"), "{notes:?}");
    assert_eq!(forms.len(), 3);
}

/// A server that says these words and hangs up.
async fn says(words: &'static [u8]) -> (TempDir, SshOptions) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(words).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let dir = tempfile::tempdir().unwrap();
    let home = llm_proxy::ssh::SshHome::below(dir.path(), "me");
    (dir, SshOptions { home, ..SshOptions::new(format!("127.0.0.1:{port}")) })
}

#[tokio::test]
async fn a_server_that_turns_us_away_is_quoted() {
    let (_dir, options) = says(b"Exceeded MaxStartups\r\n").await;
    let error = connect(&options).await.unwrap_err();
    assert_eq!(error.to_string(), "127.0.0.1 ended the connection before the SSH handshake: Exceeded MaxStartups");
    assert!(error.is_transient());
}

#[tokio::test]
async fn something_else_than_ssh_is_quoted() {
    let (_dir, options) = says(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let error = connect(&options).await.unwrap_err();
    assert!(error.to_string().ends_with("handshake: HTTP/1.1 400 Bad Request"), "{error}");
}

#[tokio::test]
async fn nothing_that_listens_is_a_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let home = llm_proxy::ssh::SshHome::below(dir.path(), "me");
    let options = SshOptions { home, ..SshOptions::new(format!("127.0.0.1:{}", sshd::free_port())) };
    let error = connect(&options).await.unwrap_err();
    assert!(matches!(error, SshError::ConnectionRefused { .. }), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let home = llm_proxy::ssh::SshHome::below(dir.path(), "me");
    let mut options = SshOptions { home, ..SshOptions::new(listener.local_addr().unwrap().to_string()) };
    options.limits.handshake_timeout = std::time::Duration::from_millis(200);
    let error = connect(&options).await.unwrap_err();
    assert!(matches!(error, SshError::HandshakeTimedOut { .. }), "{error:?}");
}
