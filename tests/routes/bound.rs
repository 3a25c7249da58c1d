//! What the engine binds, settled by asking the login host before the job is asked for.

use test_case::test_case;

use crate::scene::{first_answer, proxy};
use crate::support::scene::ends_well;
use crate::support::{Cluster, HostName};

/// The addresses that the user's processes listen on, on the node.
fn listening(cluster: &Cluster) -> Vec<String> {
    let sockets = cluster.on(HostName::Node1, &["ss", "-Hltnp"]);
    let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
    let of_engine = sockets.lines().filter(|line| line.contains("\"test-engine\""));
    let address = |line: &str| line.split_whitespace().nth(3)?.rsplit_once(':').map(|(address, _)| address.to_owned());
    of_engine.filter_map(address).collect()
}

#[test_case("yes", &[], "0.0.0.0"; "where it may open channels to it")]
#[test_case("no", &[], "127.0.0.1"; "where it may not")]
#[test_case("no", &["--target-host", "0.0.0.0"], "0.0.0.0"; "what was asked for")]
#[tokio::test]
async fn the_engine_binds(forwarding: &str, options: &[&str], bound: &str) {
    let cluster = Cluster::builder().sshd_option(&format!("AllowTcpForwarding {forwarding}")).up();
    let proxy = proxy(&cluster, "auto").options(options.iter().copied()).start().await;
    first_answer(&proxy).await;
    assert_eq!(listening(&cluster), [bound]);
    ends_well(proxy).await;
}

/// Where the login host opens channels to this alone, and not to itself.
#[test_case("node1:* node2:*", "0.0.0.0", "direct"; "its nodes")]
#[test_case("127.0.0.1:9", "127.0.0.1", "nested"; "nothing useful")]
#[tokio::test]
async fn with_a_list_the_engine_binds(permitted: &str, bound: &str, route: &str) {
    let cluster = Cluster::builder().sshd_option(&format!("PermitOpen {permitted}")).up();
    let proxy = proxy(&cluster, "auto").start().await;
    assert_eq!(first_answer(&proxy).await.taken, route);
    assert_eq!(listening(&cluster), [bound]);
    ends_well(proxy).await;
}
