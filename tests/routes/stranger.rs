//! Another user of the engine's machine, who takes its port on an address that the engine does not hold.

use std::time::Duration;

use futures_util::future::join_all;
use test_case::test_case;

use crate::scene::{first_answer, proxy};
use crate::support::scene::chat;
use crate::support::scene::ends_well;
use crate::support::{ChildGuard, Cluster, Deadline, HostName};

/// Answers whoever comes to the port by IPv6, and prints what they say.
const STRANGER: &str = "
import socket, sys
ear = socket.socket(socket.AF_INET6)
ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
ear.bind(('::', int(sys.argv[1]))); ear.listen()
print('listens', flush=True)
while True:
    one, _ = ear.accept()
    print('heard', one.recv(4096), flush=True)
    one.sendall(b'HTTP/1.1 200 OK\\r\\ncontent-length: 8\\r\\nconnection: close\\r\\n\\r\\nstranger')
    one.close()
";

/// Login and node1 have IPv6 addresses, and login's users find node1 by both.
fn dual_stack(cluster: &Cluster) {
    let done = |host, words: &[&str]| {
        let said = cluster.on(host, words);
        assert!(said.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said.stderr));
    };
    done(HostName::Login, &["ip", "address", "add", "fd77::1/64", "dev", "inner", "nodad"]);
    done(HostName::Node1, &["ip", "address", "add", "fd77::2/64", "dev", "eth0", "nodad"]);
    done(HostName::Login, &["sh", "-c", "echo 'fd77::2 node1' >>/etc/hosts"]);
}

fn port_of_engine(cluster: &Cluster) -> String {
    let sockets = cluster.on(HostName::Node1, &["ss", "-Hltnp"]);
    let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
    let engine = sockets.lines().find(|line| line.contains("\"test-engine\""));
    let address = engine.and_then(|line| line.split_whitespace().nth(3)).expect("an engine that listens");
    address.rsplit_once(':').expect("a port").1.to_owned()
}

#[test_case(false; "which binds all of IPv4")]
#[test_case(true; "which binds one address")]
#[tokio::test]
async fn nothing_goes_to_who_takes_the_port_beside_the_engine(one_address: bool) {
    let cluster = Cluster::up();
    dual_stack(&cluster);
    let given = ["--target-host", cluster.address(HostName::Node1)];
    let options = if one_address { given.as_slice() } else { &[] };
    let proxy = proxy(&cluster, "auto").options(options.iter().copied()).start().await;
    assert_eq!(first_answer(&proxy).await.taken, "direct");

    let mut stranger = cluster.command(HostName::Node1, "setpriv");
    stranger.args(["--reuid", "nobody", "--clear-groups", "/usr/bin/python3", "-c", STRANGER]);
    stranger.arg(port_of_engine(&cluster));
    let stranger = ChildGuard::start("the stranger", &mut stranger);
    stranger.stdout().wait_for("listens", Deadline::in_seconds(10)).await;

    // At once: one connection may be left over from before.
    let body = chat(false);
    let asked = join_all((0..6).map(|_| proxy.client().post("/v1/chat/completions", &body)));
    let answers = tokio::time::timeout(Duration::from_mins(1), asked).await.expect("in time");
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() != "stranger"));
    assert_eq!(stranger.stdout().so_far(), ["listens"], "a stranger was asked");
    ends_well(proxy).await;
}
