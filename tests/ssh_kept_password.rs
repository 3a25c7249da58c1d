//! Passwords that the keyring keeps: for the machine that they were kept for, and no other.

#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

use std::fs;

use llm_proxy::ssh::{SshClient, SshError, SshOptions};
use llm_proxy::vault::{Item, Vault};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/asking_server.rs"]
mod asking_server;
#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/sshd.rs"]
mod sshd;

use asking_server::{AskingServer, Script, Stage, connect_with};
use sshd::{DEADLINE, Sshd};

async fn server() -> AskingServer {
    AskingServer::start(Script { stages: vec![Stage::Password("secret")], ..Script::default() }).await
}

/// The port of a server whose user is `me`.
fn port(server: &AskingServer) -> String {
    server.options().destination.rsplit_once(':').unwrap().1.to_owned()
}

async fn alone(options: &SshOptions) -> Result<(), SshError> {
    let client = SshClient::new(options, TaskTracker::new()).unwrap();
    let result = timeout(DEADLINE, client.connect()).await.unwrap();
    client.close().await;
    result
}

fn is_asked_for(result: &Result<(), SshError>) -> bool {
    matches!(result, Err(error) if matches!(error.root(), SshError::PersonNeeded { .. }))
}

/// How often the server was given a password.
fn given(server: &AskingServer) -> usize {
    server.seen().iter().filter(|seen| seen.starts_with("password")).count()
}

#[tokio::test]
async fn it_is_kept_for_what_the_user_calls_the_host_and_the_way_there() {
    let server = server().await;
    let hop = Sshd::start("");
    let known = server.path(".ssh/known_hosts");
    let both = fs::read_to_string(&known).unwrap() + &hop.known_hosts_lines(&["ed25519"]);
    fs::write(known, both).unwrap();
    fs::copy(server.path("key.pub"), hop.path("authorized_keys")).unwrap();
    let place = format!("HostName 127.0.0.1\nPort {}\nUser me", port(&server));
    let gate = format!("{}@127.0.0.1:{}", sshd::user(), hop.port);
    let config = format!(
        "Host one\n{place}\nHost two\n{place}\nHost behind\n{place}\nProxyJump {gate}\nHost *\nIdentityFile ~/key\n"
    );
    fs::write(server.path(".ssh/config"), config).unwrap();
    let vault = Vault::in_memory();
    let called = |name: &str, jump: Option<&str>, settings: &[&str]| {
        let mut options = server.options();
        options.destination = name.to_owned();
        options.jump = jump.map(str::to_owned);
        options.settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        options.home.vault = vault.clone();
        options
    };
    let ways = [
        called("one", None, &[]),
        called("two", None, &[]),
        called("behind", None, &[]),
        called("one", Some(gate.as_str()), &[]),
        called("one", None, &["ProxyCommand=busybox nc %h %p"]),
        called("one", None, &["ProxyCommand=busybox nc -w 99 %h %p"]),
    ];
    for (kept, options) in ways.iter().enumerate() {
        assert!(is_asked_for(&alone(options).await), "{kept}");
        let (result, _) = timeout(DEADLINE, connect_with(options, true, &[&["secret"]])).await.unwrap();
        result.unwrap();
        alone(options).await.unwrap();
        assert_eq!(given(&server), 2 * (kept + 1));
    }
    // What failed is named as the user typed it.
    let error = alone(&called("two", Some(gate.as_str()), &[])).await.unwrap_err().to_string();
    assert!(error.starts_with("me@two (127.0.0.1) asks for a password"), "{error}");
    // `login --forget` finds all of them, and says which is which.
    let forgotten: Vec<String> = vault.forget_all().await.unwrap().iter().map(Item::to_string).collect();
    assert_eq!(forgotten.len(), ways.len());
    let named = format!("the password of me@one (127.0.0.1), port {}", port(&server));
    assert!(forgotten.contains(&named), "{forgotten:?}");
    assert!(forgotten.contains(&format!("{named}, through {gate}")), "{forgotten:?}");
}

#[tokio::test]
async fn it_is_kept_for_the_name_that_host_keys_are_known_by() {
    let server = server().await;
    let vault = Vault::in_memory();
    let known = server.path(".ssh/known_hosts");
    let line = fs::read_to_string(&known).unwrap();
    let key = line.split_once(' ').unwrap().1;
    fs::write(&known, format!("{line}login {key}\nother {key}\n")).unwrap();
    let aliased = |host: &str, alias: &str| {
        let mut options = server.options();
        options.destination = format!("me@{host}:{}", port(&server));
        options.settings = vec![format!("HostKeyAlias={alias}")];
        options.home.vault = vault.clone();
        options
    };
    connect_with(&aliased("127.0.0.1", "login"), true, &[&["secret"]]).await.0.unwrap();
    // Machines that share a name share their users.
    alone(&aliased("localhost", "login")).await.unwrap();
    assert!(is_asked_for(&alone(&aliased("127.0.0.1", "other")).await));
}

#[tokio::test]
async fn it_is_not_given_to_a_server_that_was_trusted_without_a_question() {
    let server = server().await;
    let vault = Vault::in_memory();
    let mut options = server.options();
    options.home.vault = vault.clone();
    options.accept_new_host_key = true;
    connect_with(&options, true, &[&["secret"]]).await.0.unwrap();
    fs::remove_file(server.path(".ssh/known_hosts")).unwrap();
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    let result = timeout(DEADLINE, client.connect()).await.unwrap();
    assert!(is_asked_for(&result), "{result:?}");
    assert!(fs::read_to_string(server.path(".ssh/known_hosts")).unwrap().contains("ssh-ed25519"));
    assert_eq!(given(&server), 1);
    // A person who gives it to that server has it kept for that server.
    let (person, mut asked) = llm_proxy::ssh::Person::somebody(true);
    let answering = async {
        let question = asked.recv().await.unwrap();
        question.answer.send(vec!["secret".into()]).unwrap();
    };
    let (result, ()) = tokio::join!(timeout(DEADLINE, client.connect_with(&person)), answering);
    result.unwrap().unwrap();
    assert_eq!(given(&server), 2);
    server.cut();
    let again = async {
        while given(&server) < 3 {
            client.network_is_back();
            // It may not have noticed yet that it was cut off.
            let _ = client.connect().await;
            tokio::task::yield_now().await;
        }
        client.connect().await
    };
    timeout(DEADLINE, again).await.unwrap().unwrap();
}
