//! What connections carry, and what becomes of those who find no place.

use std::time::Duration;

use futures_util::future::join_all;
use llm_proxy::ssh::{ExitStatus, Person, Question, SshClient, SshError, SshHome, SshOptions};
use test_case::test_case;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::asking_host::{AskingHost, CODE};
use crate::far_end::{FarEnd, assert_echo, pattern};
use crate::sshd::{DEADLINE, Sshd};

/// Runs a command to its end.
async fn run_whole(client: &SshClient, command: &str) -> String {
    let mut run = client.exec(command).await.unwrap();
    drop(run.stdin);
    let mut output = String::new();
    run.stdout.read_to_string(&mut output).await.unwrap();
    assert_eq!(run.exit.wait().await.unwrap(), ExitStatus::Code(0));
    output
}

#[test_case(1)]
#[test_case(2)]
#[tokio::test]
async fn few_sessions_are_enough_for_many_commands_and_streams(sessions: usize) {
    let server = Sshd::start(&format!("MaxSessions {sessions}"));
    let far = FarEnd::echo().await;
    let client = server.client();
    let commands = join_all((0..12).map(|number| {
        let client = &client;
        async move { run_whole(client, &format!("echo {number}")).await }
    }));
    let streams = join_all((0..24).map(|_| async {
        assert_echo(&mut client.dial("127.0.0.1", far.port).await.unwrap()).await;
    }));
    let (outputs, _) = timeout(DEADLINE, async { tokio::join!(commands, streams) }).await.unwrap();
    assert_eq!(outputs, (0..12).map(|number| format!("{number}\n")).collect::<Vec<_>>());
    assert!(server.accepted() <= 12, "{}", server.accepted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_keys_that_the_server_asks_for_hold_up_nothing() {
    const LENGTH: usize = 96 << 20;
    let server = Sshd::start("RekeyLimit 64M\nLogLevel DEBUG1");
    let (source, sink) = (FarEnd::source(LENGTH).await, FarEnd::swallow().await);
    let client = server.client();
    let expected = pattern(0, LENGTH);
    let down = || async {
        let mut stream = client.dial("127.0.0.1", source.port).await.unwrap();
        let (mut found, mut at) = (vec![0; 256 << 10], 0);
        loop {
            match stream.read(&mut found).await.unwrap() {
                0 => return at,
                read => {
                    assert!(found.get(..read) == expected.get(at..at + read), "other bytes at {at}");
                    at += read;
                }
            }
        }
    };
    let up = async {
        let mut stream = client.dial("127.0.0.1", sink.port).await.unwrap();
        stream.write_all(&expected).await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        sink.received()
    };
    let all = async { tokio::join!(down(), down(), up) };
    assert_eq!(timeout(DEADLINE, all).await.unwrap(), (LENGTH, LENGTH, LENGTH));
    let exchanges = server.log().matches("SSH2_MSG_NEWKEYS received").count();
    assert!(exchanges > 3, "{exchanges} exchanges of keys");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn where_only_a_person_could_log_in_again_the_place_of_another_is_waited_for() {
    let server = Sshd::start("");
    let far = FarEnd::echo().await;
    let mut options = server.options();
    (options.limits.channels_per_connection, options.limits.place_timeout) = (2, Duration::from_millis(300));
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    let one = client.dial("127.0.0.1", far.port).await.unwrap();
    let _other = client.dial("127.0.0.1", far.port).await.unwrap();
    std::fs::write(server.path("authorized_keys"), "").unwrap();
    for _ in 0..3 {
        let error = timeout(DEADLINE, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap_err();
        assert!(matches!(error, SshError::TooManyChannels { connections: 1, needs_person: true, .. }), "{error:?}");
        assert!(error.to_string().contains("only a person"), "{error}");
    }
    // A place that is given back is found.
    let mut waiting = Box::pin(client.dial("127.0.0.1", far.port));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(one);
    let mut stream = timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert_echo(&mut stream).await;
    // One more login was tried, and refused, and no other.
    assert_eq!((server.begun(), server.accepted()), (2, 1));
}

/// What a person does who has the code.
async fn type_codes(mut asked: mpsc::Receiver<Question>) {
    while let Some(question) = asked.recv().await {
        let answers = question.form.prompts.iter().map(|_| CODE.into()).collect();
        let _ = question.answer.send(answers);
    }
}

#[tokio::test]
async fn one_code_is_one_connection_that_all_share_and_wait_for() {
    let host = AskingHost::start(true).await;
    let far = FarEnd::echo().await;
    let mut options = SshOptions { config_file: Some(host.path("config")), ..SshOptions::new("asking") };
    options.home = SshHome::below(host.folder.path(), "somebody");
    (options.limits.channels_per_connection, options.limits.place_timeout) = (2, Duration::from_millis(300));
    options.limits.closes_per_connection = 1;
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    let refused = timeout(DEADLINE, client.exec("true")).await.unwrap().unwrap_err();
    assert!(refused.is_authentication(), "{refused:?}");
    let (person, asked) = Person::somebody(false);
    tokio::spawn(type_codes(asked));
    timeout(DEADLINE, client.connect_with(&person)).await.unwrap().unwrap();
    for _ in 0..3 {
        // However many end early, it is not worn out: the next one would need another code.
        let one = client.exec("exec cat").await.unwrap();
        let other = client.dial("127.0.0.1", far.port).await.unwrap();
        let error = timeout(DEADLINE, client.exec("true")).await.unwrap().unwrap_err();
        assert!(matches!(error, SshError::TooManyChannels { connections: 1, needs_person: true, .. }), "{error:?}");
        let mut waiting = Box::pin(client.exec("exec cat"));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(one);
        timeout(DEADLINE, waiting).await.unwrap().unwrap();
        drop(other);
    }
    assert_eq!(host.tries(), 1);
}
