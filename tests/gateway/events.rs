//! What happens to instances, as clients follow it.

use std::time::Duration;

use http::Request;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use llm_proxy::gateway::{Patience, Settings};
use llm_proxy::instance::Phase;
use llm_proxy::route::EngineAuth;
use serde_json::Value;

use crate::support::{DEADLINE, Mood, Proxy, full, no_engine, piece};

/// A client that follows.
struct Follower {
    body: Incoming,
    read: String,
}

/// One event, or one comment.
#[derive(Debug)]
struct Event {
    id: String,
    kind: String,
    data: Value,
}

impl Follower {
    async fn new(proxy: &Proxy, last: Option<&str>) -> Self {
        let mut request = Request::get("/events").header("host", "localhost");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = proxy.send(request.body(full("")).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream; charset=utf-8");
        Self { body: response.into_body(), read: String::new() }
    }

    /// The next event; nothing at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.read = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                let data = serde_json::from_str(field("data: ")).unwrap_or(Value::Null);
                let kind = if event.starts_with(':') { "comment" } else { field("event: ") };
                return Some(Event { id: field("id: ").to_owned(), kind: kind.to_owned(), data });
            }
            self.read.push_str(&piece(&mut self.body).await?.unwrap());
        }
    }

    async fn expect(&mut self, kind: &str) -> Event {
        let event = self.next().await.expect("an event");
        assert_eq!(event.kind, kind, "{event:?}");
        event
    }

    /// The next change of an instance, as its name and its phase.
    async fn change(&mut self) -> (String, String, String) {
        let event = self.expect("state").await;
        let word = |key: &str| event.data[key].as_str().unwrap().to_owned();
        (word("name"), word("phase"), event.id)
    }
}

fn moved(name: &str, phase: &str) -> (String, String) {
    (name.to_owned(), phase.to_owned())
}

#[tokio::test]
async fn each_change_is_told_once_and_who_comes_back_goes_on_where_he_left() {
    let engines = [no_engine().await, no_engine().await];
    let (proxy, [one, two]) = Proxy::several([
        ("one", &["org/one"], engines[0], Mood::Asleep),
        ("two", &["org/two"], engines[1], Mood::Ready),
    ])
    .await;
    let mut first = Follower::new(&proxy, None).await;
    // Where all stand, whether that was known already when he came or is told at once.
    let now = first.expect("now").await;
    let mut known = now.data["instances"].as_array().unwrap().len();
    while known < 2 {
        first.change().await;
        known += 1;
    }
    one.show(Phase::Submitting);
    let (name, phase, last) = first.change().await;
    assert_eq!((name, phase), moved("one", "submitting"));
    drop(first);

    let mut second = Follower::new(&proxy, None).await;
    let now = second.expect("now").await;
    let stand: Vec<_> = now.data["instances"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
    assert_eq!((stand, now.id.as_str()), (vec!["bootstrapping".into(), "ready".into()], last.as_str()));
    two.show(Phase::Draining);
    let (name, phase, _) = second.change().await;
    assert_eq!((name, phase), moved("two", "draining"));
    one.show(Phase::Queued { reason: Some("Priority\n\ndata: x".to_owned()), expected_start: None });
    let event = second.expect("state").await;
    assert_eq!(event.data["words"], "queued (Priority\n\ndata: x)", "foreign words stay in their place");

    let mut back = Follower::new(&proxy, Some(&last)).await;
    let (name, phase, _) = back.change().await;
    assert_eq!((name, phase), moved("two", "draining"));
    let (name, phase, end) = back.change().await;
    assert_eq!(((name, phase), end.as_str()), (moved("one", "queued"), event.id.as_str()));

    for foreign in ["00000000-1", "nonsense", ""] {
        let mut other = Follower::new(&proxy, Some(foreign)).await;
        let gap = other.expect("gap").await;
        assert!(gap.data["missing"].as_str().unwrap().contains("none of this run"), "{gap:?}");
        assert_eq!((gap.data["instances"].as_array().unwrap().len(), gap.id), (2, event.id.clone()));
    }
    let (status, answer) = proxy.ask("POST", "/events").await;
    assert!(status == 405 && answer.contains("GET"), "{status} {answer}");
}

#[tokio::test]
async fn a_quiet_stream_shows_signs_of_life_also_before_one_command_and_ends_with_the_proxy() {
    let patience = Patience { keep_alive: Some(Duration::from_millis(20)), ..Patience::default() };
    let settings = Settings { patience, ..Settings::default() };
    let proxy = Proxy::with(no_engine().await, Mood::Asleep, EngineAuth::Client, settings).await;
    let mut follower = Follower::new(&proxy, None).await;
    follower.expect("now").await;
    while follower.next().await.expect("a comment").kind != "comment" {}
    // What happened before the end is told.
    proxy.owner.show(Phase::Ready);
    tokio::task::yield_now().await;
    proxy.lifetime.tasks.close();
    let shown = async {
        loop {
            let event = follower.next().await.expect("the change");
            if event.data["phase"] == "ready" {
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, shown).await.expect("the change in time");
    proxy.lifetime.no_more.cancel();
    while let Some(event) = follower.next().await {
        assert_eq!(event.kind, "comment");
    }
    tokio::time::timeout(DEADLINE, proxy.lifetime.tasks.wait()).await.expect("no task is left");
}

#[tokio::test]
async fn a_slow_reader_gets_a_gap_and_what_he_does_not_read_is_not_kept_for_him() {
    let (proxy, [one]) = Proxy::several([("one", &["org/one"], no_engine().await, Mood::Asleep)]).await;
    let (mut slow, mut quick) = (Follower::new(&proxy, None).await, Follower::new(&proxy, None).await);
    quick.expect("now").await;
    // More than the sockets and the journal hold together.
    let long = "x".repeat(4096);
    let mut last = String::new();
    for number in 0..8000 {
        let reason = format!("{number} {long}");
        one.show(Phase::Queued { reason: Some(reason.clone()), expected_start: None });
        loop {
            let event = quick.expect("state").await;
            if event.data["words"].as_str().unwrap().starts_with(&format!("queued ({number} ")) {
                last = event.id;
                break;
            }
        }
    }
    let mut gaps = 0;
    loop {
        let event = slow.next().await.expect("an event");
        if event.kind == "gap" {
            gaps += 1;
            assert!(event.data["missing"].as_str().unwrap().contains("not kept"), "{event:?}");
            assert_eq!(event.data["instances"].as_array().unwrap().len(), 1);
        }
        if event.id == last {
            break;
        }
    }
    assert_eq!(gaps, 1);
}
