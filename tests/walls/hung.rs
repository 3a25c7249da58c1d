//! Engines that hang, and those that only seem to.

use std::time::Duration;

use crate::scene::{ask, code, ends_well, job, problem, proxy_with, signal_engine, until_served};
use crate::support::scene::{chat, soon, wait_for_state, wait_until_nothing_is_left};
use crate::support::{Cluster, eventually};

#[tokio::test]
async fn an_engine_that_stands_still_in_mid_stream_is_told_ended_and_started_afresh() {
    let cluster = Cluster::up();
    let options = ["--hung-timeout", "6s", "--stop-timeout", "2s"];
    let proxy = proxy_with(&cluster, "", &options, &["--token-delay", "200", "--tokens", "100"]).start().await;
    let home = proxy.home();
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    for _ in 0..5 {
        stream.event().await.expect("an event").expect("an event");
    }
    let first = job(&cluster);
    let stood_still = tokio::time::Instant::now();
    signal_engine(&cluster, "STOP");
    let (plain, (events, _)) = tokio::join!(ask(&proxy), stream.events());
    let waited = stood_still.elapsed();
    assert!((5..30).contains(&waited.as_secs()), "{waited:?}");
    assert!(events.last().is_some_and(|last| last.contains("engine_hung")), "{:?}", events.last());
    assert!(!events.iter().any(|event| event.contains("[DONE]")), "{events:?}");
    assert_eq!((plain.status.as_u16(), code(&plain).as_str()), (503, "engine_hung"), "{}", plain.text());
    wait_for_state(&proxy, "failed", 40).await;
    assert_eq!(problem(&home).as_deref(), Some("engine_hung"));
    wait_until_nothing_is_left(&cluster, 1).await;
    until_served(&proxy, 90).await;
    assert_ne!(job(&cluster), first);
    ends_well(proxy, &cluster).await;
}

/// Neither one that is slow and says that it is well, nor one that says nothing but its tokens.
#[tokio::test]
async fn an_engine_that_is_slow_is_not_taken_for_hung() {
    let cluster = Cluster::up();
    let slow = ["--token-delay", "15000", "--tokens", "1"];
    let deaf = ["--health-once", "--token-delay", "600", "--tokens", "25"];
    for engine in [&slow[..], &deaf[..]] {
        let proxy = proxy_with(&cluster, "", &["--hung-timeout", "4s"], engine).start().await;
        let answer = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
        let (events, complete) = answer.events().await;
        assert!(
            complete && events.last().is_some_and(|last| last == "data: [DONE]"),
            "{engine:?}: {:?}",
            events.last()
        );
        ends_well(proxy, &cluster).await;
    }
}

/// The other way round: one that neither answers nor says that it is well.
#[tokio::test]
async fn an_engine_that_only_listens_is_hung() {
    let cluster = Cluster::up();
    let engine = ["--health-once", "--token-delay", "600000"];
    let proxy = proxy_with(&cluster, "", &["--hung-timeout", "4s"], &engine).start().await;
    let answer = ask(&proxy).await;
    assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (503, "engine_hung"), "{}", answer.text());
    wait_for_state(&proxy, "failed", 40).await;
    ends_well(proxy, &cluster).await;
}

/// A connection that is cut looks well for longer than the engine may say nothing.
#[tokio::test]
async fn a_link_that_is_down_is_not_the_engines_fault() {
    let cluster = Cluster::up();
    let options = ["--hung-timeout", "4s"];
    let proxy = proxy_with(&cluster, "", &options, &["--token-delay", "500", "--tokens", "60"]).start().await;
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    stream.event().await.expect("an event").expect("an event");
    let first = job(&cluster);
    cluster.cut();
    tokio::time::sleep(Duration::from_secs(15)).await;
    cluster.mend();
    let (events, _) = tokio::time::timeout(Duration::from_mins(2), stream.events()).await.expect("it ends");
    let last = events.last().expect("an event");
    assert!(last == "data: [DONE]" || last.contains("link_lost"), "{last}");
    let served = async || (ask(&proxy).await.status == 200).then_some(());
    eventually(soon(), "it serves", served).await;
    assert_eq!(job(&cluster), first, "the same engine serves on");
    let said = proxy.lines().so_far().join("\n");
    assert!(!said.contains("says nothing"), "{said}");
    ends_well(proxy, &cluster).await;
}
