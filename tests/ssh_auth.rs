//! Who we are and who the server is, against a real OpenSSH server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use llm_proxy::ssh::{SshClient, SshError, SshOptions};
use tempfile::TempDir;
use test_case::test_case;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/sshd.rs"]
mod sshd;

use sshd::{SshAgent, Sshd, make_key};

async fn connect(options: &SshOptions) -> Result<(), SshError> {
    let client = SshClient::new(options, TaskTracker::new())?;
    let result = client.connect().await;
    client.close().await;
    result
}

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
    assert!(matches!(error, SshError::KeyEncrypted { .. }), "{error:?}");
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
    assert!(matches!(error, SshError::KeyEncrypted { .. }), "{error:?}");
    assert!(error.is_authentication());
    assert_eq!(error.remedy().unwrap(), format!("add it to the agent: `ssh-add '{}'`", locked.display()));

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
async fn a_refused_login_is_not_tried_again_at_once() {
    let server = Sshd::start("");
    std::fs::rename(server.path("authorized_keys"), server.path("aside")).unwrap();
    let client = server.client();
    let error = client.connect().await.unwrap_err();
    std::fs::rename(server.path("aside"), server.path("authorized_keys")).unwrap();
    for _ in 0..10 {
        assert_eq!(client.connect().await.unwrap_err().to_string(), error.to_string());
        assert_eq!(client.exec("true").await.unwrap_err().to_string(), error.to_string());
    }
    assert_eq!(server.begun(), 1);
}

#[test_case("authorized_keys", [1, 3600], SshError::is_authentication; "authentication")]
#[test_case(".ssh/known_hosts", [3600, 1], SshError::is_host_key; "the host's key")]
#[tokio::test]
async fn a_refusal_is_forgotten_after_its_pause(file: &str, pauses: [u64; 2], kind: fn(&SshError) -> bool) {
    let server = Sshd::start("");
    let mut options = server.options();
    let [authentication, host_key] = pauses.map(Duration::from_secs);
    (options.limits.authentication_pause, options.limits.host_key_pause) = (authentication, host_key);
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    std::fs::rename(server.path(file), server.path("aside")).unwrap();
    let begun = Instant::now();
    assert!(kind(&client.connect().await.unwrap_err()));
    std::fs::rename(server.path("aside"), server.path(file)).unwrap();
    while let Err(error) = client.connect().await {
        assert!(kind(&error), "{error:?}");
        assert!(begun.elapsed() < sshd::DEADLINE, "it is never tried again");
        tokio::task::yield_now().await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.begun(), 2);
}

#[tokio::test]
async fn no_key_at_all_says_what_the_server_takes() {
    let server = Sshd::start("PasswordAuthentication yes");
    let options = SshOptions { identities: Vec::new(), ..server.options() };
    let error = connect(&options).await.unwrap_err();
    let SshError::AuthenticationFailed { tried, offers, .. } = &error else { panic!("{error:?}") };
    assert!(tried.is_empty());
    assert_eq!(offers, &["publickey", "password"]);
    assert!(error.remedy().unwrap().contains("this version cannot answer a password"), "{error:?}");
    assert!(error.to_string().contains("no key was offered"), "{error}");
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

#[tokio::test]
async fn at_most_five_keys_are_tried() {
    let server = Sshd::start("MaxAuthTries 20");
    let mut identities = Vec::new();
    for number in 0..7 {
        let file = server.path(&format!("wrong{number}"));
        make_key("ed25519", &file, "");
        identities.push(file);
    }
    let options = SshOptions { identities, ..server.options() };
    let error = connect(&options).await.unwrap_err();
    let SshError::AuthenticationFailed { tried, notes, .. } = &error else { panic!("{error:?}") };
    assert_eq!(tried.len(), 5);
    assert!(notes.contains(&"2 more keys were not tried".to_owned()), "{notes:?}");
}

#[tokio::test]
async fn the_servers_last_words_are_told() {
    let server = Sshd::start("MaxAuthTries 2");
    let mut identities = Vec::new();
    for number in 0..3 {
        let file = server.path(&format!("wrong{number}"));
        make_key("ed25519", &file, "");
        identities.push(file);
    }
    let options = SshOptions { identities, ..server.options() };
    let error = connect(&options).await.unwrap_err();
    let SshError::AuthenticationCutOff { words, .. } = &error else { panic!("{error:?}") };
    assert!(words.contains("Too many authentication failures"), "{words}");
    assert!(error.is_authentication());
}

#[tokio::test]
async fn a_right_key_that_is_not_enough_is_no_wrong_key() {
    let server = Sshd::start("AuthenticationMethods publickey,password\nPasswordAuthentication yes");
    let error = connect(&server.options()).await.unwrap_err();
    let SshError::MoreAuthenticationNeeded { accepted, offers, .. } = &error else { panic!("{error:?}") };
    assert!(accepted.contains("key (ssh-ed25519"), "{accepted}");
    assert_eq!(offers, &["password"]);
}

#[tokio::test]
async fn an_unknown_host_is_refused_before_any_key_is_shown() {
    let server = Sshd::start("");
    server.write_known_hosts("");
    let error = connect(&server.options()).await.unwrap_err();
    let SshError::HostKeyUnknown { fingerprint, key_type, .. } = &error else { panic!("{error:?}") };
    let shown = Command::new("ssh-keygen").arg("-lf").arg(server.path("host_ed25519.pub")).output().unwrap();
    assert!(String::from_utf8(shown.stdout).unwrap().contains(fingerprint.as_ref()), "{fingerprint}");
    assert_eq!(key_type.as_ref(), "ssh-ed25519");
    assert!(error.is_host_key() && !error.is_transient());
    assert!(!server.log().contains("publickey"), "{}", server.log());
}

#[tokio::test]
async fn a_changed_host_key_is_refused_with_its_line() {
    let server = Sshd::start("");
    make_key("ed25519", &server.path("impostor"), "");
    let impostor = std::fs::read_to_string(server.path("impostor.pub")).unwrap();
    server.write_known_hosts(&format!("# mine\n\n[127.0.0.1]:{} {impostor}", server.port));
    let error = connect(&server.options()).await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyChanged { line: 3, .. }), "{error:?}");
    // Several keys may stand for one name.
    server.write_known_hosts(&format!(
        "[127.0.0.1]:{} {impostor}\n{}",
        server.port,
        server.known_hosts_lines(&["ed25519"])
    ));
    connect(&server.options()).await.unwrap();
}

