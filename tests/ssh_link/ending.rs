//! How connections end, and that the next request does not mind.

use std::time::{Duration, Instant};

use llm_proxy::ssh::{Link, SshClient, SshError, SshOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_case::test_case;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::far_end::{FarEnd, assert_echo};
use crate::relay::{Manner, Relay};
use crate::sshd::{DEADLINE, Sshd, eventually};

/// The shortest keep-alive there is: dead after three seconds of silence.
const SHORT: &str = "ServerAliveInterval 1\nServerAliveCountMax 2\n";
const SILENCE: Duration = Duration::from_secs(3);

/// How much later than that it may be found out, on a machine with other things to do.
const SLACK: Duration = Duration::from_secs(4);

fn short_keep_alive(server: &Sshd, options: &SshOptions) -> SshClient {
    std::fs::write(server.path(".ssh/config"), SHORT).unwrap();
    SshClient::new(options, TaskTracker::new()).unwrap()
}

async fn until_lost(client: &SshClient) -> SshError {
    let mut link = client.link();
    let lost = timeout(DEADLINE, link.wait_for(|link| !link.is_connected())).await.unwrap().unwrap();
    let Link::Disconnected { cause: Some(cause), .. } = lost.clone() else { panic!("{lost:?}") };
    cause
}

#[tokio::test]
async fn an_idle_connection_that_the_server_ends_is_made_again_unseen() {
    let server = Sshd::start("UnusedConnectionTimeout 1s");
    let client = server.client();
    for number in 1..=2 {
        timeout(DEADLINE, client.exec("true")).await.unwrap().unwrap().exit.wait().await.unwrap();
        assert_eq!(server.accepted(), number);
        assert!(until_lost(&client).await.is_transient());
    }
    let far = FarEnd::echo().await;
    timeout(DEADLINE, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_stream_that_the_server_ends_is_told_and_the_next_one_opens() {
    let server = Sshd::start("ChannelTimeout direct-tcpip=1s");
    let far = FarEnd::echo().await;
    let client = server.client();
    for _ in 0..2 {
        let mut stream = timeout(DEADLINE, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap();
        assert_echo(&mut stream).await;
        assert!(timeout(DEADLINE, stream.read_u8()).await.unwrap().is_err());
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_server_that_asks_whether_we_live_is_answered() {
    let server = Sshd::start("ClientAliveInterval 1\nClientAliveCountMax 2");
    let client = server.client();
    client.connect().await.unwrap();
    let mut link = client.link();
    link.mark_unchanged();
    // Twice as long as it would take to be given up.
    assert!(timeout(Duration::from_secs(6), link.changed()).await.is_err(), "{:?}", *link.borrow());
    client.exec("true").await.unwrap();
    assert_eq!(server.accepted(), 1);
}

#[test_case(Manner::Swallow, false; "idle")]
#[test_case(Manner::Swallow, true; "while an upload goes nowhere")]
#[test_case(Manner::Block, true; "while an upload is stuck")]
#[tokio::test]
async fn a_link_that_is_dead_and_does_not_say_so_is_found_out(manner: Manner, uploading: bool) {
    let server = Sshd::start("");
    let relay = Relay::before(server.port, Manner::Pass).await;
    let client = short_keep_alive(&server, &relay.options(&server));
    let far = FarEnd::swallow().await;
    let mut stream = timeout(DEADLINE, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap();
    if uploading {
        let piece = vec![7; 64 << 10];
        stream.write_all(&piece).await.unwrap();
        relay.set(manner);
        // The far window ends it, or the sockets do; then it hangs, until all ends.
        tokio::spawn(async move { while stream.write_all(&piece).await.is_ok() {} });
    } else {
        relay.set(manner);
    }
    let begun = Instant::now();
    // It is not known yet, so this asks a server that never answers.
    let error = timeout(DEADLINE, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap_err();
    assert!(error.is_transient() && error.is_link_loss(), "{error:?}");
    assert!(begun.elapsed() < SILENCE + SLACK, "{:?}", begun.elapsed());
    assert!(until_lost(&client).await.to_string().contains("no longer answers"));
    relay.set(Manner::Pass);
    timeout(DEADLINE, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap();
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_server_that_stands_still_is_found_out() {
    let server = Sshd::start("");
    let client = short_keep_alive(&server, &server.options());
    let mut run = timeout(DEADLINE, client.exec("echo $PPID; exec sleep 60")).await.unwrap().unwrap();
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(run.stdout.read_u8().await.unwrap());
    }
    let session = Pid::from_raw(String::from_utf8(line).unwrap().trim().parse().unwrap());
    kill(session, Signal::SIGSTOP).unwrap();
    let begun = Instant::now();
    let ended = timeout(DEADLINE, run.exit.wait()).await;
    kill(session, Signal::SIGKILL).unwrap();
    assert!(ended.unwrap().unwrap_err().to_string().contains("no longer answers"));
    assert!(begun.elapsed() < SILENCE + SLACK, "{:?}", begun.elapsed());
    timeout(DEADLINE, client.exec("true")).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_whose_answer_stands_behind_much_else_is_not_given_up_after_a_sleep() {
    const LENGTH: usize = 3 << 19;
    let server = Sshd::start("");
    let relay = Relay::before(server.port, Manner::Pass).await;
    let far = FarEnd::source(LENGTH).await;
    let client = relay.client(&server);
    timeout(DEADLINE, client.connect()).await.unwrap().unwrap();
    relay.set(Manner::Trickle(12 << 10));
    let mut stream = timeout(DEADLINE, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap();
    eventually("a full window", || far.sent() >= 1 << 20).await;
    // All that runs here stands still, as under a lid, for as long as a sleep is told from a busy machine.
    std::thread::sleep(Duration::from_millis(4500));
    let begun = Instant::now();
    let mut found = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut found)).await.unwrap().unwrap();
    assert_eq!(found.len(), LENGTH);
    // Longer than a server may be silent when it is asked whether it lives.
    assert!(begun.elapsed() > Duration::from_secs(7), "{:?}", begun.elapsed());
    assert!(client.link().borrow().is_connected());
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_server_that_is_silent_after_a_sleep_is_given_up_at_once() {
    let server = Sshd::start("");
    let relay = Relay::before(server.port, Manner::Pass).await;
    let client = relay.client(&server);
    timeout(DEADLINE, client.connect()).await.unwrap().unwrap();
    relay.set(Manner::Swallow);
    std::thread::sleep(Duration::from_millis(4500));
    let begun = Instant::now();
    until_lost(&client).await;
    // Long before its keep-alive would find it out.
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}
