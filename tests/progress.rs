//! What is told of a start on the cluster: why the job waits, and how far the engine is, as soon as it says so.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use support::Cluster;
use support::scene::{chat, queued_proxy, slurm_proxy, soon, wait_until_nothing_is_left};
use tokio::time::Instant;

#[tokio::test]
async fn a_job_that_waits_is_told_with_slurms_reason_and_what_to_do() {
    let cluster = Cluster::up();
    let proxy = queued_proxy(&cluster).start().await;
    let body = chat(false);
    let (_, ()) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        let line = proxy.wait_for_line("queued (PartitionDown)", soon()).await;
        let number = |word: &str| word.parse::<u32>().is_ok();
        assert!(line.starts_with("llm-proxy: job ") && line.split(' ').nth(2).is_some_and(number), "{line}");
        assert!(line.ends_with("1 request waits"), "{line}");
        proxy.wait_for_line("llm-proxy: hint: ", soon()).await;
        proxy.signal("TERM");
    });
    assert!(proxy.ended(soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}

/// A bar's pieces end with no line break, and srun hands on whole lines unless it is told otherwise.
#[tokio::test]
async fn a_bar_on_the_node_is_told_as_it_grows() {
    const QUARTER: Duration = Duration::from_millis(1500);
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &["--bar", "1500ms"]).start().await;
    let body = chat(false);
    let (answer, times) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        let mut times = Vec::new();
        for percent in [0, 25, 50, 75, 100] {
            let line = proxy.wait_for_line(&format!(": loading weights {percent} %"), soon()).await;
            assert!(line.contains(" on node"), "{line}");
            times.push(Instant::now());
        }
        times
    });
    answer.ok();
    let steps: Vec<Duration> = times.iter().zip(times.iter().skip(1)).map(|(a, b)| *b - *a).collect();
    let whole: Duration = steps.iter().sum();
    assert!(whole > QUARTER * 5 / 2, "pieces {QUARTER:?} apart arrived {steps:?} apart");
    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}

/// A user's own form of time on the cluster, and another zone there, change nothing.
#[tokio::test]
async fn the_expected_start_is_told_by_the_clock_here_and_with_its_zone_to_programs() {
    let cluster = Cluster::up();
    let profile = "export TZ=America/St_Johns SLURM_TIME_FORMAT=relative\n";
    std::fs::write(cluster.home().join(".profile"), profile).expect("a file can be written");
    let proxy = slurm_proxy(&cluster, &["--srun-arg=--begin=now+3600", "--login-shell"], &[]).env("TZ", "Asia/Tokyo");
    let proxy = proxy.start().await;
    let body = chat(false);
    let (_, ()) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        let line = proxy.wait_for_line(", start expected ", soon()).await;
        assert!(line.contains("queued (BeginTime)"), "{line}");
        let health = proxy.client().get("/health").await.ok();
        let start = health.pointer("/detail/0/expected_start").and_then(|at| at.as_str()).expect("for programs too");
        assert!(start.ends_with("-03:30"), "as the cluster's clock says it: {start}");
        let date = std::process::Command::new("date").env("TZ", "Asia/Tokyo").args(["+%H:%M", "-d", start]).output();
        let here = String::from_utf8(date.expect("date can be run").stdout).expect("text");
        let (_, told) = line.split_once(", start expected ").expect("the words that were waited for");
        let told = told.split(" · ").next().expect("a first part");
        assert!(told.ends_with(here.trim()), "{told} is not {here}");
        proxy.signal("TERM");
    });
    assert!(proxy.ended(soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}
