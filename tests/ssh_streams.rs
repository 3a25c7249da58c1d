//! Streams and commands inside SSH connections, against a real OpenSSH server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::io;
use std::time::Instant;

use futures_util::future::join_all;
use llm_proxy::ssh::{Exec, ExitStatus, Link, SshClient, SshError, SshOptions, StreamError};
use test_case::test_case;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

#[path = "support/far_end.rs"]
mod far_end;
#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/sshd.rs"]
mod sshd;

use far_end::{FarEnd, assert_echo, pattern};
use sshd::{DEADLINE, Sshd, eventually};

fn client(options: &SshOptions) -> SshClient {
    SshClient::new(options, TaskTracker::new()).unwrap()
}

fn stream_error(error: &io::Error) -> StreamError {
    error.get_ref().unwrap().downcast_ref::<StreamError>().unwrap().clone()
}

#[tokio::test]
async fn a_command_has_three_streams_and_an_end() {
    let server = Sshd::start("");
    let mut run = server.client().exec("cat; echo problem >&2; exit 3").await.unwrap();
    run.stdin.write_all(b"hello").await.unwrap();
    run.stdin.shutdown().await.unwrap();
    let (mut output, mut problems) = (String::new(), String::new());
    run.stdout.read_to_string(&mut output).await.unwrap();
    run.stderr.read_to_string(&mut problems).await.unwrap();
    assert_eq!((output.as_str(), problems.as_str()), ("hello", "problem\n"));
    assert_eq!(run.exit.wait().await.unwrap(), ExitStatus::Code(3));
}

#[test_case("exit 0", &ExitStatus::Code(0))]
#[test_case("kill -KILL $$", &ExitStatus::Signal("KILL".to_owned()))]
#[tokio::test]
async fn a_command_says_how_it_ended(command: &str, expected: &ExitStatus) {
    let server = Sshd::start("");
    let run = server.client().exec(command).await.unwrap();
    assert_eq!(&run.exit.wait().await.unwrap(), expected);
}

#[tokio::test]
async fn dropping_the_input_ends_it_and_nothing_else() {
    let server = Sshd::start("");
    let mut run = server.client().exec("cat; echo done").await.unwrap();
    run.stdin.write_all(b"last words ").await.unwrap();
    drop(run.stdin);
    let mut output = String::new();
    run.stdout.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "last words done\n");
}

