//! One model on several engines: which of them is a request's?

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use llm_proxy::fleet::{Bounds, By, Fleet, Group, Replica};
use llm_proxy::gateway::{Settings, WakeOn};
use llm_proxy::instance::{Hold, Phase, Refusal};
use llm_proxy::route::EngineAuth;

use super::support::*;

fn group(by: By, min: usize) -> Arc<Group> {
    let name = llm_proxy::id::InstanceName::from_text("m").expect("a name");
    Arc::new(Group::new(name, by, Bounds { min, busy_at: 2, scale_after: Duration::from_millis(200) }))
}

/// Replicas `m`, `m-2`, … of the model `org/m`, each before its engine.
async fn replicas<const N: usize>(group: Arc<Group>, engines: [(SocketAddr, Mood); N]) -> (Proxy, [Owner; N], Fleet) {
    replicas_with(Settings::default(), group, engines).await
}

async fn replicas_with<const N: usize>(
    settings: Settings,
    group: Arc<Group>,
    engines: [(SocketAddr, Mood); N],
) -> (Proxy, [Owner; N], Fleet) {
    let fleet = Fleet::of_many(None);
    let mut number = 0;
    let owners = engines.map(|(engine, mood)| {
        number += 1;
        let name = if number == 1 { "m".to_owned() } else { format!("m-{number}") };
        let (owner, member) = member(&name, vec!["org/m".to_owned()], engine, mood, EngineAuth::Client, &settings);
        fleet.put(member.as_replica(Some(Replica { group: Arc::clone(&group), number })));
        owner
    });
    let (address, gateway, lifetime) = front(fleet.clone(), settings).await;
    (Proxy { address, gateway, owner: owners[0].clone(), lifetime }, owners, fleet)
}

async fn ask(proxy: &Proxy, body: &str) -> (u16, String, String) {
    let response = proxy.send(post("/v1/chat/completions", body.to_owned())).await;
    let name =
        response.headers().get("x-llm-proxy-instance").map_or("-", |name| name.to_str().expect("text")).to_owned();
    let (status, text) = whole(response).await;
    (status, name, text)
}

fn prompt(text: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],"model":"org/m"}}"#)
}

/// A port where nobody listens.
async fn nowhere() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

