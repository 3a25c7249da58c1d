//! Servers that are reached by a command of the user's.

use std::fs;
use std::path::Path;

use llm_proxy::ssh::{SshClient, SshError};
use nix::sys::signal::kill;
use nix::unistd::{Pid, getpgid};
use test_case::test_case;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::far_end::FarEnd;
use crate::sshd::{DEADLINE, Sshd, eventually};

/// A client that goes by this command; `{dir}` is the user's home, `{port}` the server's port.
fn client(server: &Sshd, command: &str, tasks: &TaskTracker) -> SshClient {
    let dir = server.path("").display().to_string();
    let command = command.replace("{dir}", dir.trim_end_matches('/')).replace("{port}", &server.port.to_string());
    fs::write(server.path(".ssh/config"), format!("ProxyCommand {command}\n")).unwrap();
    SshClient::new(&server.options(), tasks.clone()).unwrap()
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
