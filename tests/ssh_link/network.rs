//! What counts as a change of the network, in a network of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use llm_proxy::ssh::NetworkWatch;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::sshd::DEADLINE;

/// Set in the network of its own.
const INSIDE: &str = "TEST_IN_ITS_OWN_NETWORK";

async fn ip(words: &str) {
    let ran = Command::new("ip").args(words.split(' ')).output().await.unwrap();
    assert!(ran.status.success(), "ip {words}: {ran:?}; install Debian's iproute2");
}

/// The system takes a moment to see that a wire is plugged in.
async fn is_up(interface: &str) {
    let up = async {
        loop {
            let shown = Command::new("ip").args(["-o", "link", "show", interface]).output().await.unwrap();
            if String::from_utf8_lossy(&shown.stdout).contains(" state UP ") {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, up).await.unwrap();
}

/// An interface that has nothing to do with the host comes and goes.
async fn flap() {
    for number in 0.. {
        ip("link add other type veth peer name other-far").await;
        ip(&format!("addr add 198.51.100.{}/32 dev other", number % 250)).await;
        ip("link set other up").await;
        ip("link set other-far up").await;
        sleep(Duration::from_millis(700)).await;
        ip("link del other").await;
        sleep(Duration::from_millis(700)).await;
    }
}

async fn only_the_way_counts() {
    ip("link set lo up").await;
    ip("link add wire type veth peer name wire-far").await;
    ip("addr add 192.0.2.1/24 dev wire").await;
    ip("link set wire-far up").await;
    ip("link set wire up").await;
    is_up("wire").await;
    let host = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 22));
    let (mut to_host, mut anywhere) = (NetworkWatch::new([host]), NetworkWatch::new(None));
    let watching = async {
        assert!(timeout(Duration::from_secs(5), to_host.changed()).await.is_err(), "an interface elsewhere was told");
        timeout(DEADLINE, anywhere.changed()).await.unwrap();
    };
    tokio::select! { () = watching => {}, () = flap() => panic!("it flaps for ever") }
    // The host's own way goes, and comes again with the same address.
    ip("link set wire down").await;
    assert!(timeout(Duration::from_millis(1500), to_host.changed()).await.is_err(), "there is no way to be told of");
    ip("link set wire up").await;
    timeout(DEADLINE, to_host.changed()).await.unwrap();
}

#[tokio::test]
async fn only_the_way_to_the_host_counts_where_it_is_known() {
    if std::env::var_os(INSIDE).is_some() {
        return only_the_way_counts().await;
    }
    let name = "network::only_the_way_to_the_host_counts_where_it_is_known";
    let mut inside = Command::new("unshare");
    inside.arg("-rn").arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let ran = timeout(2 * DEADLINE, inside.kill_on_drop(true).output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{ran:?}; unshare -rn needs user namespaces");
}
