//! What `--deep` says of the ways to a node, and that a real `serve` then takes the one that it named.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use crate::fence::{nodes_reach_no, nodes_take_only};
use crate::patient::{Diagnosis, Patient};
use crate::scene::{first_answer, hide_programs, proxy};
use crate::support::left::wait_until_nothing_runs;
use crate::support::scene::{SRUN_ARGS, chat, ends_well, life_folders};
use crate::support::{Cluster, HostName};

/// Where slurmd listens.
const SLURMD: u16 = 6818;

/// Longer than a search in vain takes.
const LONG: Duration = Duration::from_mins(2);

/// The doctor's look at what `proxy` runs.
fn deep(cluster: &Cluster, more: &[&str]) -> Diagnosis {
    let config = cluster.ssh_config().to_str().expect("a plain name");
    let engine = cluster.engine().display().to_string();
    let login = format!("{}:22", cluster.login_inner_address());
    let words = ["--ssh-config", config, "--login", "login", "--use-slurm", "--deep", "--hub", &login];
    let args = ["--srun-args", SRUN_ARGS, "--srun-arg", "--nodelist=node1"];
    Patient::on_laptop(cluster).examine(&[&words, &args[..], more, &["--", &engine]].concat())
}

/// It is well, its round trip was measured, and where it ends was said.
#[track_caller]
fn leads(found: &Diagnosis, route: &str, address: &str) {
    let seen = found.is_ok(&format!("{route} route"));
    assert!(seen.starts_with(address) && seen.contains("a round trip takes "), "{seen}");
    let times = seen.split(" ms").filter_map(|text| text.rsplit(' ').next()?.parse::<f64>().ok());
    let times: Vec<f64> = times.collect();
    assert!(matches!(times.as_slice(), [next, first] if (0.0..5000.0).contains(next) && *first > 0.0), "{seen}");
}

/// A serve takes the route that was named.
async fn serve_takes(cluster: &Cluster, found: &Diagnosis, route: &str) {
    assert_eq!(found.is_ok("route"), format!("auto takes {route}"));
    found.is_ok("end of the job");
    wait_until_nothing_runs(cluster, 10).await;
    assert_eq!(life_folders(cluster), Vec::<String>::new());
    let proxy = proxy(cluster, "auto").start().await;
    assert_eq!(first_answer(&proxy).await.taken, route);
    ends_well(proxy).await;
    wait_until_nothing_runs(cluster, 10).await;
}

#[tokio::test]
async fn where_nothing_is_forbidden_all_lead_there() {
    let cluster = Cluster::up();
    let found = deep(&cluster, &[]);
    found.is_well();
    leads(&found, "direct", &format!("{}:", cluster.address(HostName::Node1)));
    for route in ["nested", "reverse", "relay"] {
        leads(&found, route, "127.0.0.1:");
    }
    serve_takes(&cluster, &found, "direct").await;
}

#[tokio::test]
async fn where_the_login_host_forwards_nothing() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding no").up();
    let found = deep(&cluster, &[]);
    found.is_well();
    found.warning("direct route", "does not allow a connection to node1:");
    found.warning("reverse route", "does not forward a port");
    leads(&found, "nested", "127.0.0.1:");
    leads(&found, "relay", "127.0.0.1:");
    serve_takes(&cluster, &found, "nested").await;
}

#[tokio::test]
async fn where_nodes_are_fenced_off() {
    let cluster = Cluster::up();
    nodes_take_only(&cluster, &[22, SLURMD]);
    let found = deep(&cluster, &[]);
    found.is_well();
    found.warning("direct route", "refused");
    leads(&found, "nested", "127.0.0.1:");
    leads(&found, "reverse", "127.0.0.1:");
    serve_takes(&cluster, &found, "nested").await;

    // Asked for by name, it is a fault, and the line that is printed cures it.
    let line = deep(&cluster, &["--route", "direct"]).fault("direct route", "refused");
    wait_until_nothing_runs(&cluster, 10).await;
    Patient::on_laptop(&cluster).call_again(&line);
    wait_until_nothing_runs(&cluster, 10).await;
}

#[tokio::test]
async fn where_nodes_take_nothing_and_do_not_reach_the_login_host() {
    let cluster = Cluster::up();
    nodes_take_only(&cluster, &[SLURMD]);
    nodes_reach_no(&cluster, &[22]);
    let found = deep(&cluster, &[]);
    found.is_well();
    found.warning("direct route", "refused");
    found.warning("nested route", "refused");
    found.warning("reverse route", "refused");
    leads(&found, "relay", "127.0.0.1:");
    serve_takes(&cluster, &found, "relay").await;
}

