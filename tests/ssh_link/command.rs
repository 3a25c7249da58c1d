//! Servers that are reached by a command of the user's.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use llm_proxy::ssh::{CommandFault, Person, SshClient, SshError, SshOptions};
use nix::sys::signal::kill;
use nix::unistd::{Pid, getpgid};
use test_case::test_case;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::far_end::FarEnd;
use crate::sshd::{DEADLINE, Sshd, eventually, user};

/// A client that goes by this command; `{dir}` is the user's home, `{port}` the server's port.
fn options(server: &Sshd, command: &str) -> SshOptions {
    let dir = server.path("").display().to_string();
    let command = command.replace("{dir}", dir.trim_end_matches('/')).replace("{port}", &server.port.to_string());
    fs::write(server.path(".ssh/config"), format!("ProxyCommand {command}\n")).unwrap();
    server.options()
}

fn client(server: &Sshd, command: &str, tasks: &TaskTracker) -> SshClient {
    SshClient::new(&options(server, command), tasks.clone()).unwrap()
}

/// What is written there, once it is.
async fn number_in(file: &Path) -> i32 {
    let read = || fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<i32>().ok());
    eventually("number", || read().is_some()).await;
    read().unwrap()
}

fn lives(process: i32) -> bool {
    kill(Pid::from_raw(process), None).is_ok()
}

