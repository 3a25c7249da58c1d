//! Requests and orders that cross: whoever asks is answered, and there is never a second engine.

use std::time::Duration;

use crate::scene::{ask, ends_well, operate, status};
use crate::support::scene::{chat, queued_proxy, soon, wait_for_state, wait_until_nothing_is_left};
use crate::support::{Cluster, Deadline, Home, Proxy, ProxyBuilder, engine_path, eventually};

/// The engines that this home's proxy runs on this machine.
fn engines(home: &Home) -> Vec<u32> {
    let ours = home.path().display().to_string();
    let processes = std::fs::read_dir("/proc").expect("the processes").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let is_ours = |pid: &u32| {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let (argv, environment) = (read("cmdline"), read("environ"));
        let starts =
            String::from_utf8_lossy(&argv).split('\0').next().is_some_and(|word| word.ends_with("test-engine"));
        starts && String::from_utf8_lossy(&environment).contains(&format!("HOME={ours}"))
    };
    pids.filter(is_ours).collect()
}

fn local(engine: &[&str]) -> ProxyBuilder<'static> {
    Proxy::builder().command([engine_path().into_os_string()]).command(engine.iter().copied())
}

#[tokio::test]
async fn a_request_in_the_very_moment_of_the_idle_stop_is_answered() {
    let proxy = local(&[]).options(["--idle-timeout", "1s", "--stop-timeout", "5s"]).start().await;
    let home = proxy.home();
    ask(&proxy).await.ok();
    for round in 0..24_u64 {
        // Around the second at which it is ended: the question whether it is busy, the order, the end.
        tokio::time::sleep(Duration::from_millis(940 + round * 7)).await;
        ask(&proxy).await.ok();
        assert!(engines(&home).len() <= 1, "round {round}: {:?}", engines(&home));
    }
    assert!(proxy.stop("INT", soon()).await.success());
    assert_eq!(engines(&home), Vec::<u32>::new());
}

#[tokio::test]
async fn a_stop_during_the_start_and_a_start_during_the_stop() {
    let proxy = local(&["--start-delay", "1", "--ignore-terms", "1"]).options(["--stop-timeout", "2s"]).start().await;
    let home = proxy.home();
    let verb = |verb: &str| Proxy::builder().home(&home).spawn_verb([verb]);
    for round in 0..3 {
        let mut start = verb("start");
        let starts = async || (status(&home)["state"] == "bootstrapping").then_some(());
        eventually(soon(), "it starts", starts).await;
        let stopped = verb("stop").wait(soon()).await;
        assert!(stopped.success(), "round {round}");
        start.wait(soon()).await;
        assert_eq!((status(&home)["state"].as_str(), engines(&home)), (Some("stopped"), Vec::new()));
    }
    ask(&proxy).await.ok();
    let [first] = engines(&home)[..] else { panic!("{:?}", engines(&home)) };
    let mut stop = verb("stop");
    let stops = async || (status(&home)["state"] == "stopping").then_some(());
    eventually(soon(), "it stops", stops).await;
    let started = verb("start").wait(soon()).await;
    assert!(started.success());
    stop.wait(soon()).await;
    wait_for_state(&proxy, "ready", 30).await;
    let [second] = engines(&home)[..] else { panic!("{:?}", engines(&home)) };
    assert_ne!(first, second);
    ask(&proxy).await.ok();
    assert!(proxy.stop("INT", soon()).await.success());
    assert_eq!(engines(&home), Vec::<u32>::new());
}

#[tokio::test]
async fn a_job_that_starts_in_the_moment_it_is_withdrawn_is_gone() {
    let cluster = Cluster::up();
    for round in 0..8_u64 {
        operate(&cluster, &["update", "PartitionName=closed", "State=DOWN"]);
        let proxy = queued_proxy(&cluster).options((round % 2 == 1).then_some("--batch")).start().await;
        let body = chat(false);
        let asked = tokio::time::timeout(Duration::from_mins(1), proxy.client().post("/v1/chat/completions", &body));
        let (answer, ()) = tokio::join!(asked, async {
            proxy.wait_for_line("queued (PartitionDown)", Deadline::in_seconds(40)).await;
            operate(&cluster, &["update", "PartitionName=closed", "State=UP"]);
            tokio::time::sleep(Duration::from_millis(round / 2 * 250)).await;
            proxy.signal("INT");
        });
        let answer = answer.expect("answered");
        assert!(answer.status == 200 || answer.status == 503, "{}", answer.text());
        let lines = proxy.lines();
        assert!(proxy.ended(Deadline::in_seconds(90)).await.success(), "round {round}: {:?}", lines.so_far());
        wait_until_nothing_is_left(&cluster, 10).await;
    }
}

/// Nobody waits any more, and the engine is looked for by nobody: `stop` in the moment in which the job starts.
#[tokio::test]
async fn a_stop_in_the_moment_in_which_the_job_starts_leaves_the_proxy_usable() {
    let cluster = Cluster::up();
    let proxy = queued_proxy(&cluster).start().await;
    let home = proxy.home();
    for round in 0..4_u64 {
        operate(&cluster, &["update", "PartitionName=closed", "State=DOWN"]);
        let body = chat(false);
        let asked = tokio::time::timeout(Duration::from_mins(1), proxy.client().post("/v1/chat/completions", &body));
        let (answer, ()) = tokio::join!(asked, async {
            let queued = async || (status(&home)["reason"] == "PartitionDown").then_some(());
            eventually(Deadline::in_seconds(40), "it is queued", queued).await;
            operate(&cluster, &["update", "PartitionName=closed", "State=UP"]);
            tokio::time::sleep(Duration::from_millis(round * 300)).await;
            let stop = Proxy::builder().home(&home).spawn_verb(["stop"]).wait(Deadline::in_seconds(90)).await;
            assert!(stop.success(), "round {round}");
        });
        assert!(answer.is_ok(), "answered");
        wait_for_state(&proxy, "stopped", 10).await;
        wait_until_nothing_is_left(&cluster, 10).await;
    }
    ask(&proxy).await.ok();
    ends_well(proxy, &cluster).await;
}
