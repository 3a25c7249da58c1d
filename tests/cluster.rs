//! The cluster that the other tests stand on: who reaches whom, and that Slurm gives what is asked for.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::process::Command;

use support::{ChildGuard, Cluster, Deadline, HostName};

/// Whether `from` can open a TCP connection to `address`'s SSH port.
fn reaches(cluster: &Cluster, from: HostName, address: &str) -> bool {
    let script = format!("exec 3<>/dev/tcp/{address}/22");
    cluster.on(from, &["timeout", "5", "bash", "-c", &script]).status.success()
}

/// What `ssh login COMMAND` from the laptop prints.
fn ssh(cluster: &Cluster, command: &str) -> String {
    let output = cluster
        .laptop_command("ssh")
        .arg("-F")
        .arg(cluster.ssh_config())
        .args(["login", command])
        .output()
        .expect("ssh can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

#[test]
fn the_laptop_reaches_login_and_nothing_else() {
    let cluster = Cluster::up();
    let (login, node1, node2) =
        (cluster.address(HostName::Login), cluster.address(HostName::Node1), cluster.address(HostName::Node2));
    assert!(reaches(&cluster, HostName::Laptop, login));
    assert!(!reaches(&cluster, HostName::Laptop, node1));
    assert!(!reaches(&cluster, HostName::Laptop, node2));
    assert!(!reaches(&cluster, HostName::Laptop, cluster.login_inner_address()));
    assert!(reaches(&cluster, HostName::Login, node1));
    assert!(reaches(&cluster, HostName::Node1, node2));
    assert!(reaches(&cluster, HostName::Node1, cluster.login_inner_address()));
}

#[test]
fn a_node_has_no_route_to_the_laptop() {
    let cluster = Cluster::up();
    let laptop = cluster.address(HostName::Laptop);
    for node in [HostName::Node1, HostName::Node2] {
        let route = cluster.on(node, &["ip", "route", "get", laptop]);
        assert!(!route.status.success(), "{}", String::from_utf8_lossy(&route.stdout));
    }
    assert!(cluster.on(HostName::Login, &["ip", "route", "get", laptop]).status.success());
}

#[test]
fn a_job_asked_for_over_ssh_gets_a_gpu_on_a_node() {
    let cluster = Cluster::up();
    let said = ssh(&cluster, "srun --mem=30G --gres=gpu:1 sh -c 'hostname; id -un; echo gpu $CUDA_VISIBLE_DEVICES'");
    assert_eq!(said, format!("node1\n{}\ngpu 0", cluster.user()));
}

#[test]
fn the_second_job_for_the_last_gpu_waits_in_the_queue() {
    let cluster = Cluster::up();
    let submit = ["sbatch", "--parsable", "--gres=gpu:1", "--nodes=2", "--gpus-per-node=1", "--wrap", "sleep 600"];
    let first = cluster.say(HostName::Login, &submit);
    let second = cluster.say(HostName::Login, &submit);
    assert_ne!(first, second);
    let reason = cluster.say(HostName::Login, &["squeue", "-h", "-j", &second, "-o", "%T"]);
    assert_eq!(reason, "PENDING");
    cluster.say(HostName::Login, &["scancel", &first, &second]);
}

#[test]
fn two_clusters_stand_side_by_side() {
    let (one, two) = (Cluster::up(), Cluster::up());
    assert_ne!(one.user(), two.user());
    assert_ne!(one.address(HostName::Login), two.address(HostName::Login));
    assert!(!reaches(&one, HostName::Laptop, two.address(HostName::Login)));
    one.say(HostName::Login, &["sbatch", "--job-name", "only-here", "--wrap", "sleep 600"]);
    assert!(one.jobs().iter().any(|job| job.ends_with("only-here")), "{:?}", one.jobs());
    assert_eq!(two.jobs(), Vec::<String>::new());
    assert_eq!(ssh(&two, "srun hostname"), "node1");
}

#[test]
fn a_login_host_can_forbid_forwarding() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding no").up();
    let node = format!("{}:22", cluster.address(HostName::Node1));
    // With its standard input at its end, ssh may leave before it hears the answer.
    let line = format!("sleep 3 | ssh -F '{}' -W {node} login", cluster.ssh_config().display());
    let forwarded = cluster.laptop_command("sh").args(["-c", &line]).output().expect("ssh can be run");
    let words = String::from_utf8_lossy(&forwarded.stderr);
    assert!(words.contains("administratively prohibited"), "{words}");
}

#[test]
fn login_and_the_nodes_share_homes_but_not_tmp() {
    let cluster = Cluster::up();
    cluster.say(HostName::Login, &["sh", "-c", "echo home >$HOME/note; echo login >/tmp/note"]);
    assert_eq!(cluster.say(HostName::Node1, &["sh", "-c", "cat $HOME/note; ls /tmp"]), "home");
    assert_eq!(ssh(&cluster, "cat /tmp/note"), "login");
}

#[tokio::test]
async fn a_test_talks_to_an_engine_inside() {
    let cluster = Cluster::up();
    let mut command = cluster.user_command(HostName::Node2, cluster.engine());
    let engine = ChildGuard::start("the engine on node2", command.args(["--host", "0.0.0.0", "--port", "8000"]));
    engine.stderr().wait_for("listening on", Deadline::in_seconds(10)).await;
    let address = format!("{}:8000", cluster.address(HostName::Node2));
    let client = cluster.client(HostName::Login, &address).await;
    let models = client.get("/v1/models").await.ok();
    assert_eq!(models.pointer("/data/0/id"), Some(&"test-model".into()));
    assert_eq!(client.get("/bytes?n=1000000").await.body.len(), 1_000_000);
}

#[tokio::test]
async fn a_command_on_the_laptop_is_reached_by_requests_and_signals() {
    let cluster = Cluster::up();
    let mut command = cluster.laptop_command(support::engine_path());
    let mut engine = ChildGuard::start("the engine on the laptop", command.args(["--port", "0"]));
    let line = engine.stderr().wait_for("listening on http://", Deadline::in_seconds(10)).await;
    let address = line.rsplit('/').next().expect("an address");
    let client = cluster.client(HostName::Laptop, address).await;
    let stats = client.get("/stats").await.ok();
    assert_eq!(stats.pointer("/pid"), Some(&engine.pid().into()));
    engine.signal("TERM");
    assert!(engine.wait(Deadline::in_seconds(10)).await.success());
}

#[test]
fn a_cluster_that_is_down_leaves_nothing_behind() {
    let cluster = Cluster::up();
    let (user, home) = (cluster.user().to_owned(), cluster.home().to_owned());
    let orphan = "setsid sleep 600 >/dev/null 2>&1 & echo $!";
    let on_login = cluster.say(HostName::Login, &["sh", "-c", orphan]);
    let in_a_job = cluster.say(HostName::Login, &["srun", "sh", "-c", orphan]);
    assert!(is_alive(&on_login));
    drop(cluster);
    assert!(!is_alive(&on_login) && !is_alive(&in_a_job));
    assert!(!home.exists());
    let id = Command::new("id").arg(&user).output().expect("id can be run");
    assert!(!id.status.success(), "the user {user} is still there");
    let namespaces = Command::new("ip").args(["netns", "list"]).output().expect("ip can be run");
    let prefix = user.trim_end_matches("-alice");
    assert!(!String::from_utf8_lossy(&namespaces.stdout).contains(&format!("{prefix}-")));
}

/// Whether a process runs; one that is dead but not yet waited for does not.
fn is_alive(pid: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| !words.is_empty())
}
