//! Named access keys: what each opens, how much of it at a time, and how they are changed.

use std::num::{NonZeroU32, NonZeroUsize};

use http::{HeaderMap, Request};
use hyper::body::Incoming;
use llm_proxy::config::KeyUse;
use llm_proxy::gateway::{AccessKey, Settings};
use llm_proxy::instance::Hold;
use llm_proxy::route::EngineAuth;
use llm_proxy::secret::Key;
use serde_json::{Value, json};

use super::support::*;

/// The key of this name, which is the name and `-key`.
fn key(name: &str, purpose: KeyUse) -> AccessKey {
    AccessKey {
        name: name.to_owned(),
        digest: Key::new(format!("{name}-key")).digest(),
        purpose,
        models: None,
        requests_in_flight: None,
        requests_per_minute: None,
    }
}

fn of(access_keys: Vec<AccessKey>) -> Settings {
    Settings { access_key: Some(Key::new("door")), access_keys, listen_host: "0.0.0.0".into(), ..Settings::default() }
}

fn request(method: &str, path: &str, name: &str) -> Request<http_body_util::Full<bytes::Bytes>> {
    let body = if method == "POST" { r#"{"model":"a"}"# } else { "" };
    let request = Request::builder().method(method).uri(path).header("host", "gpu.example");
    request.header("authorization", format!("Bearer {name}-key")).body(full(body)).unwrap()
}

async fn told(response: http::Response<Incoming>) -> (u16, Value, HeaderMap) {
    let headers = response.headers().clone();
    let (status, body) = whole(response).await;
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)), headers)
}

async fn ask(proxy: &Proxy, method: &str, path: &str, name: &str) -> (u16, Value, HeaderMap) {
    told(proxy.send(request(method, path, name)).await).await
}

/// Its body is not waited for: that of `/events` has no end.
async fn status(proxy: &Proxy, method: &str, path: &str, name: &str) -> u16 {
    proxy.send(request(method, path, name)).await.status().as_u16()
}

#[tokio::test]
async fn each_key_opens_what_it_is_for() {
    let keys = vec![key("class", KeyUse::Inference), key("ops", KeyUse::Management), key("lab", KeyUse::Both)];
    let proxy = Proxy::with(echo_engine().await, Mood::Ready, EngineAuth::Client, of(keys)).await;
    let chat = ("POST", "/v1/chat/completions");
    let operators = [
        ("GET", "/instances"),
        ("POST", "/launch"),
        ("GET", "/status/x"),
        ("GET", "/logs/x"),
        ("POST", "/start/x"),
        ("POST", "/stop/x"),
        ("GET", "/events"),
        ("GET", "/metrics"),
        ("POST", "/sleep"),
        ("GET", "/proxy/tiny/metrics"),
    ];
    for (method, path) in operators {
        let (status_of_class, answer, _) = ask(&proxy, method, path, "class").await;
        assert_eq!((status_of_class, &answer["error"]["code"]), (403, &json!("key_not_allowed")), "{path}: {answer}");
        let words = answer["error"]["message"].as_str().unwrap();
        assert!(words.contains("`class` is for inference") && words.contains("management"), "{words}");
        assert!(!answer.to_string().contains("class-key"), "{answer}");
        assert_eq!(status(&proxy, method, path, "ops").await, 200, "{path}");
    }
    let (refused, answer, headers) = ask(&proxy, chat.0, chat.1, "ops").await;
    assert!(refused == 403 && answer.to_string().contains("`ops` is for management"), "{answer}");
    assert!(!headers.contains_key("www-authenticate"), "it is known who asks");
    for name in ["class", "ops", "lab"] {
        assert_eq!(status(&proxy, "GET", "/v1/models", name).await, 200, "{name}");
        assert_eq!(status(&proxy, "GET", "/version", name).await, 200, "{name}");
    }
    for (method, path) in operators.into_iter().chain([chat]) {
        assert_eq!(status(&proxy, method, path, "lab").await, 200, "{path}");
        assert_eq!(status(&proxy, method, path, "stranger").await, 401, "{path}");
    }
    let (_, seen, _) = ask(&proxy, chat.0, chat.1, "class").await;
    assert!(!seen.to_string().contains("class-key"), "the engine sees no key of ours: {seen}");
    let by_door = Request::post("/sleep").header("x-api-key", "door").body(full("")).unwrap();
    assert_eq!(proxy.send(by_door).await.status(), 200, "the one key opens everything");
    assert_eq!(proxy.ask("GET", "/health").await.0, 200);
}

