//! How connections begin, and what becomes of those that do not.

use std::time::Duration;

use llm_proxy::ssh::{Person, SshClient, SshError, SshLimits, SshOptions};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::relay::{Manner, Relay};
use crate::sshd::{DEADLINE, Sshd, eventually};

/// Connects as soon as the pause after a failure allows it.
async fn connect_at_last(client: &SshClient) {
    let connecting = async {
        while let Err(error) = client.connect().await {
            assert!(error.is_transient(), "{error:?}");
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, connecting).await.unwrap();
}

/// How much a server says until a client of its is connected.
async fn whole_beginning(server: &Sshd, relay: &Relay) -> usize {
    let client = relay.client(server);
    client.connect().await.unwrap();
    let whole = relay.passed_on();
    client.close().await;
    whole
}

#[tokio::test]
async fn too_many_who_connect_at_once_are_turned_away_for_a_while() {
    let server = Sshd::start("MaxStartups 1:100:1");
    // Somebody connects and says nothing, and so takes the only place.
    let mut silent = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    silent.read_u8().await.unwrap();
    let client = server.client();
    let error = timeout(DEADLINE, client.connect()).await.unwrap().unwrap_err();
    assert!(matches!(error, SshError::TurnedAway { .. }), "{error:?}");
    assert!(error.is_transient() && error.remedy().unwrap().contains("wait some minutes"), "{error}");
    drop(silent);
    connect_at_last(&client).await;
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_beginning_that_is_cut_off_anywhere_is_no_refusal() {
    const POINTS: usize = 24;
    let server = Sshd::start("");
    let relay = Relay::before(server.port, Manner::Pass).await;
    let whole = whole_beginning(&server, &relay).await;
    for point in 0..POINTS {
        relay.set(Manner::CutAfter(whole * point / POINTS));
        let client = relay.client(&server);
        // What comes last is the warming command, which a connection can do without.
        if let Err(error) = timeout(DEADLINE, client.connect()).await.unwrap() {
            assert!(error.is_transient() && error.is_link_loss(), "{point} of {POINTS}: {error:?}");
            assert!(!error.to_string().is_empty());
        }
        relay.set(Manner::Pass);
        connect_at_last(&client).await;
        timeout(DEADLINE, client.exec("true")).await.unwrap().unwrap();
        client.close().await;
    }
    eventually("end of all connections", || relay.open() == 0).await;
}

#[tokio::test]
async fn an_attempt_that_is_given_up_anywhere_leaves_nothing_open() {
    const POINTS: usize = 12;
    let server = Sshd::start("");
    let relay = Relay::before(server.port, Manner::Pass).await;
    let whole = whole_beginning(&server, &relay).await;
    for point in 0..POINTS {
        let (before, most) = (relay.passed_on(), whole * point / POINTS);
        relay.set(Manner::HoldAfter(most));
        let tasks = TaskTracker::new();
        let client = llm_proxy::ssh::SshClient::new(&relay.options(&server), tasks.clone()).unwrap();
        let connecting = client.connect();
        let giving_up = async {
            eventually("point", || relay.open() == 1 && relay.passed_on() == before + most).await;
            client.close().await;
        };
        let (connected, ()) = timeout(DEADLINE, async { tokio::join!(connecting, giving_up) }).await.unwrap();
        assert!(matches!(connected, Err(SshError::Closed { .. })), "{point} of {POINTS}: {connected:?}");
        eventually("end of the connection", || relay.open() == 0).await;
        tasks.close();
        timeout(DEADLINE, tasks.wait()).await.unwrap();
    }
    // The server has seen the end of each as well.
    eventually("end of all at the server", || server.processes() == 0).await;
}

#[tokio::test]
async fn a_person_takes_the_place_of_an_attempt_that_hangs() {
    let server = Sshd::start("");
    let relay = Relay::before(server.port, Manner::HoldAfter(0)).await;
    let client = relay.client(&server);
    let nobody = tokio::spawn({
        let client = client.clone();
        async move { client.exec("true").await.map(drop) }
    });
    eventually("attempt", || relay.open() == 1).await;
    let (person, _asked) = Person::somebody(false);
    let with_person = tokio::spawn({
        let client = client.clone();
        async move { client.connect_with(&person).await }
    });
    // The first is given up, and the second one is there.
    eventually("attempt of the person", || relay.begun() == 2 && relay.open() == 1).await;
    // Who comes now waits for the person as well, and so does another person.
    let (other, _asked) = Person::somebody(false);
    let others = async { tokio::join!(client.connect(), client.connect_with(&other)) };
    let going_on = async {
        tokio::task::yield_now().await;
        relay.set(Manner::Pass);
    };
    let ((one, two), ()) = timeout(DEADLINE, async { tokio::join!(others, going_on) }).await.unwrap();
    one.unwrap();
    two.unwrap();
    timeout(DEADLINE, with_person).await.unwrap().unwrap().unwrap();
    timeout(DEADLINE, nobody).await.unwrap().unwrap().unwrap();
    assert_eq!((relay.begun(), server.accepted()), (2, 1));
}

#[tokio::test]
async fn who_waits_for_a_person_who_takes_long_is_told_so_and_the_person_may_still_answer() {
    let server = Sshd::start("");
    let relay = Relay::before(server.port, Manner::HoldAfter(0)).await;
    let mut options = relay.options(&server);
    options.limits.person_timeout = Duration::from_millis(300);
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    let (person, _asked) = Person::somebody(false);
    let with_person = tokio::spawn({
        let client = client.clone();
        async move { client.connect_with(&person).await }
    });
    eventually("attempt of the person", || relay.open() == 1).await;
    let told = timeout(DEADLINE, client.exec("true")).await.unwrap().unwrap_err();
    assert!(told.needs_person() && told.to_string().contains("is asking a person at a terminal"), "{told}");
    assert!(told.remedy().unwrap().contains("`llm-proxy login`"), "{told}");
    relay.set(Manner::Pass);
    timeout(DEADLINE, with_person).await.unwrap().unwrap().unwrap();
    client.exec("true").await.unwrap();
    assert_eq!(relay.begun(), 1);
}

#[tokio::test]
async fn a_person_is_not_answered_by_an_earlier_failure() {
    let server = Sshd::start("");
    let relay = Relay::before(server.port, Manner::CutAfter(0)).await;
    let client = relay.client(&server);
    client.connect().await.unwrap_err();
    relay.set(Manner::Pass);
    // Within the pause there is no attempt, and then there is one at once.
    client.connect().await.unwrap_err();
    let (person, _asked) = Person::somebody(false);
    client.connect_with(&person).await.unwrap();
    assert_eq!(relay.begun(), 2);
}

#[tokio::test]
async fn a_server_that_lets_us_in_and_ends_at_once_is_not_asked_again_and_again() {
    let server = Sshd::start("");
    let relay = Relay::before(server.port, Manner::Pass).await;
    let whole = whole_beginning(&server, &relay).await;
    relay.set(Manner::CutAfter(whole * 23 / 24));
    let client = relay.client(&server);
    for _ in 0..100 {
        let error = timeout(DEADLINE, client.dial("127.0.0.1", 1)).await.unwrap().unwrap_err();
        assert!(error.is_transient(), "{error:?}");
    }
    assert!((2..=5).contains(&server.accepted()), "{}", server.accepted());
}

#[tokio::test]
async fn a_hundred_requests_to_a_dead_host_are_few_attempts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Sshd::start("");
    let relay = Relay::before(listener.local_addr().unwrap().port(), Manner::CutAfter(0)).await;
    let client = relay.client(&server);
    for _ in 0..100 {
        let error = timeout(DEADLINE, client.dial("127.0.0.1", 1)).await.unwrap().unwrap_err();
        assert!(error.is_transient(), "{error:?}");
    }
    assert!(relay.begun() <= 3, "{}", relay.begun());
    // The pauses grow: in their first second there are not many.
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        client.connect().await.unwrap_err();
        tokio::task::yield_now().await;
    }
    let attempts = relay.begun();
    assert!((2..=6).contains(&attempts), "{attempts}");
    let next = async {
        while relay.begun() == attempts {
            client.connect().await.unwrap_err();
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, next).await.unwrap();
    // It was not the network that turned us away, so another network is no reason to ask again sooner.
    client.network_is_back();
    let error = client.connect().await.unwrap_err();
    assert!(matches!(error, SshError::TurnedAway { .. }), "{error:?}");
    assert_eq!(relay.begun(), attempts + 1);
}

#[tokio::test]
async fn a_network_that_is_back_shortens_the_pause_after_a_way_that_led_nowhere() {
    let server = Sshd::start("");
    let relay = Relay::before(server.port, Manner::Block).await;
    let options = relay.options(&server);
    let limits = SshLimits { handshake_timeout: Duration::from_millis(50), ..options.limits.clone() };
    let client = SshClient::new(&SshOptions { limits, ..options }, TaskTracker::new()).unwrap();
    let asking = async {
        // The next pause is one of seconds.
        while relay.begun() < 6 {
            client.connect().await.unwrap_err();
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, asking).await.unwrap();
    let begun = std::time::Instant::now();
    client.network_is_back();
    let next = async {
        while relay.begun() < 7 {
            client.connect().await.unwrap_err();
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, next).await.unwrap();
    // At most the first pause, where the one under way was longer than three seconds.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
