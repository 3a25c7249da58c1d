//! One model on several jobs of a real Slurm: on both nodes, over two login hosts, and after a restart of the proxy.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use support::instances::{chat_with_m, detail, served_by, until};
use support::scene::{SRUN_ARGS, ends_well, wait_until_nothing_is_left};
use support::{Cluster, Deadline, Home, HostName, Proxy, eventually};

/// The model `org/m` by Slurm, a GPU for each replica; a node has one.
fn write(folder: &Path, cluster: &Cluster, hosts: &str, keys: &str) {
    let text = format!(
        "{hosts}models:\n  m:\n    backend: custom\n    model: org/m\n    launcher: slurm\n    \
         slurm: {{args: '{SRUN_ARGS}'}}\n    {keys}\n    \
         command: ['{}', --model, '{{model}}', --host, '{{host}}', --port, '{{port}}', --tokens, '4000', --token-delay, '100']\n",
        cluster.engine().display()
    );
    std::fs::write(folder.join("fleet.yaml"), text).expect("a file");
}

async fn serve(cluster: &Cluster, folder: &Path, home: Option<&Home>) -> Proxy {
    let builder = Proxy::builder().on_laptop(cluster).of_fleet(folder);
    match home {
        Some(home) => builder.home(home).start().await,
        None => builder.start().await,
    }
}

/// The nodes on which jobs run.
fn nodes(cluster: &Cluster) -> BTreeSet<String> {
    let said = cluster.say(HostName::Login, &["squeue", "-h", "-t", "RUNNING", "-o", "%N"]);
    said.lines().map(|node| node.trim().to_owned()).collect()
}

/// What a replica's own engine says of itself.
async fn engine_pid(proxy: &Proxy, name: &str) -> Value {
    proxy.client().get(&format!("/proxy/{name}/stats")).await.ok()["pid"].clone()
}

/// Asks the first alone until the second has ended by itself.
async fn until_the_second_is_idle(proxy: &Proxy) {
    let deadline = Deadline::in_seconds(60);
    while detail(proxy, "m-2").await["phase"] != "stopped" {
        assert_eq!(served_by(proxy, &chat_with_m("hello", 1)).await, "m", "it has nothing else to do");
        assert!(!deadline.is_over(), "the second never ended: {:?}", proxy.lines());
    }
}

async fn until_one_job_is_left(cluster: &Cluster) {
    let one = async || (cluster.jobs().len() == 1).then_some(());
    eventually(Deadline::in_seconds(20), "one job is left", one).await;
}

#[tokio::test]
async fn a_busy_model_gets_a_job_on_the_other_node_which_ends_when_it_is_idle() {
    let (cluster, folder) = (Cluster::up(), tempfile::tempdir().expect("a folder"));
    let keys = "idle_timeout: 4s\n    replicas: {min: 1, max: 2, busy_at: 1, scale_after: 500ms}";
    write(folder.path(), &cluster, "", keys);
    let proxy = serve(&cluster, folder.path(), None).await;
    assert_eq!(served_by(&proxy, &chat_with_m("hello", 1)).await, "m");
    let first = cluster.jobs();
    assert_eq!(first.len(), 1, "{first:?}");

    let mut story = chat_with_m("tell me a story", 4000);
    story["stream"] = json!(true);
    let story = proxy.client().stream("/v1/chat/completions", &story).await;
    until(&proxy, "m-2", "phase", json!("ready")).await;
    assert_eq!(nodes(&cluster), BTreeSet::from(["node1".to_owned(), "node2".to_owned()]));
    assert_eq!(served_by(&proxy, &chat_with_m("hello", 1)).await, "m-2", "the first is busy");
    drop(story);
    until(&proxy, "m", "in_flight", json!(0)).await;
    until_the_second_is_idle(&proxy).await;
    until_one_job_is_left(&cluster).await;
    assert_eq!(cluster.jobs(), first, "the first one goes on");
    ends_well(proxy).await;
    wait_until_nothing_is_left(&cluster, 20).await;
}