#[tokio::test]
async fn a_key_for_some_models_sees_and_reaches_no_other() {
    let engine = echo_engine().await;
    let class = AccessKey { models: Some(vec!["a".into()]), ..key("class", KeyUse::Inference) };
    let members: [(&str, &[&str], _, _); 2] =
        [("one", &["a", "a-too"], engine, Mood::Ready), ("two", &["b"], engine, Mood::Ready)];
    let both = AccessKey { models: Some(vec!["a".into()]), ..key("both", KeyUse::Both) };
    let settings = of(vec![class, both, key("all", KeyUse::Inference)]);
    let (proxy, owners) = Proxy::several_with(settings, members).await;
    for (key, shown) in [("class", Some(vec!["one"])), ("both", Some(vec!["one", "two"])), ("none", None)] {
        let (_, health, _) = ask(&proxy, "GET", "/health", key).await;
        let detail = health["detail"].as_array();
        let names = detail.map(|all| all.iter().map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>());
        assert_eq!((health["instances"].as_u64(), names), (Some(2), shown), "{key}: {health}");
    }
    let names = |list: &Value| list["data"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&ask(&proxy, "GET", "/v1/models", "class").await.1), ["a", "a-too"]);
    assert_eq!(names(&ask(&proxy, "GET", "/v1/models", "all").await.1), ["a", "a-too", "b"]);
    assert_eq!(status(&proxy, "POST", "/v1/completions", "class").await, 200);
    assert_eq!(status(&proxy, "POST", "/v1/completions?model=a-too", "class").await, 200, "another name of it");
    assert_eq!(status(&proxy, "GET", "/proxy/one/version", "class").await, 200);
    for (method, path) in
        [("POST", "/v1/completions?model=b"), ("GET", "/v1/models/b"), ("POST", "/proxy/two/v1/completions?wake=1")]
    {
        let (status, answer, _) = ask(&proxy, method, path, "class").await;
        assert_eq!((status, &answer["error"]["code"]), (403, &json!("model_not_allowed")), "{path}: {answer}");
        let words = answer["error"]["message"].as_str().unwrap();
        assert!(words.contains("`class`") && words.ends_with("it is for a, a-too"), "{words}");
    }
    let (status, answer, _) = ask(&proxy, "POST", "/v1/completions?model=c", "class").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("model_not_found")), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().ends_with("known: a, a-too"), "{answer}");
    assert_eq!(owners[1].told(), [], "the other one was not even asked");
}

#[tokio::test]
async fn a_key_for_other_models_does_not_reach_the_only_one() {
    let class = AccessKey { models: Some(vec!["other".into()]), ..key("class", KeyUse::Inference) };
    let proxy = Proxy::serving(&["a"], no_engine().await, Mood::Ready, EngineAuth::Client, of(vec![class])).await;
    for path in ["/v1/completions", "/v1/completions?model=other", "/proxy/tiny/v1/completions"] {
        assert_eq!(ask(&proxy, "POST", path, "class").await.1["error"]["code"], "model_not_allowed", "{path}");
    }
    assert_eq!(ask(&proxy, "GET", "/v1/models", "class").await.1["data"], json!([]));
    assert_eq!(proxy.owner.told(), []);
}

fn is_limited((status, answer, headers): &(u16, Value, HeaderMap), retry_after: &str, words: &str) {
    assert_eq!((*status, &headers["retry-after"]), (429, &retry_after.parse().unwrap()), "{answer}");
    assert_eq!(answer["error"]["type"], "rate_limit_exceeded", "{answer}");
    assert_eq!(answer["error"]["code"], "rate_limit_exceeded", "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer}");
    assert!(!answer.to_string().contains("class-key"), "{answer}");
}

#[tokio::test]
async fn requests_in_flight_are_bounded_until_their_answers_end() {
    let class = AccessKey { requests_in_flight: NonZeroUsize::new(1), ..key("class", KeyUse::Inference) };
    let head = http::Response::builder().header("content-type", "text/event-stream");
    let (feed, engine) = fed_engine(head).await;
    let settings = of(vec![class, key("other", KeyUse::Inference)]);
    let proxy = Proxy::serving(&["a"], engine, Mood::Ready, EngineAuth::Client, settings).await;
    let path = "/v1/chat/completions";
    let mut streaming = proxy.send(request("POST", path, "class")).await;
    feed.send(event("one")).await.unwrap();
    assert!(piece(streaming.body_mut()).await.is_some());
    let limited = ask(&proxy, "POST", path, "class").await;
    is_limited(&limited, "5", "`class` has 1 requests in flight, as many as it may (requests_in_flight)");
    assert_eq!(
        status(&proxy, "GET", "/v1/models", "other").await,
        502,
        "another key is let in; this engine answers once"
    );
    drop(feed);
    while piece(streaming.body_mut()).await.is_some() {}
    let again = async || status(&proxy, "GET", "/ping", "class").await != 429;
    assert!(until(again).await, "room comes with the end of the answer");
}

