//! The first route that leads to the engine is taken, and what was seen on those before it is said.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use test_case::test_case;

use crate::fence::{nodes_reach_no, nodes_take_only};
use crate::scene::{Route, first_answer, hide_programs, proxy};
use crate::support::scene::{chat, ends_well, wait_until_nothing_is_left};
use crate::support::{Cluster, HostName};

/// Where slurmd listens.
const SLURMD: u16 = 6818;

async fn taken_by_auto(cluster: &Cluster) -> Route {
    let proxy = proxy(cluster, "auto").start().await;
    let route = first_answer(&proxy).await;
    ends_well(proxy).await;
    route
}

/// That these were tried in vain first, and why.
#[track_caller]
fn saw(route: &Route, taken: &str, whys: &[(&str, &str)]) {
    assert_eq!(route.taken, taken, "{route:?}");
    for (name, why) in whys {
        let told = route.passed_over.iter().find(|told| told.starts_with(&format!("{name}: ")));
        assert!(told.is_some_and(|told| told.contains(why)), "{why:?} of {name} in {route:?}");
    }
}

#[tokio::test]
async fn direct_where_nothing_is_forbidden() {
    let route = taken_by_auto(&Cluster::up()).await;
    saw(&route, "direct", &[]);
    assert_eq!(route.passed_over, Vec::<String>::new());
}

/// By bash alone, and by `nc` where there is one.
#[tokio::test]
async fn nested_by_a_command_where_the_login_host_forwards_nothing() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding no").up();
    hide_programs(&cluster, &["nc", "netcat", "socat"]);
    saw(&taken_by_auto(&cluster).await, "nested", &[("direct", "does not allow a connection to node1:")]);

    // One that notes that it was called.
    let (nc, called) = (cluster.share().join("bin/nc"), cluster.home().join("called"));
    let script = format!("#!/bin/sh\necho \"$*\" >>'{}'\nexec /bin/nc \"$@\"\n", called.display());
    fs::write(&nc, script).expect("a file in the share");
    fs::set_permissions(&nc, fs::Permissions::from_mode(0o755)).expect("our file");
    saw(&taken_by_auto(&cluster).await, "nested", &[("direct", "does not allow a connection to node1:")]);
    let called = fs::read_to_string(&called).expect("nc was called");
    assert!(called.lines().all(|line| line == "node1 22"), "{called}");
}

/// On the laptop, other machines have the node's name: one with a key of its own, and all of them by one pattern.
#[tokio::test]
async fn nested_to_the_node_and_to_no_namesake_that_the_laptop_knows() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding no").up();
    let known = fs::read_to_string(cluster.known_hosts()).expect("the laptop's file");
    let login = known.lines().find(|line| line.starts_with("login,")).expect("login's line");
    let (_, namesakes_key) = login.split_once(' ').expect("a key");
    let lines = format!("{login}\nnode1 {namesakes_key}\nnode? {namesakes_key}\n");
    fs::write(cluster.known_hosts(), &lines).expect("the laptop's file");
    saw(&taken_by_auto(&cluster).await, "nested", &[("direct", "does not allow a connection to node1:")]);
    assert_eq!(fs::read_to_string(cluster.known_hosts()).expect("the laptop's file"), lines);
}

#[tokio::test]
async fn nested_where_the_login_host_forwards_to_nothing_useful() {
    let cluster = Cluster::builder().sshd_option("PermitOpen 127.0.0.1:9").up();
    saw(&taken_by_auto(&cluster).await, "nested", &[("direct", "does not allow a connection to node1:")]);
}

#[tokio::test]
async fn nested_where_nodes_take_only_ssh() {
    let cluster = Cluster::up();
    nodes_take_only(&cluster, &[22, SLURMD]);
    saw(&taken_by_auto(&cluster).await, "nested", &[("direct", "refused")]);
}

#[tokio::test]
async fn relay_where_nodes_take_nothing() {
    let cluster = Cluster::up();
    nodes_take_only(&cluster, &[SLURMD]);
    nodes_reach_no(&cluster, &[22]);
    saw(&taken_by_auto(&cluster).await, "relay", &[("direct", "refused"), ("nested", "refused")]);
}

