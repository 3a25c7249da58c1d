//! What counts as a change of the network, in a network of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use llm_proxy::ssh::NetworkWatch;
use tokio::time::{sleep, timeout};

use crate::sshd::DEADLINE;

/// Set in the network of its own.
const INSIDE: &str = "TEST_IN_ITS_OWN_NETWORK";

fn ip(words: &str) {
    let ran = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(ran.status.success(), "ip {words}: {ran:?}; install Debian's iproute2");
}

/// An interface that has nothing to do with the host comes and goes.
async fn flap() {
    for number in 0.. {
        ip("link add other type veth peer name other-far");
        ip(&format!("addr add 198.51.100.{}/32 dev other", number % 250));
        ip("link set other up");
        ip("link set other-far up");
        sleep(Duration::from_millis(700)).await;
        ip("link del other");
        sleep(Duration::from_millis(700)).await;
    }
}

async fn only_the_way_counts() {
    ip("link set lo up");
    ip("link add wire type veth peer name wire-far");
    ip("addr add 192.0.2.1/24 dev wire");
    ip("link set wire-far up");
    ip("link set wire up");
    let host = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 22));
    let (mut to_host, mut anywhere) = (NetworkWatch::new([host]), NetworkWatch::new(None));
    let told = async {
        tokio::select! { () = to_host.changed() => {}, () = flap() => {} }
    };
    assert!(timeout(Duration::from_secs(5), told).await.is_err(), "an interface elsewhere was told");
    let told = async {
        tokio::select! { () = anywhere.changed() => {}, () = flap() => panic!() }
    };
    timeout(DEADLINE, told).await.unwrap();
    // The host's own way goes, and comes again with the same address.
    ip("link set wire down");
    assert!(timeout(Duration::from_millis(1500), to_host.changed()).await.is_err(), "there is no way to be told of");
    ip("link set wire up");
    timeout(DEADLINE, to_host.changed()).await.unwrap();
}

#[tokio::test]
async fn only_the_way_to_the_host_counts_where_it_is_known() {
    if std::env::var_os(INSIDE).is_some() {
        return only_the_way_counts().await;
    }
    let name = "network::only_the_way_to_the_host_counts_where_it_is_known";
    let mut inside = tokio::process::Command::new("unshare");
    inside.arg("-rn").arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let ran = timeout(2 * DEADLINE, inside.kill_on_drop(true).output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{ran:?}; unshare -rn needs user namespaces");
}