/// Runs a command that does not mind the end of its input, as soon as there is a place for it.
async fn run_stubborn(client: &SshClient) -> Exec {
    let begun = Instant::now();
    loop {
        match client.exec("exec sleep 5").await {
            Ok(run) => return run,
            Err(SshError::TooManyChannels { .. }) => assert!(begun.elapsed() < DEADLINE, "no place is given back"),
            Err(other) => panic!("{other}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn dropping_a_command_gives_its_place_back() {
    let server = Sshd::start("");
    let mut options = server.options();
    (options.limits.channels_per_connection, options.limits.connections) = (2, 1);
    let client = client(&options);
    for _ in 0..6 {
        drop(run_stubborn(&client).await);
    }
    // While any part of one is held, so is its place.
    let (one, other) = (run_stubborn(&client).await, run_stubborn(&client).await);
    let (exit, output) = (one.exit, other.stdout);
    assert!(matches!(client.exec("true").await, Err(SshError::TooManyChannels { .. })));
    drop((exit, output));
    drop(run_stubborn(&client).await);
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_worn_connection_is_replaced() {
    let server = Sshd::start("");
    let mut options = server.options();
    (options.limits.channels_per_connection, options.limits.connections) = (1, 1);
    options.limits.closes_per_connection = 3;
    let client = client(&options);
    for _ in 0..3 {
        drop(run_stubborn(&client).await);
    }
    assert_eq!(server.accepted(), 1);
    drop(run_stubborn(&client).await);
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_server_without_commands_says_so_and_still_tunnels() {
    let server = Sshd::start("MaxSessions 0");
    let client = server.client();
    let error = client.exec("true").await.unwrap_err();
    assert!(matches!(error, SshError::ExecRefused { .. }), "{error:?}");
    let far = FarEnd::echo().await;
    client.dial("127.0.0.1", far.port).await.unwrap();
    let error = client.dial("127.0.0.1", sshd::free_port()).await.unwrap_err();
    assert!(error.to_string().ends_with(": Connection refused"), "{error}");
}

/// Runs a command to its end.
async fn run_whole(client: &SshClient, command: &str) -> String {
    let mut run = client.exec(command).await.unwrap();
    drop(run.stdin);
    let mut output = String::new();
    run.stdout.read_to_string(&mut output).await.unwrap();
    assert_eq!(run.exit.wait().await.unwrap(), ExitStatus::Code(0));
    output
}

#[tokio::test]
async fn the_first_command_finds_the_only_session_free() {
    let server = Sshd::start("MaxSessions 1");
    for number in 1..=10 {
        assert_eq!(run_whole(&server.client(), "echo first").await, "first\n");
        assert_eq!(server.accepted(), number);
    }
}

#[tokio::test]
async fn a_command_that_lasts_leaves_the_next_ones_another_connection() {
    let server = Sshd::start("MaxSessions 1");
    let far = FarEnd::echo().await;
    let client = server.client();
    let mut lasting = client.exec("cat").await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..5 {
        assert_eq!(run_whole(&client, "echo next").await, "next\n");
        streams.push(client.dial("127.0.0.1", far.port).await.unwrap());
    }
    // Ten at a time, and those who find no session wait for no other command.
    assert_eq!(join_all((0..10).map(|_| run_whole(&client, "cat"))).await.len(), 10);
    assert!((2..=12).contains(&server.accepted()), "{}", server.accepted());
    lasting.stdin.write_all(b"still here").await.unwrap();
    drop(lasting.stdin);
    let mut output = String::new();
    lasting.stdout.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "still here");
}

#[tokio::test]
async fn a_second_connection_for_commands_is_kept_and_asked_first() {
    let server = Sshd::start("MaxSessions 1");
    let client = server.client();
    let _lasting = client.exec("cat").await.unwrap();
    run_whole(&client, "true").await;
    let refused = || server.log().matches("no more sessions").count();
    let before = refused();
    for _ in 0..5 {
        run_whole(&client, "true").await;
    }
    assert!(server.accepted() <= 3, "{}: {}", server.accepted(), server.log());
    assert!(refused() <= before + 5, "{}", server.log());
}

#[tokio::test]
async fn sessions_are_taken_up_to_the_bound_of_connections() {
    let server = Sshd::start("MaxSessions 1");
    let mut options = server.options();
    options.limits.connections = 2;
    let client = client(&options);
    let one = client.exec("cat").await.unwrap();
    let _other = client.exec("cat").await.unwrap();
    let error = client.exec("true").await.unwrap_err();
    assert!(matches!(error, SshError::TooManyChannels { connections: 2, .. }), "{error:?}");
    // Streams need none.
    let far = FarEnd::echo().await;
    client.dial("127.0.0.1", far.port).await.unwrap();
    // A session that ends is found again.
    drop(one.stdin);
    assert_eq!(one.exit.wait().await.unwrap(), ExitStatus::Code(0));
    drop((one.stdout, one.stderr));
    let begun = Instant::now();
    while let Err(error) = client.exec("true").await {
        assert!(matches!(error, SshError::TooManyChannels { .. }), "{error:?}");
        assert!(begun.elapsed() < DEADLINE, "the session is not found again");
        tokio::task::yield_now().await;
    }
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_command_that_was_left_behind_keeps_nobody_from_the_next() {
    let server = Sshd::start("MaxSessions 1");
    let client = server.client();
    drop(client.exec("exec sleep 30").await.unwrap());
    let next = timeout(DEADLINE / 4, run_whole(&client, "echo next")).await.unwrap();
    assert_eq!((next.as_str(), server.accepted()), ("next\n", 2));
}

#[tokio::test]
async fn bytes_go_there_and_back() {
    let server = Sshd::start("");
    let far = FarEnd::echo().await;
    let (mut reader, mut writer) = tokio::io::split(server.client().dial("127.0.0.1", far.port).await.unwrap());
    let sent = pattern(1, 5 << 20);
    let writing = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut found = Vec::new();
    let ((), read) = tokio::join!(writing, reader.read_to_end(&mut found));
    read.unwrap();
    assert!(found == sent);
}

#[tokio::test]
async fn a_name_is_resolved_by_the_server() {
    let server = Sshd::start("");
    let far = FarEnd::echo().await;
    let mut stream = server.client().dial("localhost", far.port).await.unwrap();
    assert_echo(&mut stream).await;
}

#[tokio::test]
async fn what_was_written_arrives_though_the_stream_is_dropped_at_once() {
    let server = Sshd::start("");
    let far = FarEnd::swallow().await;
    let client = server.client();
    let sent = vec![7; 100_000];
    for _ in 0..20 {
        let mut stream = client.dial("127.0.0.1", far.port).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        drop(stream);
    }
    eventually("end of all streams", || far.accepted() == 20 && far.open() == 0).await;
    assert_eq!(far.received(), 20 * 100_000);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let server = Sshd::start("");
    let client = server.client();
    let error = client.dial("127.0.0.1", sshd::free_port()).await.unwrap_err();
    let SshError::ConnectFailed { words, .. } = &error else { panic!("{error:?}") };
    assert_eq!(words, "Connection refused");
    assert!(error.is_transient());
    let error = client.dial("no-such-host.invalid", 80).await.unwrap_err();
    assert!(matches!(error, SshError::ConnectFailed { .. }), "{error:?}");
    assert_eq!(server.accepted(), 1);
}

#[test_case("AllowTcpForwarding no"; "no forwarding")]
#[test_case("PermitOpen 127.0.0.1:1"; "forwarding to one place")]
#[tokio::test]
async fn forbidden_forwarding_is_told(extra: &str) {
    let server = Sshd::start(extra);
    let far = FarEnd::echo().await;
    let error = server.client().dial("127.0.0.1", far.port).await.unwrap_err();
    assert!(matches!(error, SshError::Prohibited { .. }), "{error:?}");
    assert!(!error.is_transient());
    assert!(error.remedy().unwrap().contains("AllowTcpForwarding"));
}

#[tokio::test]
async fn a_hundred_dials_make_one_connection() {
    let server = Sshd::start("");
    let far = FarEnd::echo().await;
    let client = server.client();
    let streams = join_all((0..100).map(|_| client.dial("127.0.0.1", far.port))).await;
    for stream in streams {
        let mut stream = stream.unwrap();
        assert_echo(&mut stream).await;
    }
    assert_eq!((server.begun(), server.accepted()), (1, 1));
}

#[tokio::test]
async fn a_hundred_dials_show_a_wrong_key_once() {
    let server = Sshd::start("");
    std::fs::write(server.path("authorized_keys"), "").unwrap();
    let client = server.client();
    let results = join_all((0..100).map(|_| client.dial("127.0.0.1", 1))).await;
    assert!(results.iter().all(|result| result.as_ref().is_err_and(SshError::is_authentication)));
    assert_eq!(server.begun(), 1);
}

#[tokio::test]
async fn full_connections_are_followed_by_others_up_to_a_bound() {
    let server = Sshd::start("");
    let far = FarEnd::echo().await;
    let mut options = server.options();
    (options.limits.channels_per_connection, options.limits.connections) = (4, 3);
    let client = client(&options);
    let streams = join_all((0..12).map(|_| client.dial("127.0.0.1", far.port))).await;
    assert!(streams.iter().all(Result::is_ok), "{streams:?}");
    assert_eq!(server.accepted(), 3);
    let error = client.dial("127.0.0.1", far.port).await.unwrap_err();
    assert!(matches!(error, SshError::TooManyChannels { connections: 3, .. }), "{error:?}");
    // A closed stream gives its place back, and no further connection is needed.
    drop(streams);
    eventually("closed streams", || far.open() == 0).await;
    let mut again = client.dial("127.0.0.1", far.port).await;
    while matches!(again, Err(SshError::TooManyChannels { .. })) {
        tokio::task::yield_now().await;
        again = client.dial("127.0.0.1", far.port).await;
    }
    again.unwrap();
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn a_killed_server_ends_streams_with_an_error_and_the_next_dial_connects_again() {
    let server = Sshd::start("");
    let far = FarEnd::echo().await;
    let client = server.client();
    let mut link = client.link();
    assert!(matches!(*link.borrow(), Link::Disconnected { cause: None, .. }));
    let mut stream = client.dial("127.0.0.1", far.port).await.unwrap();
    assert_echo(&mut stream).await;
    assert!(link.borrow_and_update().is_connected());

    let run = client.exec("kill -9 $PPID").await;
    let error = timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(matches!(stream_error(&error), StreamError::Lost(SshError::Disconnected { .. })), "{error:?}");
    timeout(DEADLINE, link.wait_for(|link| matches!(link, Link::Disconnected { cause: Some(_), .. })))
        .await
        .unwrap()
        .unwrap();
    let mut written = Ok(());
    while written.is_ok() {
        written = stream.write_all(b"x").await;
        tokio::task::yield_now().await;
    }
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    if let Ok(run) = run {
        assert!(run.exit.wait().await.is_err_and(|error| error.is_transient()));
    }

    let mut stream = client.dial("127.0.0.1", far.port).await.unwrap();
    stream.write_all(b"y").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'y');
    assert!(client.link().borrow().is_connected());
    assert_eq!(server.accepted(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_holds_nobody_up_and_later_reads_all() {
    // More than our memory and russh's queue hold together, so that it must be on disk.
    const STALLED: usize = 48 << 20;
    const FAST: usize = 4 << 20;
    let server = Sshd::start("");
    let client = server.client();
    let stalled_end = FarEnd::source(STALLED).await;
    let fast_end = FarEnd::source(FAST).await;
    let mut stalled = client.dial("127.0.0.1", stalled_end.port).await.unwrap();
    // The far end has sent all of it, so it waits with us: more than memory holds, and nobody has read a byte.
    eventually("all sent", || stalled_end.sent() == STALLED).await;
    let expected = pattern(0, STALLED);
    let fast = (0..50).map(|_| async {
        let mut stream = client.dial("127.0.0.1", fast_end.port).await.unwrap();
        let mut found = Vec::new();
        stream.read_to_end(&mut found).await.unwrap();
        Some(found.as_slice()) == expected.get(..FAST)
    });
    let finished = timeout(DEADLINE, join_all(fast)).await.unwrap();
    assert_eq!(finished, vec![true; 50]);
    assert_eq!(server.accepted(), 1);
    let mut found = Vec::new();
    timeout(DEADLINE, stalled.read_to_end(&mut found)).await.unwrap().unwrap();
    assert!(found == expected);
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_and_its_stream_closed() {
    let server = Sshd::start("");
    let mut options = server.options();
    (options.limits.stream_memory, options.limits.stream_disk) = (64 << 10, 256 << 10);
    let client = client(&options);
    let far = FarEnd::source(64 << 20).await;
    let mut stream = client.dial("127.0.0.1", far.port).await.unwrap();
    eventually("closed stream", || far.accepted() == 1 && far.open() == 0).await;
    assert!(far.sent() < 64 << 20);
    let mut found = Vec::new();
    let error = stream.read_to_end(&mut found).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    assert!(matches!(stream_error(&error), StreamError::TooSlow { bound: 262_144 }), "{error:?}");
    // What it did get is the right beginning.
    assert!(!found.is_empty() && found == pattern(0, found.len()));
    // The connection goes on.
    assert!(client.exec("true").await.is_ok());
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_far_end_that_does_not_read_makes_the_writer_wait() {
    let server = Sshd::start("");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = server.client().dial("127.0.0.1", listener.local_addr().unwrap().port()).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    let mut written = 0;
    let piece = pattern(0, 64 << 10);
    // The far window, the sockets between, and a little of ours: some megabytes.
    while timeout(std::time::Duration::from_millis(500), stream.write_all(&piece)).await.is_ok() {
        written += piece.len();
        assert!(written < 64 << 20, "nothing holds the writer back");
    }
    assert!(written > 0);
    let mut read = vec![0; written];
    far.read_exact(&mut read).await.unwrap();
    assert!(read.chunks(piece.len()).all(|chunk| chunk == piece));
}

#[tokio::test]
async fn a_cancelled_dial_leaves_nothing_open() {
    let server = Sshd::start("");
    let far = FarEnd::swallow().await;
    let client = server.client();
    client.connect().await.unwrap();
    for _ in 0..100 {
        let mut dial = Box::pin(client.dial("127.0.0.1", far.port));
        // Far enough to ask the server, not far enough to hear from it.
        assert!(futures_util::poll!(&mut dial).is_pending());
        drop(dial);
    }
    eventually("arrival of all hundred", || far.accepted() == 100).await;
    eventually("end of all hundred", || far.open() == 0).await;
}

#[tokio::test]
async fn an_end_in_one_direction_leaves_the_other_open() {
    let server = Sshd::start("");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = server.client().dial("127.0.0.1", listener.local_addr().unwrap().port()).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    stream.write_all(b"question").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(stream.write_all(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    let mut question = String::new();
    far.read_to_string(&mut question).await.unwrap();
    far.write_all(b"answer").await.unwrap();
    drop(far);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
}

#[tokio::test]
async fn closing_ends_every_stream_and_every_task() {
    let server = Sshd::start("");
    let far = FarEnd::echo().await;
    let tasks = TaskTracker::new();
    let client = SshClient::new(&server.options(), tasks.clone()).unwrap();
    let mut stream = client.dial("127.0.0.1", far.port).await.unwrap();
    let run = client.exec("exec sleep 5").await.unwrap();
    client.close().await;
    assert!(timeout(DEADLINE, stream.read_u8()).await.unwrap().is_err());
    assert!(matches!(client.dial("127.0.0.1", far.port).await, Err(SshError::Closed { .. })));
    assert!(matches!(*client.link().borrow(), Link::Disconnected { cause: None, .. }));
    drop((stream, run));
    tasks.close();
    timeout(DEADLINE, tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn new_keys_in_the_middle_of_a_stream_change_nothing() {
    let server = Sshd::start("RekeyLimit 1M");
    let far = FarEnd::source(24 << 20).await;
    let client = server.client();
    let read = || async {
        let mut stream = client.dial("127.0.0.1", far.port).await.unwrap();
        let mut found = Vec::new();
        stream.read_to_end(&mut found).await.unwrap();
        found == pattern(0, 24 << 20)
    };
    let finished = timeout(DEADLINE, join_all((0..4).map(|_| read()))).await.unwrap();
    assert_eq!(finished, [true; 4]);
    assert_eq!(server.accepted(), 1);
}