#[tokio::test]
async fn relay_where_nodes_let_nobody_in_and_nothing_is_forwarded() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding no").node_sshd_option("DenyUsers *").up();
    nodes_reach_no(&cluster, &[22]);
    let whys = [("direct", "does not allow a connection to node1:"), ("nested", "node1")];
    saw(&taken_by_auto(&cluster).await, "relay", &whys);
}

/// All of them are named, with what was seen on each, to whoever asked.
#[tokio::test]
async fn no_route_where_there_is_no_python_either() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding no").node_sshd_option("DenyUsers *").up();
    nodes_reach_no(&cluster, &[22]);
    hide_programs(&cluster, &["python"]);
    let proxy = proxy(&cluster, "auto").start().await;
    let answer = proxy.client().post("/v1/chat/completions", &chat(false)).await;
    let text = answer.text();
    assert!(answer.status == 503, "{} {text}", answer.status);
    for word in ["direct: ", "does not allow a connection", "nested: ", "relay: ", "no python3"] {
        assert!(text.contains(word), "{word:?} in {text}");
    }
    ends_well(proxy).await;
    // What was tried in vain over its last connection ends a moment after it.
    wait_until_nothing_is_left(&cluster, 20).await;
    assert!(cluster.on(HostName::Login, &["true"]).status.success());
}

/// A Python that takes longer to come up than any probe of an engine may take, as from a network's file system.
#[test_case("relay")]
#[test_case("auto")]
#[tokio::test]
async fn a_relay_that_is_slow_to_start_is_started_once(route: &str) {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding no").node_sshd_option("DenyUsers *").up();
    let (bin, called) = (cluster.share().join("bin"), cluster.home().join("called"));
    fs::create_dir(&bin).expect("a new folder");
    let script = format!("#!/bin/sh\necho called >>'{}'\nsleep 8\nexec /usr/bin/python3 \"$@\"\n", called.display());
    fs::write(bin.join("python3"), script).expect("a file in the share");
    fs::set_permissions(bin.join("python3"), fs::Permissions::from_mode(0o755)).expect("our file");
    let line = format!("export PATH={}:$PATH\n", bin.display());
    fs::write(cluster.home().join(".bashrc"), line).expect("a file in the user's home");

    let proxy = proxy(&cluster, route).start().await;
    assert_eq!(first_answer(&proxy).await.taken, "relay");
    ends_well(proxy).await;
    assert_eq!(fs::read_to_string(called).expect("it was called"), "called\n");
}

/// More of them than are read of an answer: a large cluster's, or those of many years.
#[tokio::test]
async fn nested_where_the_login_host_knows_thousands_of_hosts() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding no").up();
    let file = cluster.home().join(".ssh/known_hosts");
    let known = fs::read_to_string(&file).expect("the user's file");
    let key = known.lines().find_map(|line| line.split_once(" ssh-ed25519 ")).expect("a key").1.to_owned();
    let many: Vec<_> = (0..4000).map(|number| format!("other{number} ssh-ed25519 {key}\n")).collect();
    fs::write(&file, known + &many.concat()).expect("the user's file");
    saw(&taken_by_auto(&cluster).await, "nested", &[("direct", "does not allow a connection to node1:")]);
}

/// Nobody on the login host has ever been on the node; the job has.
#[tokio::test]
async fn nested_by_the_key_that_the_job_itself_saw() {
    let cluster = Cluster::builder()
        .sshd_option("AllowTcpForwarding no")
        // The machine's own, which is where the job looks.
        .node_sshd_option("HostKey /etc/ssh/ssh_host_ecdsa_key")
        .node_sshd_option("HostKeyAlgorithms ecdsa-sha2-nistp256")
        .up();
    let file = cluster.home().join(".ssh/known_hosts");
    let known = fs::read_to_string(&file).expect("the user's file");
    let others: String = known.split_inclusive('\n').filter(|line| !line.starts_with("node")).collect();
    assert_ne!(known, others, "the node was known");
    fs::write(&file, others).expect("the user's file");
    saw(&taken_by_auto(&cluster).await, "nested", &[("direct", "does not allow a connection to node1:")]);
}