#[tokio::test]
async fn both_are_found_again_by_the_next_proxy_and_none_is_launched_twice() {
    let (cluster, folder) = (Cluster::up(), tempfile::tempdir().expect("a folder"));
    write(folder.path(), &cluster, "", "replicas: {min: 2, max: 2}");
    let proxy = serve(&cluster, folder.path(), None).await;
    served_by(&proxy, &chat_with_m("hello", 1)).await;
    for name in ["m", "m-2"] {
        until(&proxy, name, "phase", json!("ready")).await;
    }
    let (jobs, home) = (cluster.jobs(), proxy.home());
    let engines = [engine_pid(&proxy, "m").await, engine_pid(&proxy, "m-2").await];
    assert_eq!((jobs.len(), nodes(&cluster).len()), (2, 2), "{jobs:?}");
    proxy.stop("KILL", Deadline::in_seconds(20)).await;

    // One more than is wanted now: it is used while it is there, and ends when it is idle.
    write(folder.path(), &cluster, "", "idle_timeout: 8s\n    replicas: {min: 1, max: 2}");
    let proxy = serve(&cluster, folder.path(), Some(&home)).await;
    let asked: [_; 4] = std::array::from_fn(|_| chat_with_m("hello", 2));
    let [one, two, three, four] = &asked;
    let by = tokio::join!(
        served_by(&proxy, one),
        served_by(&proxy, two),
        served_by(&proxy, three),
        served_by(&proxy, four),
    );
    assert_eq!(cluster.jobs(), jobs, "who asks at once gets what is there: {by:?}");
    for name in ["m", "m-2"] {
        until(&proxy, name, "phase", json!("ready")).await;
    }
    assert_eq!([engine_pid(&proxy, "m").await, engine_pid(&proxy, "m-2").await], engines, "the same engines");
    assert_eq!(cluster.jobs(), jobs);
    until_the_second_is_idle(&proxy).await;
    until_one_job_is_left(&cluster).await;
    assert!(jobs.contains(&cluster.jobs()[0]), "none was launched beside them");
    ends_well(proxy).await;
    wait_until_nothing_is_left(&cluster, 20).await;
}

/// The word to start the second may be on its way when the proxy dies.
#[tokio::test]
async fn a_proxy_that_dies_while_they_start_is_followed_by_one_that_starts_none_twice() {
    let (cluster, folder) = (Cluster::up(), tempfile::tempdir().expect("a folder"));
    write(folder.path(), &cluster, "", "replicas: 2");
    let proxy = serve(&cluster, folder.path(), None).await;
    let body = chat_with_m("hello", 1);
    let one_job = async || (!cluster.jobs().is_empty()).then_some(());
    tokio::select! {
        () = eventually(Deadline::in_seconds(20), "Slurm has a job", one_job) => {}
        // That they were faster is as good.
        _ = served_by(&proxy, &body) => {}
    }
    let home = proxy.home();
    proxy.stop("KILL", Deadline::in_seconds(20)).await;

    let proxy = serve(&cluster, folder.path(), Some(&home)).await;
    served_by(&proxy, &body).await;
    for name in ["m", "m-2"] {
        until(&proxy, name, "phase", json!("ready")).await;
    }
    let jobs = cluster.jobs();
    let names: BTreeSet<_> = jobs.iter().filter_map(|job| job.split_whitespace().nth(2)).collect();
    assert_eq!((jobs.len(), names.len()), (2, 2), "one job for each: {jobs:?}");
    ends_well(proxy).await;
    wait_until_nothing_is_left(&cluster, 20).await;
}

#[tokio::test]
async fn one_whose_login_host_is_lost_is_passed_over_until_it_is_back() {
    let (cluster, folder) = (Cluster::builder().second_login().up(), tempfile::tempdir().expect("a folder"));
    // A link that is cut says nothing: it is looked after every second.
    let options = "[ServerAliveInterval=1, ServerAliveCountMax=2, ConnectTimeout=2]";
    let config = cluster.ssh_config().display();
    let host = |login: &str| format!("{{login: {login}, ssh_config: '{config}', ssh_option: {options}}}");
    let hosts = format!("hosts:\n  a: {}\n  b: {}\n", host("login"), host("login2"));
    write(folder.path(), &cluster, &hosts, "replicas: {min: 2, hosts: [a, b]}");
    let builder = Proxy::builder().on_laptop_alone(&cluster).of_fleet(folder.path());
    let proxy = builder.start().await;
    served_by(&proxy, &chat_with_m("hello", 1)).await;
    for name in ["m", "m-2"] {
        until(&proxy, name, "phase", json!("ready")).await;
    }
    let jobs = cluster.jobs();
    assert_eq!((jobs.len(), nodes(&cluster).len()), (2, 2), "{jobs:?}");

    cluster.cut_from(HostName::Login2);
    until(&proxy, "m-2", "link", json!("reconnecting")).await;
    for _ in 0..5 {
        assert_eq!(served_by(&proxy, &chat_with_m("hello", 1)).await, "m");
    }
    cluster.mend();
    until(&proxy, "m-2", "link", json!("connected")).await;
    let body = chat_with_m("hello", 8);
    let ask = || served_by(&proxy, &body);
    let (one, two) = tokio::join!(ask(), ask());
    assert_eq!(BTreeSet::from([one, two]), BTreeSet::from(["m".to_owned(), "m-2".to_owned()]), "it serves again");
    assert_eq!(cluster.jobs(), jobs, "the same jobs all the while");
    ends_well(proxy).await;
    wait_until_nothing_is_left(&cluster, 20).await;
}
