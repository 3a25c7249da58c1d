//! An engine that listens on a Unix socket: which routes carry it, and that nobody else on its node can reach it.

use std::time::Duration;

use test_case::test_case;
use tokio::time::timeout;

use crate::scene::{Route, first_answer};
use crate::support::left::wait_until_nothing_runs;
use crate::support::scene::{chat, ends_well, slurm_proxy};
use crate::support::{Cluster, HostName, Proxy};

/// What `find` says of the folders of sockets on the node: their modes and owners.
fn folders(cluster: &Cluster) -> String {
    let find = ["find", "/tmp", "-maxdepth", "1", "-name", "llm-proxy-*", "-printf", "%m %u %p\n"];
    String::from_utf8_lossy(&cluster.on(HostName::Node1, &find).stdout).into_owned()
}

/// What a connection to the socket comes to for `user`.
fn connects(cluster: &Cluster, user: &str, socket: &str) -> String {
    let script = "import socket, sys\ntry: socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n\
                  except OSError as error: print(type(error).__name__)\nelse: print('connected')";
    let words = ["setpriv", "--reuid", user, "--clear-groups", "/usr/bin/python3", "-c", script, socket];
    let said = cluster.on(HostName::Node1, &words);
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

/// Only its user can reach the engine, by its socket alone.
fn is_closed_to_others(cluster: &Cluster) {
    let seen = folders(cluster);
    let [mode, owner, folder] = seen.split_whitespace().collect::<Vec<_>>()[..] else { panic!("one folder: {seen:?}") };
    assert_eq!((mode, owner), ("700", cluster.user()));
    let socket = format!("{folder}/engine.sock");
    assert_eq!(connects(cluster, cluster.user(), &socket), "connected");
    assert_eq!(connects(cluster, "nobody", &socket), "PermissionError");
    let sockets = cluster.on(HostName::Node1, &["ss", "-Hltnp"]);
    let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
    assert!(!sockets.contains("\"test-engine\""), "{sockets}");
}

async fn serve(cluster: &Cluster, route: &str) -> (Proxy, Route) {
    let options = ["--engine-socket", "--srun-arg", "--nodelist=node1", "--route", route];
    let proxy = slurm_proxy(cluster, &options, &["--uds", "{socket}"]).start().await;
    let route = first_answer(&proxy).await;
    (proxy, route)
}

#[test_case("nested")]
#[test_case("reverse")]
#[test_case("relay")]
#[tokio::test]
async fn it_is_carried_by(route: &str) {
    let cluster = Cluster::up();
    let (proxy, taken) = serve(&cluster, route).await;
    assert_eq!(taken.taken, route);
    is_closed_to_others(&cluster);
    let streamed = async { proxy.client().stream("/v1/chat/completions", &chat(true)).await.events().await };
    let (events, complete) = timeout(Duration::from_mins(1), streamed).await.expect("in time");
    assert!(complete && events.last().is_some_and(|last| last == "data: [DONE]"), "{events:?}");
    let warned = proxy.lines().so_far().join("\n").contains("ends at a port that others there can dial");
    assert_eq!(warned, route == "reverse");
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 10).await;
    assert_eq!(folders(&cluster), "", "a folder is left");
}

#[tokio::test]
async fn what_cannot_carry_it_or_opens_a_port_is_passed_over() {
    let cluster = Cluster::builder().node_sshd_option("DenyUsers *").up();
    let (proxy, Route { taken, passed_over }) = serve(&cluster, "auto").await;
    assert_eq!(taken, "relay", "{passed_over:?}");
    let said = |name: &str, why: &str| passed_over.iter().any(|one| one.starts_with(name) && one.contains(why));
    assert!(said("direct: ", "only its own node can reach"), "{passed_over:?}");
    assert!(said("reverse: ", "a port that others there can dial"), "{passed_over:?}");
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 10).await;
}

/// No job: the host that is logged in to is the engine's own machine.
#[test_case("yes", "direct")]
#[test_case("no", "relay")]
#[tokio::test]
async fn on_the_login_host_itself(forwarding: &str, route: &str) {
    let cluster = Cluster::builder().sshd_option(&format!("AllowStreamLocalForwarding {forwarding}")).up();
    let proxy = Proxy::builder()
        .on_laptop(&cluster)
        .options(["--engine-socket"])
        .command([cluster.engine().display().to_string()])
        .command(["--uds", "{socket}"])
        .start()
        .await;
    let seen = first_answer(&proxy).await;
    assert_eq!(seen.taken, route, "{seen:?}");
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 10).await;
}
