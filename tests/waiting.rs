//! A request that waits in Slurm's queue, and what its client reads meanwhile.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::scene::{chat, slurm_proxy, soon, wait_until_nothing_is_left};
use support::{Cluster, EventStream, HostName, eventually};

/// The words of the next comment that holds this text.
async fn comment(stream: &mut EventStream, text: &str) -> String {
    let found = async {
        loop {
            let event = stream.event().await.expect("a whole stream").expect("more of it");
            assert!(event.starts_with(": llm-proxy "), "before the engine runs: {event}");
            if event.contains(text) {
                return event;
            }
        }
    };
    tokio::time::timeout_at(soon().at(), found).await.unwrap_or_else(|_| panic!("never told: {text}"))
}

#[tokio::test]
async fn a_stream_is_told_slurms_reason_the_expected_start_and_the_node_and_is_answered() {
    let cluster = Cluster::up();
    let taking = ["sbatch", "--mem=1G", "--gres=gpu:1", "--nodelist=node1", "--time=10", "--wrap=sleep 600"];
    cluster.say(HostName::Login, &taking);
    let runs = async || cluster.jobs().iter().any(|job| job.contains("RUNNING")).then_some(());
    eventually(soon(), "another's job has the GPU", runs).await;

    let options = ["--srun-arg=--nodelist=node1", "--srun-arg=--time=5", "--stream-headers-after", "100ms"];
    let proxy = slurm_proxy(&cluster, &options, &["--load-delay", "1500ms"]).start().await;
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    assert_eq!(stream.status(), 200);
    comment(&mut stream, "queued (Resources)").await;
    comment(&mut stream, "start expected ").await;
    cluster.say(HostName::Login, &["scancel", "1"]);
    comment(&mut stream, "node1").await;
    let (events, complete) = stream.events().await;
    assert!(complete && events.last().is_some_and(|last| last == "data: [DONE]"), "{events:?}");

    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 20).await;
}