#[tokio::test]
async fn a_revoked_host_key_is_refused() {
    let server = Sshd::start("");
    let known = server.known_hosts_lines(&["ed25519"]);
    server.write_known_hosts(&format!("{known}@revoked * {}\n", server.host_key("ed25519")));
    let error = connect(&server.options()).await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyRevoked { line: 2, .. }), "{error:?}");
}

#[tokio::test]
async fn hashed_names_are_known() {
    let server = Sshd::start("");
    let hashed = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(server.path(".ssh/known_hosts")).output();
    assert!(hashed.unwrap().status.success());
    assert!(std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap().starts_with("|1|"));
    connect(&server.options()).await.unwrap();
}

#[test_case("ecdsa"; "ecdsa")]
#[test_case("ed25519"; "ed25519")]
#[test_case("rsa"; "rsa")]
#[tokio::test]
async fn a_server_with_several_keys_shows_the_one_we_know(known: &str) {
    let server = Sshd::start_with_host_keys(&["ed25519", "ecdsa", "rsa"], "");
    server.write_known_hosts(&server.known_hosts_lines(&[known]));
    connect(&server.options()).await.unwrap();
}

/// Whether OpenSSH's client, and ours, connect under this configuration, which both read.
async fn connects(server: &Sshd, config: &str) -> (bool, Result<(), SshError>) {
    let file = server.path("judged_config");
    let rest = "UserKnownHostsFile {dir}/.ssh/known_hosts\nGlobalKnownHostsFile none\nStrictHostKeyChecking yes\n\
                BatchMode yes\nIdentityFile {dir}/key\n";
    let dir = server.path("").display().to_string();
    let config = format!("{config}\n{rest}").replace("{dir}", dir.trim_end_matches('/'));
    std::fs::write(&file, config.replace("{key}", &server.host_key("ed25519"))).unwrap();
    let place = format!("ssh://{}@127.0.0.1:{}", sshd::user(), server.port);
    let ssh = Command::new("ssh").arg("-F").arg(&file).args([&place, "true"]).output();
    let ssh = ssh.unwrap_or_else(|error| panic!("ssh: {error}; install Debian's openssh-client"));
    let told = String::from_utf8_lossy(&ssh.stderr);
    assert!(ssh.status.success() || told.contains("Host key verification failed"), "{told}");
    let options = SshOptions { config_file: Some(file), ..server.options() };
    (ssh.status.success(), connect(&options).await)
}

