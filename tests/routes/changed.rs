//! A route that stops to lead to the engine is given up for another, and the engine goes on.

use std::time::Duration;

use serde_json::Value;
use test_case::test_case;
use tokio::time::timeout;

use crate::fence::{nodes_reach_no, nodes_take_only};
use crate::scene::{Route, first_answer, hide_programs, proxy, route};
use crate::support::carried::LONG;
use crate::support::left::wait_until_nothing_runs;
use crate::support::scene::{chat, ends_well, state, wait_for_state, wait_until_nothing_is_left};
use crate::support::{Cluster, HostName, Proxy, eventually};

/// Where slurmd listens.
const SLURMD: u16 = 6818;

/// Whatever comes to this port of the first node from another machine is refused, also on a connection that stands.
fn node_breaks(cluster: &Cluster, port: u16) {
    let rule = format!("iifname != lo tcp dport {port} reject with tcp reset");
    let chain = format!("chain breaks {{ type filter hook input priority 0; {rule}; }};");
    filter(cluster, &format!("table inet fence {{ {chain} }}"));
}

/// The first node takes everything again.
fn no_fence_any_more(cluster: &Cluster) {
    filter(cluster, "delete table inet fence");
}

fn filter(cluster: &Cluster, rules: &str) {
    let done = cluster.on(HostName::Node1, &["nft", rules]);
    assert!(done.status.success(), "{rules}: {}", String::from_utf8_lossy(&done.stderr));
}

/// The engine's port on its node.
fn engine_port(cluster: &Cluster) -> u16 {
    let said = cluster.on(HostName::Node1, &["ss", "-Hltnp"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let line = said.lines().find(|line| line.contains("\"test-engine\"")).unwrap_or_else(|| panic!("{said}"));
    let place = line.split_whitespace().nth(3).expect("an address");
    place.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port")
}

/// The next answer, and the way that it took.
async fn next_answer(proxy: &Proxy) -> Route {
    let body = chat(false);
    let asked = proxy.client().post("/v1/chat/completions", &body);
    let answer = timeout(LONG, asked).await.expect("an answer within a minute");
    assert!(answer.status == 200, "{}\n{}", answer.text(), proxy.lines().so_far().join("\n"));
    route(&proxy.home())
}

#[track_caller]
fn saw(route: &Route, taken: &str, whys: &[(&str, &str)]) {
    let told = |name: &str| route.passed_over.iter().find(|told| told.starts_with(name)).cloned().unwrap_or_default();
    assert_eq!(route.taken, taken, "{route:?}");
    assert!(whys.iter().all(|(name, why)| told(name).contains(why)), "{whys:?} in {route:?}");
}

/// From direct to nested, with a stream in the middle of it, and on to the relay: one job, one engine.
#[tokio::test]
async fn another_is_taken_and_the_engine_goes_on() {
    let cluster = Cluster::up();
    let proxy = proxy(&cluster, "auto").start().await;
    saw(&first_answer(&proxy).await, "direct", &[]);
    let (jobs, port) = (cluster.jobs(), engine_port(&cluster));

    let mut long = chat(true);
    long.as_object_mut().expect("an object").insert("max_tokens".to_owned(), Value::from(600));
    let mut stream = proxy.client().stream("/v1/chat/completions", &long).await;
    assert!(timeout(LONG, stream.event()).await.expect("in time").is_ok_and(|event| event.is_some()));
    node_breaks(&cluster, port);
    let mut last = String::new();
    while let Ok(Some(event)) = timeout(LONG, stream.event()).await.expect("in time") {
        last = event;
    }
    assert!(last.contains("engine_broke_off"), "{last}");
    saw(&next_answer(&proxy).await, "nested", &[("direct", "refused")]);

    // Of all that come at once, each is served.
    node_breaks(&cluster, 22);
    nodes_take_only(&cluster, &[SLURMD]);
    nodes_reach_no(&cluster, &[22]);
    let (one, other) = tokio::join!(next_answer(&proxy), next_answer(&proxy));
    for route in [one, other] {
        saw(&route, "relay", &[("direct", "refused"), ("nested", "refused")]);
    }
    assert_eq!((cluster.jobs(), engine_port(&cluster)), (jobs, port), "it is the same engine");
    assert_eq!(state(&proxy).await, "ready");
    ends_well(proxy).await;
    // The node's sshd was told nothing of the end of its connection.
    wait_until_nothing_is_left(&cluster, 10).await;
}

/// The engine is not ended for it, and the route is looked for until it is there again.
#[test_case("auto"; "of all routes")]
#[test_case("direct"; "of the one that is wished")]
#[tokio::test]
async fn where_none_leads_there_it_is_said_and_one_is_looked_for(wish: &str) {
    let cluster = Cluster::builder().node_sshd_option("DenyUsers *").up();
    nodes_reach_no(&cluster, &[22]);
    hide_programs(&cluster, &["python"]);
    let proxy = proxy(&cluster, wish).start().await;
    saw(&first_answer(&proxy).await, "direct", &[]);
    let (jobs, port) = (cluster.jobs(), engine_port(&cluster));

    node_breaks(&cluster, port);
    let body = chat(false);
    let answer = timeout(LONG, proxy.client().post("/v1/chat/completions", &body)).await.expect("an answer in time");
    let text = answer.text();
    assert!(answer.status == 503 && text.contains("route_broken") && text.contains("direct: "), "{text}");
    assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
    assert_eq!(text.contains("relay: "), wish == "auto", "{text}");
    wait_for_state(&proxy, "bootstrapping", 5).await;
    let health = proxy.client().get("/health").await.ok();
    let detail = |key: &str| health.pointer(&format!("/detail/0/{key}")).and_then(Value::as_str).map(str::to_owned);
    assert_eq!(detail("phase").as_deref(), Some("unreachable"));
    let said = Proxy::builder().home(&proxy.home()).run(["status"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("no route leads to the engine any more (direct: "), "{said}");

    no_fence_any_more(&cluster);
    let answers = async || {
        let answer = proxy.client().post("/v1/chat/completions", &body).await;
        (answer.status == 200).then_some(())
    };
    eventually(Duration::from_mins(1), "the engine answers again", answers).await;
    saw(&route(&proxy.home()), "direct", &[]);
    assert_eq!((cluster.jobs(), engine_port(&cluster)), (jobs, port), "it is the same engine");
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 10).await;
}