#[tokio::test]
async fn the_one_with_the_least_to_do_gets_the_request_and_the_list_names_the_model_once() {
    let engines = [(echo_engine().await, Mood::Ready), (echo_engine().await, Mood::Ready)];
    let (proxy, owners, _) = replicas(group(By::LeastOutstanding, 2), engines).await;
    assert_eq!(ask(&proxy, &prompt("a")).await.1, "m", "the first of equals");
    owners[0].show_load(2);
    owners[1].show_load(1);
    let (status, by, text) = ask(&proxy, &prompt("a")).await;
    assert_eq!((status, by.as_str()), (200, "m-2"));
    assert!(text.ends_with(&prompt("a")), "{text}");
    // By its own name, one alone is meant; by the name of all, any.
    owners[1].show_load(9);
    assert_eq!(ask(&proxy, r#"{"model":"m-2"}"#).await.1, "m-2");
    owners[0].show_load(10);
    assert_eq!(ask(&proxy, r#"{"model":"m"}"#).await.1, "m-2");
    assert_eq!(proxy.ask("GET", "/proxy/m/version").await.0, 200);
    let (_, list) = proxy.ask("GET", "/v1/models").await;
    assert_eq!(list.matches("\"id\"").count(), 1, "{list}");
    let (_, health) = proxy.ask("GET", "/health").await;
    assert!(health.contains("\"m\"") && health.contains("\"m-2\""), "{health}");
}

#[tokio::test]
async fn requests_of_one_moment_are_shared_out() {
    // None is answered before all are there.
    let all = Arc::new(tokio::sync::Barrier::new(12));
    let hold = || {
        let all = Arc::clone(&all);
        engine(move |_| {
            let all = Arc::clone(&all);
            async move {
                all.wait().await;
                http::Response::new(known("{}"))
            }
        })
    };
    let engines = [(hold().await, Mood::Ready), (hold().await, Mood::Ready), (hold().await, Mood::Ready)];
    let (proxy, owners, _) = replicas(group(By::LeastOutstanding, 3), engines).await;
    owners.iter().for_each(Owner::count_permits);
    let body = prompt("a");
    let answers = futures_util::future::join_all((0..12).map(|_| ask(&proxy, &body))).await;
    for name in ["m", "m-2", "m-3"] {
        let there = answers.iter().filter(|(_, by, _)| by == name).count();
        assert!((3..=5).contains(&there), "{name} got {there} of 12");
    }
}

#[tokio::test]
async fn what_begins_alike_goes_to_one_and_the_next_takes_what_is_too_much() {
    let engines =
        [(echo_engine().await, Mood::Ready), (echo_engine().await, Mood::Ready), (echo_engine().await, Mood::Ready)];
    let (proxy, owners, _) = replicas(group(By::Prefix, 3), engines).await;
    let name_of = |number: usize| if number == 0 { "m".to_owned() } else { format!("m-{}", number + 1) };
    let mut met = std::collections::BTreeSet::new();
    for number in 0..20 {
        let text = format!("prompt {number}");
        let by = ask(&proxy, &prompt(&text)).await.1;
        let grown = format!(
            r#"{{"model":"org/m","messages":[{{"role":"user","content":"{text}"}},{{"role":"assistant","content":"x"}}]}}"#
        );
        assert_eq!(ask(&proxy, &grown).await.1, by, "the conversation stays where its cache is");
        met.insert(by);
    }
    assert_eq!(met.len(), 3, "{met:?}");
    let home = ask(&proxy, &prompt("home")).await.1;
    let at = (0..3).find(|&number| name_of(number) == home).expect("one of three");
    owners[at].show_load(20);
    let next = ask(&proxy, &prompt("home")).await.1;
    assert_ne!(next, home);
    assert_eq!(ask(&proxy, &prompt("home")).await.1, next, "always the same next");
    owners[at].show_load(0);
    assert_eq!(ask(&proxy, &prompt("home")).await.1, home);
}

#[tokio::test]
async fn one_that_cannot_be_reached_is_passed_over_with_the_whole_body() {
    let engines = [(nowhere().await, Mood::Ready), (echo_engine().await, Mood::Ready)];
    let (proxy, owners, _) = replicas(group(By::LeastOutstanding, 2), engines).await;
    let body = prompt(&"long ".repeat(100_000));
    let (status, by, text) = ask(&proxy, &body).await;
    assert_eq!((status, by.as_str()), (200, "m-2"));
    assert!(text.ends_with(&body), "the body changed on its way");
    eventually("the first is let go of", || owners[0].was_told(Told::Release(Hold::Inference))).await;
    // Its name alone is its own.
    let (status, _) = proxy.ask("POST", "/proxy/m/v1/chat/completions").await;
    assert_eq!(status, 502);
}

#[tokio::test]
async fn one_that_has_read_the_request_is_not_passed_over() {
    let dies = raw_engine(|mut stream| async move {
        drop(read_head(&mut stream).await);
    })
    .await;
    let (proxy, owners, _) =
        replicas(group(By::LeastOutstanding, 2), [(dies, Mood::Ready), (no_engine().await, Mood::Ready)]).await;
    let (status, _, text) = ask(&proxy, &prompt("a")).await;
    assert_eq!(status, 502, "{text}");
    assert_eq!(owners[1].told(), []);
}

#[tokio::test]
async fn one_that_refuses_is_passed_over_and_the_first_that_is_ready_serves() {
    let refusing = Mood::Refusing(Refusal::TooManyWaiting { limit: 1 });
    let engines =
        [(no_engine().await, refusing), (no_engine().await, Mood::Asleep), (echo_engine().await, Mood::Asleep)];
    let (proxy, owners, _) = replicas(group(By::LeastOutstanding, 1), engines).await;
    // The third is on its way already, so nobody starts the second.
    owners[2].show(Phase::Starting);
    let body = prompt("a");
    let ((status, by, _), ()) = tokio::join!(ask(&proxy, &body), async {
        eventually("the wait", || owners[2].was_told(Told::Acquire(Hold::Inference))).await;
        owners[2].wake();
    });
    assert_eq!((status, by.as_str()), (200, "m-3"));
    assert!(!owners[1].was_told(Told::Acquire(Hold::Inference)));
}

/// It waits for its turn at one that runs, and starts none beside it.
#[tokio::test]
async fn a_request_that_may_not_wake_an_engine_starts_no_replica() {
    let settings = Settings { wake_on: WakeOn { inference: false, models: false }, ..Settings::default() };
    let engines = [(echo_engine().await, Mood::Asleep), (no_engine().await, Mood::Asleep)];
    let (proxy, owners, _) = replicas_with(settings, group(By::LeastOutstanding, 2), engines).await;
    let body = prompt("a");
    assert_eq!(ask(&proxy, &body).await.0, 503, "none runs");
    // As a full one: it runs, and gives nothing at once.
    owners[0].show(Phase::Ready);
    let ((status, by, text), ()) = tokio::join!(ask(&proxy, &body), async {
        eventually("the wait", || owners[0].was_told(Told::Acquire(Hold::Inference))).await;
        owners[0].wake();
    });
    assert_eq!((status, by.as_str()), (200, "m"), "{text}");
    assert!(!owners[1].was_told(Told::Acquire(Hold::Inference)), "{:?}", owners[1].told());
}

#[tokio::test]
async fn nor_does_it_wait_for_the_next_life_of_one_that_ends() {
    let settings = Settings { wake_on: WakeOn { inference: false, models: false }, ..Settings::default() };
    let engines = [(no_engine().await, Mood::Asleep), (no_engine().await, Mood::Asleep)];
    let (proxy, owners, _) = replicas_with(settings, group(By::LeastOutstanding, 2), engines).await;
    owners[0].show(Phase::Ready);
    let body = prompt("a");
    let ((status, _, text), ()) = tokio::join!(ask(&proxy, &body), async {
        eventually("the wait", || owners[0].was_told(Told::Acquire(Hold::Inference))).await;
        owners[0].show(Phase::Draining);
        eventually("the end of the wait", || owners[0].was_told(Told::Abandon)).await;
    });
    assert_eq!(status, 503, "{text}");
}

#[tokio::test]
async fn where_none_runs_the_first_is_started_and_the_next_where_that_refuses() {
    let engines = [(no_engine().await, Mood::Asleep), (echo_engine().await, Mood::Asleep)];
    let (proxy, owners, _) = replicas(group(By::LeastOutstanding, 1), engines).await;
    let body = prompt("a");
    let ((status, by, _), ()) = tokio::join!(ask(&proxy, &body), async {
        eventually("the first", || owners[0].was_told(Told::Acquire(Hold::Inference))).await;
        assert!(!owners[1].was_told(Told::Acquire(Hold::Inference)), "one is enough");
        owners[0].refuse(Refusal::TooManyWaiting { limit: 0 });
        eventually("the second", || owners[1].was_told(Told::Acquire(Hold::Inference))).await;
        owners[1].wake();
    });
    assert_eq!((status, by.as_str()), (200, "m-2"));
    owners[1].refuse(Refusal::Stopped);
    owners[1].show(Phase::Stopped);
    let (status, _, text) = ask(&proxy, &body).await;
    assert_eq!(status, 429, "all refuse, and the first one's word is told: {text}");
}

#[tokio::test]
async fn the_first_request_starts_as_many_as_are_kept_and_load_one_more() {
    let engines = [
        (echo_engine().await, Mood::Asleep),
        (echo_engine().await, Mood::Asleep),
        (echo_engine().await, Mood::Asleep),
        (echo_engine().await, Mood::Asleep),
    ];
    let (proxy, owners, fleet) = replicas(group(By::LeastOutstanding, 2), engines).await;
    let tending = tokio::spawn(llm_proxy::fleet::tend(fleet));
    let asked = |owner: &Owner| owner.told().iter().any(|told| matches!(told, Told::Acquire(_)));
    assert!(!owners.iter().any(asked), "nobody has asked");
    let body = prompt("a");
    let ((status, ..), ()) = tokio::join!(ask(&proxy, &body), async {
        eventually("both are wanted", || asked(&owners[0]) && asked(&owners[1])).await;
        owners[1].wake();
        owners[0].wake();
    });
    assert_eq!(status, 200);
    owners[0].show_load(2);
    owners[1].show_load(2);
    eventually("one more is started", || owners[2].was_told(Told::Acquire(Hold::Helper))).await;
    owners[2].show(Phase::Starting);
    owners[2].wake();
    owners[1].show_load(0);
    eventually("its start is over", || owners[2].was_told(Told::Release(Hold::Helper))).await;
    let (kept, third) = (owners[1].told().len(), owners[2].told());
    eventually("the second is kept while the first is used", || owners[1].told().len() > kept + 1).await;
    assert_eq!(owners[2].told(), third, "the third may end when it is idle");
    assert!(!asked(&owners[3]), "one at a time");
    tending.abort();
}