/// In the lines, `{name}` is the name with its port, `{key}` the server's key, `{ec}` its second one, `{other}` another's.
#[test_case("", "{name} {key}", true; "the right key")]
#[test_case("", "{name} {other}", false; "another key")]
#[test_case("", "127.0.0.1 {key}", true; "the name without its port")]
#[test_case("", "127.0.0.1 {other}\n127.0.0.1 {key}", true; "one of two without the port")]
#[test_case("", "127.0.0.1 {other}", false; "another key without the port")]
#[test_case("", "127.0.0.1 {key}\n127.0.0.1 {ec}\n{name} {other}", false; "the name without its port cannot overrule")]
#[test_case("", "{name} {other}\n{name} {key}", true; "one of two")]
#[test_case("", "127.0.0.1 {key}\n@cert-authority {name} {other}", true; "an authority is no key")]
#[test_case("", "127.0.0.1 {key}\n@revoked {name} {other}", true; "a revoked key is no key")]
#[test_case("", "127.0.0.1 {key}\n{name} {ec}", true; "the name with its port chooses the kind of key")]
#[test_case("HostKeyAlgorithms ssh-ed25519", "127.0.0.1 {key}", true; "one kind of key only")]
#[test_case("HostKeyAlias alias", "alias {key}", true; "an alias without a port")]
#[test_case("HostKeyAlias alias", "[alias]:{port} {key}", false; "an alias with a port")]
#[test_case("HostKeyAlias alias", "{name} {key}\n127.0.0.1 {key}", false; "an alias stands instead of the name")]
#[test_case("HostKeyAlias ALIAS", "alias {key}", true; "an alias in capital letters")]
#[test_case("UserKnownHostsFile none", "{name} {key}", false; "no file")]
#[test_case("UserKnownHostsFile {dir}/missing {dir}/.ssh/known_hosts", "{name} {key}", true; "the second file")]
#[test_case("UserKnownHostsFile {dir}/missing\nUserKnownHostsFile {dir}/.ssh/known_hosts", "{name} {key}", false; "the first line counts")]
#[test_case("UserKnownHostsFile none\nGlobalKnownHostsFile {dir}/missing {dir}/.ssh/known_hosts", "{name} {key}", true; "the system's second file")]
#[test_case("GlobalKnownHostsFile {dir}/host_ed25519.pub", "{name} {key}", true; "a file of something else")]
#[test_case("RevokedHostKeys {dir}/host_ed25519.pub", "{name} {key}", false; "a list that revokes it")]
#[test_case("RevokedHostKeys {dir}/key.pub", "{name} {key}", true; "a list that revokes another")]
#[test_case("RevokedHostKeys {dir}/missing", "{name} {key}", false; "a list that is not there")]
#[test_case("RevokedHostKeys {dir}/.ssh/known_hosts", "{name} {key}", false; "a list of something else")]
#[test_case("RevokedHostKeys none\nRevokedHostKeys {dir}/host_ed25519.pub", "{name} {key}", true; "no list")]
#[test_case("RevokedHostKeys {dir}/krl", "{name} {key}", false; "a binary list")]
#[tokio::test]
async fn a_host_key_is_judged_as_ssh_does(config: &str, lines: &str, expected: bool) {
    let server = Sshd::start_with_host_keys(&["ed25519", "ecdsa"], "");
    make_key("ed25519", &server.path("other"), "");
    let other = std::fs::read_to_string(server.path("other.pub")).unwrap();
    let lines = lines.replace("{name}", &format!("[127.0.0.1]:{}", server.port));
    let lines = lines.replace("{key}", &server.host_key("ed25519")).replace("{ec}", &server.host_key("ecdsa"));
    server.write_known_hosts(&lines.replace("{other}", other.trim()).replace("{port}", &server.port.to_string()));
    let binary = [server.path("krl"), server.path("host_ed25519.pub")];
    let made = Command::new("ssh-keygen").args(["-q", "-k", "-f"]).args(binary).output();
    assert!(made.unwrap().status.success());
    let (ssh, ours) = connects(&server, config).await;
    assert_eq!((ssh, ours.is_ok()), (expected, expected), "{ours:?}");
    assert!(ours.is_ok() || ours.unwrap_err().is_host_key());
}

#[tokio::test]
async fn a_binary_list_of_revoked_keys_is_refused_by_name() {
    let server = Sshd::start("");
    let list = server.path("krl");
    let made = Command::new("ssh-keygen").args(["-q", "-k", "-f"]).args([&list, &server.path("key.pub")]).output();
    assert!(made.unwrap().status.success());
    // `ssh` can read it and finds that another key is revoked; we cannot, and so must not connect.
    let (ssh, ours) = connects(&server, &format!("Host *\nRevokedHostKeys {}", list.display())).await;
    assert!(ssh);
    let error = ours.unwrap_err();
    assert!(matches!(error, SshError::RevokedHostKeysUnusable { line: 2, .. }), "{error:?}");
    let expected =
        format!("judged_config:2 sets RevokedHostKeys, and {} cannot be used: it is a binary", list.display());
    assert!(error.to_string().contains(&expected), "{error}");
    std::fs::copy(server.path("host_ed25519.pub"), &list).unwrap();
    let (ssh, ours) = connects(&server, &format!("RevokedHostKeys {}", list.display())).await;
    assert!(!ssh);
    let Err(SshError::HostKeyRevoked { file, line: 1, .. }) = ours else { panic!("{ours:?}") };
    assert_eq!(file, list);
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
