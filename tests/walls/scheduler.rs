//! Unknown is not gone: a scheduler that says nothing for long takes nothing away.

use std::time::Duration;

use crate::scene::{ask, ends_well, job, jobs_ever, proxy_with};
use crate::support::scene::{chat, controller, queued_proxy, state, wait_for_state, wait_until_nothing_is_left};
use crate::support::{ChildGuard, Cluster, Deadline, HostName, eventually};

/// Ends the controller, and waits until nobody answers.
async fn end_controller(cluster: &Cluster) {
    cluster.on(HostName::Login, &["kill", "-TERM", &controller(cluster)]);
    let silent = async || {
        let asked = cluster.on_as_user(HostName::Login, &["timeout", "1", "squeue", "-h"]);
        (!asked.status.success()).then_some(())
    };
    eventually(Deadline::in_seconds(20), "the controller is down", silent).await;
}

async fn start_controller(cluster: &Cluster) -> ChildGuard {
    let guard = ChildGuard::start("slurmctld", cluster.command(HostName::Login, "slurmctld").arg("-D"));
    let answers = async || cluster.on_as_user(HostName::Login, &["squeue", "-h"]).status.success().then_some(());
    eventually(Deadline::in_seconds(40), "the controller answers again", answers).await;
    guard
}

/// More than two looks long.
#[tokio::test]
async fn a_ready_engine_serves_on_while_the_controller_is_down() {
    for batch in [false, true] {
        let cluster = Cluster::up();
        let options: &[&str] = if batch { &["--batch"] } else { &[] };
        let proxy = proxy_with(&cluster, "", options, &[]).start().await;
        ask(&proxy).await.ok();
        let before = job(&cluster);
        end_controller(&cluster).await;
        let until = tokio::time::Instant::now() + Duration::from_secs(if batch { 50 } else { 130 });
        while tokio::time::Instant::now() < until {
            ask(&proxy).await.ok();
            assert_eq!(state(&proxy).await, "ready");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let controller = start_controller(&cluster).await;
        assert_eq!((job(&cluster), jobs_ever(&cluster)), (before, 1), "nothing was asked for again");
        ask(&proxy).await.ok();
        ends_well(proxy, &cluster).await;
        drop(cluster);
        drop(controller);
    }
}

#[tokio::test]
async fn a_job_in_the_queue_keeps_its_place_while_the_controller_is_down() {
    for batch in [false, true] {
        let cluster = Cluster::up();
        let proxy = queued_proxy(&cluster).options(batch.then_some("--batch")).start().await;
        let body = chat(false);
        let asked = proxy.client().post("/v1/chat/completions", &body);
        let meanwhile = async {
            proxy.wait_for_line("queued (PartitionDown)", Deadline::in_seconds(40)).await;
            let before = job(&cluster);
            end_controller(&cluster).await;
            let until = tokio::time::Instant::now() + Duration::from_secs(50);
            while tokio::time::Instant::now() < until {
                assert_eq!(state(&proxy).await, "bootstrapping");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let controller = start_controller(&cluster).await;
            assert_eq!((job(&cluster), jobs_ever(&cluster)), (before, 1), "the same job waits");
            crate::scene::operate(&cluster, &["update", "PartitionName=closed", "State=UP"]);
            controller
        };
        let (answer, controller) = tokio::join!(tokio::time::timeout(Duration::from_mins(4), asked), meanwhile);
        answer.expect("in time").ok();
        assert_eq!(jobs_ever(&cluster), 1);
        ends_well(proxy, &cluster).await;
        drop(cluster);
        drop(controller);
    }
}

/// A request for an engine while nobody takes it is told so, and nothing comes of it later.
#[tokio::test]
async fn a_start_that_the_controller_does_not_take_is_told_and_leaves_nothing() {
    let cluster = Cluster::up();
    let proxy = proxy_with(&cluster, "", &["--batch"], &[]).start().await;
    end_controller(&cluster).await;
    let answer = ask(&proxy).await;
    assert_eq!(answer.status.as_u16(), 503, "{}", answer.text());
    assert!(answer.text().contains("controller"), "{}", answer.text());
    let controller = start_controller(&cluster).await;
    wait_for_state(&proxy, "failed", 120).await;
    wait_until_nothing_is_left(&cluster, 20).await;
    crate::scene::until_served(&proxy, 90).await;
    ends_well(proxy, &cluster).await;
    drop(cluster);
    drop(controller);
}
