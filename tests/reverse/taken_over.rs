//! A tunnel breaks and we do not hear of it, while another user takes its port on the far side.

use crate::scene::{first_answer, on_laptop, tunnels};
use crate::support::left::wait_until_nothing_runs;
use crate::support::scene::{ends_well, soon};
use crate::support::{ChildGuard, Cluster, HostName};

/// Takes the port, and says of each connection whether anything was sent to it.
const THIEF: &str = r#"
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
print("listening", file=sys.stderr, flush=True)
while True:
    connection, _ = listener.accept()
    try:
        sent = connection.recv(65536)
    except OSError:
        sent = b""
    print("was sent" if sent else "was sent nothing", sent, file=sys.stderr, flush=True)
    connection.close()
"#;

/// Where the tunnel ends: the port, and the pid of the sshd that has it.
fn far_end(cluster: &Cluster) -> (String, String) {
    let sockets = cluster.on(HostName::Login, &["ss", "-Hltnp"]);
    let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
    let socket = sockets.lines().find(|line| line.contains(" 127.0.0.1:") && line.contains("\"sshd\""));
    let socket = socket.unwrap_or_else(|| panic!("no end of a tunnel in {sockets}"));
    let between = |before: &str, after: char| {
        let rest = socket.split_once(before).map(|(_, rest)| rest.chars().take_while(|c| *c != after).collect());
        rest.unwrap_or_else(|| panic!("no {before} in {socket}"))
    };
    (between("127.0.0.1:", ' '), between("pid=", ','))
}

#[tokio::test]
async fn nothing_is_sent_to_whoever_takes_the_port_of_a_broken_tunnel() {
    let cluster = Cluster::up();
    let proxy = on_laptop(&cluster, &["--route", "reverse"]).start().await;
    first_answer(&proxy).await;
    let (port, sshd) = far_end(&cluster);
    let [ssh] = <[String; 1]>::try_from(tunnels(&cluster)).unwrap_or_else(|all| panic!("one tunnel, and not {all:?}"));
    // The job's end of it says nothing any more, as if its node had gone.
    assert!(cluster.on(HostName::Node1, &["kill", "-STOP", &ssh]).status.success());
    assert!(cluster.on(HostName::Login, &["kill", "-KILL", &sshd]).status.success());
    let mut thief = cluster.command(HostName::Login, "/usr/bin/python3");
    let thief = ChildGuard::start("the thief", thief.args(["-c", THIEF, &port]));
    thief.stderr().wait_for("listening", soon()).await;

    first_answer(&proxy).await;
    thief.stderr().wait_for("was sent nothing", soon()).await;
    let said = thief.stderr().so_far().join("\n");
    assert!(!said.contains("was sent b"), "{said}");
    assert_ne!(far_end(&cluster).0, port);
    assert!(cluster.on(HostName::Node1, &["kill", "-CONT", &ssh]).status.success());
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}
