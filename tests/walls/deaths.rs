//! An engine that dies when nothing is in flight, and again and again.

use crate::scene::{ask, code, ends_well, problem, proxy_with, signal_engine, until_served};
use crate::support::scene::{soon, wait_for_state, wait_until_nothing_is_left};
use crate::support::{Cluster, Home, Proxy, engine_path, eventually};

#[tokio::test]
async fn one_that_dies_while_it_is_idle_is_told_and_started_by_the_next_request() {
    let cluster = Cluster::up();
    let proxy = proxy_with(&cluster, "", &[], &[]).start().await;
    let home = proxy.home();
    ask(&proxy).await.ok();
    signal_engine(&cluster, "KILL");
    wait_for_state(&proxy, "failed", 30).await;
    assert!(problem(&home).is_some());
    wait_until_nothing_is_left(&cluster, 1).await;
    let refused = ask(&proxy).await;
    assert!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);
    until_served(&proxy, 60).await;
    ends_well(proxy, &cluster).await;
}

/// How many engines were ever asked for.
fn asked_for(home: &Home) -> usize {
    let log = home.path().join("state/llm-proxy/test-engine/engine.log");
    std::fs::read_to_string(log).unwrap_or_default().matches("a new engine is asked for").count()
}

/// Each failure is one of a person's starts, so that nothing is waited for.
#[tokio::test]
async fn the_sixth_failure_in_a_row_opens_the_circuit_and_says_why() {
    let proxy = Proxy::builder().command([engine_path().into_os_string()]).command(["--fail", "no such weights"]);
    let proxy = proxy.start().await;
    let home = proxy.home();
    let tries = |many: usize| {
        let home = home.clone();
        async move {
            Proxy::builder().home(&home).run(["start"]);
            let tried = async || (asked_for(&home) == many).then_some(());
            eventually(soon(), "it is tried at once", tried).await;
        }
    };
    for failure in 1..=6 {
        tries(failure).await;
        wait_for_state(&proxy, "failed", 30).await;
        let refused = ask(&proxy).await;
        assert_eq!(refused.text().contains("in a row"), failure == 6, "failure {failure}: {}", refused.text());
    }
    let refused = ask(&proxy).await;
    let said = refused.text();
    assert!(said.contains("no such weights") && said.contains("`llm-proxy start`"), "{said}");
    assert_eq!(refused.status.as_u16(), 503, "{}", code(&refused));
    assert_eq!(asked_for(&home), 6, "no request tries it");
    tries(7).await;
    let seven = async || ask(&proxy).await.text().contains("failure 7 in a row").then_some(());
    eventually(soon(), "the try was counted", seven).await;
    assert!(proxy.stop("INT", soon()).await.success());
}