#[tokio::test]
async fn where_nothing_leads_there_it_is_a_fault_and_a_serve_says_the_same() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding no").node_sshd_option("DenyUsers *").up();
    nodes_reach_no(&cluster, &[22]);
    hide_programs(&cluster, &["python"]);
    let found = deep(&cluster, &[]);
    found.fault("route", "none leads");
    for (route, words) in [("direct", "does not allow"), ("nested", "node1"), ("reverse", ""), ("relay", "no python3")]
    {
        found.warning(&format!("{route} route"), words);
    }
    found.is_ok("end of the job");
    wait_until_nothing_runs(&cluster, 10).await;
    let proxy = proxy(&cluster, "auto").start().await;
    let body = chat(false);
    let asked = timeout(LONG, proxy.client().post("/v1/chat/completions", &body));
    let answer = asked.await.expect("an answer in time");
    assert!(answer.status == 503 && answer.text().contains("no python3"), "{}", answer.text());
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 10).await;
}

/// Nothing on the node can listen: that is said, and all else is told.
#[tokio::test]
async fn where_the_node_has_nothing_to_listen_with() {
    let cluster = Cluster::up();
    hide_programs(&cluster, &["python", "perl"]);
    let found = deep(&cluster, &[]);
    found.is_well();
    found.warning("route", "neither python3 nor perl");
    found.is_ok("shared home");
    found.is_ok("end of the job");
    wait_until_nothing_runs(&cluster, 10).await;
}

/// A prelude that hangs: it is said that not all was told, and the job is ended all the same.
#[tokio::test]
async fn where_the_node_does_not_tell_all_in_time() {
    let cluster = Cluster::up();
    let found = deep(&cluster, &["--prelude", "[ -z \"$SLURM_JOB_ID\" ] || sleep 90"]);
    found.is_well();
    found.warning("short job", "it did not tell all within 55 s");
    found.warning("route", "it was not learnt in time");
    found.is_ok("end of the job");
    wait_until_nothing_runs(&cluster, 10).await;
}

/// A host that both reach, named by the user; and where the node knows no key of the host, the line to paste.
#[tokio::test]
async fn the_documented_tunnel_is_tried_where_it_is_asked_for() {
    let cluster = Cluster::up();
    let inner = cluster.login_inner_address().to_owned();
    let loopback = ["--loopback-user", cluster.user(), "--loopback-host", &inner];
    let found = deep(&cluster, &loopback);
    found.is_well();
    leads(&found, "reverse", "127.0.0.1:");

    fs::remove_file(cluster.home().join(".ssh/known_hosts")).expect("a file of the user's");
    let found = deep(&cluster, &loopback);
    found.faults_are(&["loopback", "reverse route"]);
    let line = found.one_fault("reverse route", "does not know the host key");
    assert!(line.contains("--route auto") && !line.contains("--loopback"), "{line}");
    wait_until_nothing_runs(&cluster, 10).await;
    Patient::on_laptop(&cluster).call_again(&line);
    wait_until_nothing_runs(&cluster, 10).await;
}

/// Called where `srun` is, our own server is reached by the node, and needs no key of anybody's.
#[tokio::test]
async fn our_own_server_is_tried_where_the_node_reaches_this_machine() {
    let cluster = Cluster::up();
    for file in ["known_hosts", "id_ed25519", "id_ed25519.pub"] {
        fs::remove_file(cluster.home().join(".ssh").join(file)).expect("a file of the user's");
    }
    let doctor = cluster.put(Path::new(env!("CARGO_BIN_EXE_llm-proxy")));
    let mut command = cluster.user_command(HostName::Login, doctor);
    command.args(["doctor", "--json", "--use-slurm", "--deep", "--hub", "127.0.0.1:9", "--srun-args", SRUN_ARGS]);
    let engine = cluster.engine();
    let output = command.arg("--").arg(engine).output().expect("it runs");
    let found = Diagnosis::read(&output);
    found.is_well();
    leads(&found, "reverse", "127.0.0.1:");
    leads(&found, "relay", "127.0.0.1:");
    assert_eq!(found.is_ok("route"), "auto takes direct");
    wait_until_nothing_runs(&cluster, 10).await;
}
