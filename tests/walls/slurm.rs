//! What Slurm and its operators do to a job, and what its clients are told.

use std::time::Duration;

use crate::scene::{ask, code, ends_well, job, jobs_ever, operate, problem, proxy_with, scontrol, until_served};
use crate::support::scene::{chat, queued_proxy, soon, wait_for_state};
use crate::support::{Cluster, Deadline, HostName, eventually};

#[tokio::test]
async fn a_job_that_is_suspended_for_longer_than_its_lease_goes_on_where_it_was() {
    for batch in [false, true] {
        let cluster = Cluster::up();
        let options: &[&str] = if batch { &["--lease", "4s", "--batch"] } else { &["--lease", "4s"] };
        let proxy = proxy_with(&cluster, "", options, &["--token-delay", "200", "--tokens", "30"]).start().await;
        let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
        stream.event().await.expect("an event").expect("an event");
        let id = job(&cluster);
        operate(&cluster, &["suspend", &id]);
        assert!(cluster.jobs().iter().all(|job| job.contains("SUSPENDED")), "{:?}", cluster.jobs());
        tokio::time::sleep(Duration::from_secs(12)).await;
        operate(&cluster, &["resume", &id]);
        let (events, complete) = tokio::time::timeout(Duration::from_mins(1), stream.events()).await.expect("it ends");
        assert!(
            complete && events.last().is_some_and(|last| last == "data: [DONE]"),
            "batch {batch}: {:?}",
            events.last()
        );
        assert_eq!(job(&cluster), id);
        ends_well(proxy, &cluster).await;
    }
}

/// Its keeper stands still as well, and hears nothing.
#[tokio::test]
async fn a_job_that_is_suspended_for_longer_than_an_engine_may_hang_is_ended_all_the_same() {
    let cluster = Cluster::up();
    let options = ["--hung-timeout", "4s", "--stop-timeout", "1s"];
    let proxy = proxy_with(&cluster, "", &options, &["--token-delay", "200", "--tokens", "30"]).start().await;
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    stream.event().await.expect("an event").expect("an event");
    let id = job(&cluster);
    operate(&cluster, &["suspend", &id]);
    let (events, _) = tokio::time::timeout(Duration::from_mins(1), stream.events()).await.expect("it ends");
    assert!(events.last().is_some_and(|last| last.contains("engine_hung")), "{:?}", events.last());
    wait_for_state(&proxy, "failed", 90).await;
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    until_served(&proxy, 60).await;
    ends_well(proxy, &cluster).await;
}

#[tokio::test]
async fn a_job_that_an_operator_requeues_does_not_run_twice() {
    for batch in [true, false] {
        let cluster = Cluster::up();
        let proxy = proxy_with(&cluster, "", if batch { &["--batch"] } else { &[] }, &[]).start().await;
        ask(&proxy).await.ok();
        let id = job(&cluster);
        let requeued = scontrol(&cluster, &["requeue", &id]);
        assert!(!requeued.status.success(), "{requeued:?}");
        ask(&proxy).await.ok();
        assert_eq!((job(&cluster), jobs_ever(&cluster)), (id, 1));
        ends_well(proxy, &cluster).await;
    }
}

#[tokio::test]
async fn a_node_that_fails_is_told_and_the_next_request_gets_another() {
    for batch in [false, true] {
        let cluster = Cluster::up();
        let options: &[&str] = if batch { &["--batch"] } else { &[] };
        let proxy = proxy_with(&cluster, "", options, &["--token-delay", "300", "--tokens", "200"]).start().await;
        let home = proxy.home();
        let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
        stream.event().await.expect("an event").expect("an event");
        let id = job(&cluster);
        let node = cluster.say(HostName::Login, &["squeue", "-h", "-o", "%N"]);
        operate(&cluster, &["update", &format!("NodeName={node}"), "State=DOWN", "Reason=test"]);
        let (events, _) = tokio::time::timeout(Duration::from_mins(2), stream.events()).await.expect("it ends");
        assert!(events.last().is_some_and(|last| last.contains("error")), "batch {batch}: {:?}", events.last());
        let told = async || problem(&home);
        let told = eventually(Deadline::in_seconds(90), "it is told", told).await;
        assert_eq!(told, "node_failed", "batch {batch}");
        wait_for_state(&proxy, "failed", 90).await;
        let mut short = chat(false);
        short["max_tokens"] = 1.into();
        let served = async || (proxy.client().post("/v1/chat/completions", &short).await.status == 200).then_some(());
        eventually(Deadline::in_seconds(90), "it is started afresh", served).await;
        assert_ne!(job(&cluster), id);
        ends_well(proxy, &cluster).await;
    }
}

#[tokio::test]
async fn a_job_in_the_queue_that_an_operator_cancels_is_told() {
    for batch in [false, true] {
        let cluster = Cluster::up();
        let proxy = queued_proxy(&cluster).options(batch.then_some("--batch")).start().await;
        let body = chat(false);
        let asked = proxy.client().post("/v1/chat/completions", &body);
        let (answer, ()) = tokio::join!(tokio::time::timeout(Duration::from_mins(2), asked), async {
            proxy.wait_for_line("queued (PartitionDown)", Deadline::in_seconds(40)).await;
            cluster.on(HostName::Login, &["scancel", &job(&cluster)]);
        });
        let answer = answer.expect("in time");
        assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (503, "job_cancelled"), "{}", answer.text());
        wait_for_state(&proxy, "failed", 60).await;
        ends_well(proxy, &cluster).await;
    }
}

#[tokio::test]
async fn a_ready_job_that_an_operator_cancels_is_told_and_started_afresh() {
    let cluster = Cluster::up();
    let proxy = proxy_with(&cluster, "", &[], &["--token-delay", "300", "--tokens", "50"]).start().await;
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    stream.event().await.expect("an event").expect("an event");
    cluster.on(HostName::Login, &["scancel", &job(&cluster)]);
    let (events, _) = tokio::time::timeout(Duration::from_mins(1), stream.events()).await.expect("it ends");
    assert!(events.last().is_some_and(|last| last.contains("error")), "{:?}", events.last());
    let home = proxy.home();
    assert_eq!(eventually(soon(), "it is told", async || problem(&home)).await, "job_cancelled");
    until_served(&proxy, 90).await;
    ends_well(proxy, &cluster).await;
}