#[test_case("sh -c 'echo $$ > {dir}/pid; exec busybox nc 127.0.0.1 {port}'"; "one that ends by itself")]
#[test_case("sh -c 'trap \"\" HUP TERM; echo $$ > {dir}/pid; busybox nc 127.0.0.1 {port}; sleep 300'"; "one that will not end")]
#[tokio::test]
async fn a_command_carries_a_connection_and_ends_with_it(command: &str) {
    let server = Sshd::start("");
    let far = FarEnd::echo().await;
    let tasks = TaskTracker::new();
    let client = client(&server, command, &tasks);
    let mut stream = timeout(DEADLINE, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap();
    stream.write_all(&vec![7; 300_000]).await.unwrap();
    let mut found = vec![0; 300_000];
    timeout(DEADLINE, stream.read_exact(&mut found)).await.unwrap().unwrap();
    let process = number_in(&server.path("pid")).await;
    // An interrupt of our terminal is not for it.
    assert_eq!(getpgid(Some(Pid::from_raw(process))).unwrap(), Pid::from_raw(process));
    assert_ne!(getpgid(None).unwrap(), Pid::from_raw(process));
    drop((stream, client));
    // It is gone, and nobody waits for it any more.
    eventually("end of the command", || !lives(process)).await;
    eventually("end of the connection", || server.processes() == 0).await;
    tasks.close();
    timeout(DEADLINE, tasks.wait()).await.unwrap();
}

#[test_case("sh -c 'echo one >&2; printf \"no\\033[31m way\\n\" >&2; exit 3'", "it ended with status 3: one; no [31m way", true; "its last words")]
#[test_case("/no/such/program", "it ended with status 127: ", false; "none at all")]
#[test_case("sh -c 'kill -9 $$'", "it ended by signal: 9", true; "a signal")]
#[tokio::test]
async fn a_command_that_fails_says_why(command: &str, words: &str, transient: bool) {
    let server = Sshd::start("");
    let client = client(&server, command, &TaskTracker::new());
    let error = timeout(DEADLINE, client.connect()).await.unwrap().unwrap_err();
    assert!(matches!(error, SshError::ProxyCommandFailed { .. }), "{error:?}");
    assert!(error.to_string().starts_with(&format!("the ProxyCommand for 127.0.0.1 failed: {words}")), "{error}");
    assert_eq!(error.is_transient(), transient);
    assert!(error.remedy().is_some());
}

/// How often a command ran that writes a line each time.
fn runs(server: &Sshd) -> usize {
    fs::read_to_string(server.path("runs")).map_or(0, |text| text.lines().count())
}

/// Asks for connections, over changes of the network and beyond every pause, until the answer no longer comes of a new run.
async fn ask_until_it_stands(server: &Sshd, client: &SshClient) -> SshError {
    let mut error = timeout(DEADLINE, client.connect()).await.unwrap().unwrap_err();
    let asking = async {
        while !error.needs_person() {
            error = client.connect().await.unwrap_err();
        }
    };
    timeout(DEADLINE, asking).await.unwrap();
    let before = runs(server);
    for _ in 0..20 {
        let again = timeout(DEADLINE, client.connect()).await.unwrap().unwrap_err();
        assert!(matches!(again, SshError::StillRefused { .. }) && again.needs_person(), "{again:?}");
        assert!(!again.is_transient() && !again.is_link_loss(), "{again:?}");
    }
    assert_eq!(runs(server), before);
    error
}

#[tokio::test]
async fn a_login_that_a_command_was_refused_is_tried_once_and_again_for_a_person() {
    let server = Sshd::start("");
    let script =
        "sh -c 'echo run >> {dir}/runs; echo \"me@gate: Permission denied (publickey,password).\" >&2; exit 255'";
    let client = client(&server, script, &TaskTracker::new());
    let error = ask_until_it_stands(&server, &client).await;
    assert!(error.is_authentication(), "{error:?}");
    assert!(error.to_string().ends_with("status 255: me@gate: Permission denied (publickey,password)."), "{error}");
    assert!(error.remedy().unwrap().contains("write it as ProxyJump"), "{error:?}");
    client.network_is_back();
    assert!(client.connect().await.unwrap_err().is_authentication());
    assert_eq!(runs(&server), 1);
    let (person, _asked) = Person::somebody(false);
    let again = timeout(DEADLINE, client.connect_with(&person)).await.unwrap().unwrap_err();
    assert!(again.is_authentication() && runs(&server) == 2, "{again:?}");
}

#[tokio::test]
async fn a_command_that_fails_for_no_cause_that_passes_is_tried_three_times() {
    let server = Sshd::start("");
    let client = client(&server, "sh -c 'echo run >> {dir}/runs; echo token expired >&2; exit 2'", &TaskTracker::new());
    let error = ask_until_it_stands(&server, &client).await;
    assert_eq!(runs(&server), 3);
    assert!(!error.is_authentication() && error.to_string().contains("status 2: token expired"), "{error:?}");
    assert!(error.remedy().unwrap().ends_with("then run `llm-proxy login`"), "{error:?}");
    // Nor is it tried again because some network is another.
    client.network_is_back();
    assert!(timeout(DEADLINE, client.connect()).await.unwrap().unwrap_err().needs_person());
    assert_eq!(runs(&server), 3);
}

#[tokio::test]
async fn a_command_through_which_nothing_comes_is_ended_and_said_to_be_silent() {
    let server = Sshd::start("");
    let mut options = options(&server, "sleep 300");
    options.limits.handshake_timeout = Duration::from_millis(300);
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    let error = timeout(DEADLINE, client.connect()).await.unwrap().unwrap_err();
    assert!(error.to_string().ends_with("nothing came through it within 0 s"), "{error}");
    let SshError::ProxyCommandFailed { fault: CommandFault::Unexplained, .. } = error else { panic!("{error:?}") };
}

#[tokio::test]
async fn a_command_that_the_network_fails_is_tried_for_as_long_as_it_takes() {
    let server = Sshd::start("");
    let script = "sh -c 'echo run >> {dir}/runs; echo \"ssh: connect to host gate port 22: Network is unreachable\" >&2; exit 255'";
    let client = client(&server, script, &TaskTracker::new());
    let asking = async {
        while runs(&server) < 5 {
            let error = client.connect().await.unwrap_err();
            let SshError::ProxyCommandFailed { fault, .. } = &error else { panic!("{error:?}") };
            assert!(*fault == CommandFault::Passing && error.is_link_loss(), "{error:?}");
        }
    };
    timeout(DEADLINE, asking).await.unwrap();
}

/// What `llm-proxy serve` says at a terminal where this command leads to the host, and it is used up.
async fn at_a_terminal(server: &Sshd, command: &str) -> String {
    let dir = server.path("").display().to_string();
    let command = command.replace("{dir}", dir.trim_end_matches('/'));
    fs::write(server.path("config"), format!("ProxyCommand {command}\n")).unwrap();
    let words = ["--login", "nobody@127.0.0.1", "--ssh-config", &format!("{dir}config"), "--", "true"];
    let line = [&[env!("CARGO_BIN_EXE_llm-proxy"), "serve", "--port", "0", "--name", "m"], words.as_slice()].concat();
    let mut script = tokio::process::Command::new("script");
    script.args(["-qfec", &shlex::try_join(line).unwrap(), "/dev/null"]).env("HOME", &dir).env("SHELL", "/bin/sh");
    script.env_remove("SSH_AUTH_SOCK").env_remove("DISPLAY").env_remove("SSH_ASKPASS").kill_on_drop(true);
    let shown = script.stdin(Stdio::piped()).output();
    let shown = timeout(DEADLINE, shown).await.unwrap().unwrap();
    String::from_utf8(shown.stdout).unwrap()
}

#[tokio::test]
async fn a_command_that_opens_the_terminal_finds_none_and_is_not_stopped_unseen() {
    let server = Sshd::start("");
    // As `ssh` does it: without a terminal there is nobody to ask.
    let script = "sh -c '(: </dev/tty) || { echo Permission denied >&2; exit 9; }; read answer </dev/tty; exit 8'";
    let shown = at_a_terminal(&server, script).await;
    assert!(shown.contains("the ProxyCommand for 127.0.0.1 failed: it ended with status 9"), "{shown}");
    assert!(shown.contains("/dev/tty"), "{shown}");
}

#[tokio::test]
async fn an_ssh_within_that_would_ask_for_a_password_is_a_refusal_at_once() {
    let server = Sshd::start("PasswordAuthentication yes");
    let known = server.path(".ssh/known_hosts").display().to_string();
    let inner = format!(
        "ssh -F none -o UserKnownHostsFile={known} -o PubkeyAuthentication=no -p {} -W %h:%p {}@127.0.0.1",
        server.port,
        user()
    );
    let shown = at_a_terminal(&server, &inner).await;
    assert!(shown.contains("Permission denied") && shown.contains("write it as ProxyJump"), "{shown}");
}

#[tokio::test]
async fn a_command_of_match_exec_that_opens_the_terminal_holds_nothing_up() {
    let server = Sshd::start("");
    let script = "(: </dev/tty) && read answer </dev/tty";
    let command = format!("sh -c 'echo Permission denied >&2; exit 3'\nMatch exec \"{script}\"\n  User other");
    let shown = at_a_terminal(&server, &command).await;
    assert!(shown.contains("the ProxyCommand for 127.0.0.1 failed: it ended with status 3"), "{shown}");
}

#[tokio::test]
async fn a_command_that_only_talks_is_not_waited_for_for_ever() {
    let server = Sshd::start("");
    let tasks = TaskTracker::new();
    let client = client(&server, "sh -c 'echo $$ > {dir}/pid; echo waiting >&2; exec sleep 300'", &tasks);
    let connecting = client.connect();
    let giving_up = async {
        let process = number_in(&server.path("pid")).await;
        client.close().await;
        process
    };
    let (connected, process) = timeout(DEADLINE, async { tokio::join!(connecting, giving_up) }).await.unwrap();
    assert!(matches!(connected, Err(SshError::Closed { .. })), "{connected:?}");
    eventually("end of the command", || !lives(process)).await;
    tasks.close();
    timeout(DEADLINE, tasks.wait()).await.unwrap();
}