/// Asks until it is so; false after the deadline.
async fn until(is_so: impl AsyncFn() -> bool) -> bool {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.is_ok()
}

#[tokio::test]
async fn who_waits_for_the_engine_is_in_flight_and_who_leaves_is_not() {
    let class = AccessKey { requests_in_flight: NonZeroUsize::new(1), ..key("class", KeyUse::Inference) };
    let proxy = Proxy::with(echo_engine().await, Mood::Asleep, EngineAuth::Client, of(vec![class])).await;
    let path = "/v1/chat/completions";
    let mut waiting = Box::pin(proxy.send(request("POST", path, "class")));
    tokio::select! {
        _ = &mut waiting => panic!("answered by an engine that sleeps"),
        () = eventually("the wait", || proxy.owner.was_told(Told::Acquire(Hold::Inference))) => {}
    }
    assert_eq!(status(&proxy, "GET", "/ping", "class").await, 429);
    drop(waiting);
    assert!(until(async || status(&proxy, "GET", "/ping", "class").await == 200).await);
    proxy.owner.wake();
    assert_eq!(status(&proxy, "POST", path, "class").await, 200);
}

#[tokio::test]
async fn requests_a_minute_are_bounded_and_what_is_refused_costs_nothing() {
    let class = AccessKey { requests_per_minute: NonZeroU32::new(3), ..key("class", KeyUse::Inference) };
    let settings = of(vec![class, key("other", KeyUse::Inference)]);
    let proxy = Proxy::with(echo_engine().await, Mood::Ready, EngineAuth::Client, settings).await;
    let path = "/v1/chat/completions";
    for _ in 0..5 {
        assert_eq!(status(&proxy, "GET", "/instances", "class").await, 403, "not even counted");
        assert_eq!(status(&proxy, "POST", path, "wrong").await, 401);
    }
    for _ in 0..3 {
        assert_eq!(status(&proxy, "POST", path, "class").await, 200);
    }
    let limited = ask(&proxy, "POST", path, "class").await;
    is_limited(&limited, "20", "`class` has used up its 3 requests per minute (requests_per_minute)");
    assert!(limited.1["error"]["message"].as_str().unwrap().ends_with("try again in 20 s"), "{}", limited.1);
    assert_eq!(status(&proxy, "POST", path, "other").await, 200, "another key");
    let (status, answer, _) = ask(&proxy, "POST", "/v1/messages", "class").await;
    assert_eq!((status, &answer["error"]["type"]), (429, &json!("rate_limit_error")), "in Anthropic's words: {answer}");
}

#[tokio::test]
async fn other_keys_hold_at_once_and_what_is_in_flight_goes_on() {
    let limited = |name: &str| AccessKey { requests_in_flight: NonZeroUsize::new(1), ..key(name, KeyUse::Inference) };
    let head = http::Response::builder().header("content-type", "text/event-stream");
    let (feed, engine) = fed_engine(head).await;
    let settings = of(vec![limited("class"), key("gone", KeyUse::Both)]);
    let proxy = Proxy::serving(&["a"], engine, Mood::Ready, EngineAuth::Client, settings).await;
    let mut streaming = proxy.send(request("POST", "/v1/chat/completions", "class")).await;
    feed.send(event("one")).await.unwrap();
    assert!(piece(streaming.body_mut()).await.is_some());
    let rotated = AccessKey { digest: Key::new("fresh-key").digest(), ..limited("class") };
    proxy.gateway.set_keys(None, vec![rotated]);
    assert_eq!(status(&proxy, "GET", "/ping", "gone").await, 401, "it was taken out");
    assert_eq!(status(&proxy, "GET", "/ping", "class").await, 401, "the old key");
    let by_door = Request::get("/ping").header("x-api-key", "door").body(full("")).unwrap();
    assert_eq!(proxy.send(by_door).await.status(), 401, "so was the one for everything");
    assert_eq!(status(&proxy, "GET", "/ping", "fresh").await, 429, "what the old key began counts");
    feed.send(event("two")).await.unwrap();
    let more = piece(streaming.body_mut()).await.unwrap().unwrap();
    assert!(more.contains("two"), "{more}");
    drop(feed);
    while piece(streaming.body_mut()).await.is_some() {}
    assert!(until(async || status(&proxy, "GET", "/ping", "fresh").await != 429).await);
    proxy.gateway.set_keys(None, Vec::new());
    let nameless = Request::get("/health").header("host", "localhost").body(full("")).unwrap();
    assert_eq!(proxy.send(nameless).await.status(), 200);
    assert_eq!(status(&proxy, "GET", "/ping", "fresh").await, 403, "without keys only our own names are answered");
}
