//! The end that Slurm sets: shown, kept clear of, followed where it is moved, and told where it comes.

use std::time::Duration;

use serde_json::Value;

use crate::scene::{
    ask, code, ends_well, job, jobs_ever, operate, problem, proxy_with, seconds_until, status, until_status,
};
use crate::support::scene::{chat, soon, wait_for_state, wait_until_nothing_is_left};
use crate::support::{Cluster, HostName, eventually};

/// A stream that would go on for longer than the job may; with a minute in all, the last six seconds let nobody in.
#[tokio::test]
async fn what_is_in_flight_goes_on_and_who_comes_too_late_gets_the_next_life() {
    let cluster = Cluster::up();
    let proxy =
        proxy_with(&cluster, "--time=1", &["--stop-timeout", "2s"], &["--token-delay", "200", "--tokens", "900"]);
    let proxy = proxy.start().await;
    let home = proxy.home();
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    stream.event().await.expect("an event").expect("an event");
    let first = job(&cluster);
    let left = until_status(&home, "the end is told", 20, |status| seconds_until(status, "walltime_end")).await;
    assert!((30..=60).contains(&left), "{left} s");
    let streaming = tokio::spawn(async move { (stream.events().await, jiff::Timestamp::now()) });
    let draining = |status: &Value| (status.get("phase")? == "draining").then(|| seconds_until(status, "walltime_end"));
    let left = until_status(&home, "nobody is let in any more", 70, draining).await.expect("the end is still told");
    assert!((3..=6).contains(&left), "{left} s before the end");
    assert!(!streaming.is_finished(), "it goes on for as long as it can");
    let end = jiff::Timestamp::now() + Duration::from_secs(u64::try_from(left).expect("still to come"));

    let mut body = chat(false);
    body["max_tokens"] = 3.into();
    let late = proxy.client().post("/v1/chat/completions", &body);
    let watch = async {
        loop {
            let jobs = cluster.jobs();
            let live = jobs.iter().filter(|job| job.contains("RUNNING")).count();
            assert!(live <= 1, "two at once: {jobs:?}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let late = tokio::select! {
        late = tokio::time::timeout(Duration::from_mins(2), late) => late.expect("in time"),
        () = watch => panic!("the watch never ends"),
    };
    late.ok();
    assert_ne!(job(&cluster), first, "by the next job");
    let ((events, _), ended) = streaming.await.expect("the stream's task");
    assert!(events.last().is_some_and(|last| last.contains("engine_stopped")), "{:?}", events.last());
    assert!(ended >= end - Duration::from_secs(2), "cut at {ended}, with the end at {end}");
    ends_well(proxy, &cluster).await;
}

#[tokio::test]
async fn without_traffic_the_end_is_the_end() {
    let cluster = Cluster::up();
    let proxy = proxy_with(&cluster, "--time=1", &["--stop-timeout", "2s"], &[]).start().await;
    ask(&proxy).await.ok();
    wait_for_state(&proxy, "stopped", 80).await;
    wait_until_nothing_is_left(&cluster, 20).await;
    let ever = jobs_ever(&cluster);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!((cluster.jobs(), jobs_ever(&cluster).min(ever)), (Vec::<String>::new(), jobs_ever(&cluster)));
    assert_eq!(problem(&proxy.home()), None, "that was no failure");
    ask(&proxy).await.ok();
    ends_well(proxy, &cluster).await;
}

#[tokio::test]
async fn a_walltime_that_is_too_short_to_get_ready_is_told_and_not_tried_at_once_again() {
    let cluster = Cluster::up();
    let options = ["--stop-timeout", "2s"];
    let proxy = proxy_with(&cluster, "--time=1", &options, &["--load-delay", "5m"]).start().await;
    let home = proxy.home();
    let answer = ask(&proxy).await;
    assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (503, "walltime_too_short"), "{}", answer.text());
    assert!(answer.text().contains("--time"), "{}", answer.text());
    let again = ask(&proxy).await;
    assert_eq!((again.status.as_u16(), code(&again).as_str()), (503, "walltime_too_short"), "{}", again.text());
    wait_for_state(&proxy, "failed", 30).await;
    assert_eq!(problem(&home).as_deref(), Some("walltime_too_short"));
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(cluster.jobs(), Vec::<String>::new(), "nobody asked again, and so nothing is tried");
    ends_well(proxy, &cluster).await;
}

/// With `--batch`, which is looked at four times as often.
#[tokio::test]
async fn a_limit_that_an_operator_moves_or_takes_away_is_followed() {
    let cluster = Cluster::up();
    let proxy = proxy_with(&cluster, "--time=5", &["--batch"], &[]).start().await;
    let home = proxy.home();
    ask(&proxy).await.ok();
    let id = format!("JobId={}", job(&cluster));
    let left = until_status(&home, "the end is told", 30, |status| seconds_until(status, "walltime_end")).await;
    assert!((200..=300).contains(&left), "{left} s");
    operate(&cluster, &["update", &id, "TimeLimit=UNLIMITED"]);
    until_status(&home, "there is no end", 40, |status| status["walltime_end"].is_null().then_some(())).await;
    operate(&cluster, &["update", &id, "TimeLimit=60"]);
    let left = until_status(&home, "the end is told", 40, |status| seconds_until(status, "walltime_end")).await;
    assert!((3400..=3600).contains(&left), "{left} s");
    operate(&cluster, &["update", &id, "TimeLimit=1"]);
    wait_for_state(&proxy, "stopped", 90).await;
    ends_well(proxy, &cluster).await;
}

#[tokio::test]
async fn without_a_limit_none_is_shown() {
    let cluster = Cluster::up();
    let proxy = proxy_with(&cluster, "--time=UNLIMITED", &["--batch"], &[]).start().await;
    let home = proxy.home();
    ask(&proxy).await.ok();
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    while tokio::time::Instant::now() < until {
        assert_eq!(status(&home)["walltime_end"], Value::Null);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    ends_well(proxy, &cluster).await;
}

/// A `squeue` that knows nothing, in front of the real one, for as long as the file is there.
fn hide_the_queue(cluster: &Cluster) {
    let line = "mkdir -p ~/bin && printf '%s\\n' '#!/bin/sh' 'echo \"slurm_load_jobs error: Unable to contact slurm \
                controller (connect failure)\" >&2' 'exit 1' >~/bin/squeue && chmod +x ~/bin/squeue && \
                sed -i '1i export PATH=$HOME/bin:$PATH' ~/.bashrc";
    cluster.say(HostName::Login, &["bash", "-c", line]);
}

#[tokio::test]
async fn slurms_own_end_is_told_as_that_where_nobody_saw_it_come() {
    let cluster = Cluster::up();
    hide_the_queue(&cluster);
    let proxy =
        proxy_with(&cluster, "--time=1", &["--stop-timeout", "2s"], &["--token-delay", "500", "--tokens", "900"]);
    let proxy = proxy.start().await;
    let home = proxy.home();
    let stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    assert_eq!(status(&home)["walltime_end"], Value::Null, "nobody could say");
    let (events, _) = tokio::time::timeout(Duration::from_secs(150), stream.events()).await.expect("Slurm ends it");
    assert!(events.last().is_some_and(|last| last.contains("engine_broke_off")), "{:?}", events.last());
    std::fs::remove_file(cluster.home().join("bin/squeue")).expect("the queue is seen again");
    let told = async || problem(&home);
    assert_eq!(eventually(soon(), "it is told", told).await, "time_limit");
    wait_for_state(&proxy, "failed", 30).await;
    wait_until_nothing_is_left(&cluster, 10).await;
    ends_well(proxy, &cluster).await;
}
