//! What Slurm and its operators do to a job, and what its clients are told.

use std::time::Duration;

use crate::scene::{
    ask, code, ends_well, job, jobs_ever, operate, problem, proxy_with, scontrol, until_served, until_status,
};
use crate::support::scene::{chat, engine_processes, queued_proxy, soon, state, wait_for_state};
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

/// What `status` says of why nothing goes on.
fn reason(status: &serde_json::Value) -> Option<String> {
    status.get("reason")?.as_str().map(str::to_owned)
}

/// Slurm calls a job suspended some seconds before its processes stand still.
async fn until_it_stands_still(cluster: &Cluster) {
    let stands_still = async || {
        let stopped = |line: &String| line.split_whitespace().nth(1).is_some_and(|stat| stat.starts_with('T'));
        let mut engine = engine_processes(cluster).into_iter().filter(|line| line.contains("--token-delay")).peekable();
        (engine.peek().is_some() && engine.all(|line| stopped(&line))).then_some(())
    };
    eventually(soon(), "the engine stands still", stands_still).await;
}

#[tokio::test]
async fn a_job_that_is_suspended_for_longer_than_an_engine_may_hang_is_told_as_paused_and_answers_when_it_is_resumed() {
    for batch in [false, true] {
        let cluster = Cluster::up();
        let signs = ["--hung-timeout", "4s", "--stream-headers-after", "1s", "--keep-alive", "1s"];
        let proxy = proxy_with(&cluster, "", &signs, &["--token-delay", "200", "--tokens", "30"]);
        let proxy = proxy.options(batch.then_some("--batch")).start().await;
        let home = proxy.home();
        let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
        // Signs of life may go ahead of the first token.
        while !stream.event().await.expect("an event").expect("an event").starts_with("data: ") {}
        let id = job(&cluster);
        operate(&cluster, &["suspend", &id]);
        until_status(&home, "it is told as paused", 30, |status| {
            (reason(status).as_deref() == Some("paused by Slurm")).then_some(())
        })
        .await;
        until_it_stands_still(&cluster).await;
        let (client, body) = (proxy.client(), chat(true));
        let waits = client.stream("/v1/chat/completions", &body);
        let mut waits =
            tokio::time::timeout(Duration::from_secs(10), waits).await.expect("headers ahead of the answer");
        let sign = waits.event().await.expect("a sign").expect("a sign");
        assert_eq!(sign, ": llm-proxy paused by Slurm; the engine goes on as soon as Slurm resumes its job");
        // Three times as long as it may hang.
        tokio::time::sleep(Duration::from_secs(12)).await;
        let said = proxy.lines().so_far().join("\n");
        assert_eq!((state(&proxy).await.as_str(), job(&cluster)), ("ready", id.clone()), "batch {batch}: {said}");
        operate(&cluster, &["resume", &id]);
        for answer in [stream, waits] {
            let whole = tokio::time::timeout(Duration::from_mins(1), answer.events()).await.expect("it ends");
            let (events, complete) = whole;
            let done = complete && events.last().is_some_and(|last| last == "data: [DONE]");
            assert!(done, "batch {batch}: {:?}", events.last());
        }
        until_status(&home, "it is told no more", 30, |status| reason(status).is_none().then_some(())).await;
        assert_eq!((job(&cluster), jobs_ever(&cluster)), (id.clone(), 1));
        let said = proxy.lines().so_far().join("\n");
        assert!(said.contains("paused by Slurm") && said.contains("resumed by Slurm"), "{said}");
        ends_well(proxy, &cluster).await;
    }
}

/// Its keeper stands still as well, and hears nothing.
#[tokio::test]
async fn a_job_that_is_suspended_can_be_ended_all_the_same() {
    let cluster = Cluster::up();
    let proxy = proxy_with(&cluster, "", &["--hung-timeout", "4s", "--stop-timeout", "1s"], &[]).start().await;
    ask(&proxy).await.ok();
    operate(&cluster, &["suspend", &job(&cluster)]);
    ends_well(proxy, &cluster).await;
}

/// The time that it may take to start does not pass while Slurm lets it stand still.
#[tokio::test]
async fn a_start_that_is_suspended_goes_on_where_it_was() {
    let cluster = Cluster::up();
    let options = ["--startup-timeout", "20s", "--batch"];
    let proxy = proxy_with(&cluster, "", &options, &["--start-delay", "5s"]).start().await;
    let home = proxy.home();
    let (answer, ()) = tokio::join!(ask(&proxy), async {
        until_status(&home, "it starts", 30, |status| (status.get("phase")? == "starting").then_some(())).await;
        let id = job(&cluster);
        operate(&cluster, &["suspend", &id]);
        tokio::time::sleep(Duration::from_secs(25)).await;
        operate(&cluster, &["resume", &id]);
    });
    answer.ok();
    assert_eq!(jobs_ever(&cluster), 1);
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
