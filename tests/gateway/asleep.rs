//! What is answered while there is no engine, and what that starts.

use http::Request;
use llm_proxy::gateway::{Settings, WakeOn};
use llm_proxy::instance::{Hold, Phase};
use llm_proxy::route::EngineAuth;
use serde_json::{Value, json};

use super::support::*;

async fn asleep() -> Proxy {
    let models = ["org/tiny", "alias"];
    Proxy::serving(&models, no_engine().await, Mood::Asleep, EngineAuth::Client, Settings::default()).await
}

#[tokio::test]
async fn information_is_answered_here_and_wakes_nothing() {
    let proxy = asleep().await;
    let table: &[(&str, &str, u16, Value)] = &[
        ("GET", "/version", 200, json!({ "version": null })),
        ("GET", "/load", 200, json!({ "server_load": 0 })),
        ("GET", "/is_sleeping", 200, json!({ "is_sleeping": true })),
        ("GET", "/kv_event_sources", 200, json!({})),
        ("GET", "/api/ps", 200, json!({ "models": [] })),
        (
            "GET",
            "/api/tags?x=1",
            200,
            json!({ "models": [
            { "name": "org/tiny", "model": "org/tiny" }, { "name": "alias", "model": "alias" } ] }),
        ),
    ];
    for (method, path, status, expected) in table {
        let (got, body) = proxy.ask(method, path).await;
        assert_eq!((got, &serde_json::from_str::<Value>(&body).unwrap()), (*status, expected), "{path}");
    }
    for path in ["/ping", "/ping/", "/ready", "/health_generate", "/v1/health"] {
        assert_eq!(proxy.ask("GET", path).await, (200, String::new()), "{path}");
    }
    assert_eq!(proxy.ask("POST", "/ping").await.0, 200);
    assert!(proxy.ask("GET", "/").await.1.starts_with("llm-proxy is running; the engine is stopped"));
    let (status, metrics) = proxy.ask("GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("\nllm_proxy_engine_ready 0\n"), "{metrics}");
    let woken = |told: &Told| !matches!(told, Told::TryAcquire(Hold::Helper));
    assert_eq!(proxy.owner.told().iter().find(|told| woken(told)), None);
}

#[tokio::test]
async fn what_only_an_engine_can_do_is_refused_with_a_remedy() {
    let proxy = asleep().await;
    let table = [
        ("GET", "/server_info", 503, "engine_asleep"),
        ("POST", "/sleep?level=1", 409, "engine_asleep"),
        ("POST", "/v1/load_lora_adapter", 409, "engine_asleep"),
        ("POST", "/api/pull", 409, "engine_asleep"),
        ("GET", "/v1/responses/r1", 404, "response_not_found"),
        ("POST", "/v1/responses/r1/cancel", 404, "response_not_found"),
        ("GET", "/docs", 404, "unknown_route"),
        ("GET", "/made/up", 404, "unknown_route"),
        ("GET", "/v1/chat/completions", 404, "unknown_route"),
        ("HEAD", "/v1/chat/completions", 404, ""),
        ("OPTIONS", "/v1/chat/completions", 404, "unknown_route"),
        ("DELETE", "/v1/files/f1", 404, "unknown_route"),
    ];
    for (method, path, status, code) in table {
        let (got, body) = proxy.ask(method, path).await;
        assert_eq!(got, status, "{method} {path}: {body}");
        if !code.is_empty() {
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body.pointer("/error/code"), Some(&json!(code)), "{path}");
            assert_eq!(body["error"].as_object().map(serde_json::Map::len), Some(4), "{path}");
        }
    }
    assert!(proxy.owner.told().iter().all(|told| matches!(told, Told::TryAcquire(_))), "{:?}", proxy.owner.told());
}

#[tokio::test]
async fn health_is_ours_at_once() {
    let proxy = asleep().await;
    let (status, body) = proxy.ask("GET", "/health").await;
    assert_eq!(status, 200);
    let expected = json!({
        "status": "ok", "instances": 1, "processes": 0,
        "detail": [{ "name": "tiny", "state": "stopped", "phase": "stopped", "life": 0, "job": null, "in_flight": 0,
                     "waiting": 0, "link": "connected" }],
    });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    assert_eq!(proxy.ask("HEAD", "/health").await, (200, String::new()));
    assert_eq!(proxy.owner.told(), [], "nobody was even asked");
}

#[tokio::test]
async fn models_are_listed_from_their_names_and_start_the_engine() {
    let proxy = asleep().await;
    let (status, body) = proxy.ask("GET", "/v1/models").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["object"]), (200, &json!("list")));
    let first = json!({ "id": "org/tiny", "object": "model", "created": 0, "owned_by": "llm-proxy" });
    assert_eq!((&body["data"][0], &body["data"][1]["id"]), (&first, &json!("alias")));
    eventually("the start", || proxy.owner.was_told(Told::Nudge)).await;
    for path in ["/v1/models/org/tiny", "/v1/models/org%2Ftiny", "/models/org/tiny"] {
        let (status, body) = proxy.ask("GET", path).await;
        assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, first.clone()), "{path}");
    }
    let (status, body) = proxy.ask("GET", "/v1/models/other").await;
    assert_eq!(status, 404);
    assert!(body.contains("`other` does not exist; known: org/tiny, alias"), "{body}");
    assert!(!proxy.owner.told().iter().any(|told| matches!(told, Told::Acquire(_))), "nobody waits");
}

#[tokio::test]
async fn a_look_at_the_models_starts_nothing() {
    let proxy = asleep().await;
    assert_eq!(proxy.ask("HEAD", "/v1/models").await.0, 200);
    let settings = Settings { wake_on: WakeOn { models: false, inference: true }, ..Settings::default() };
    let quiet = Proxy::serving(&["m"], no_engine().await, Mood::Asleep, EngineAuth::Client, settings).await;
    assert_eq!(quiet.ask("GET", "/v1/models").await.0, 200);
    for proxy in [proxy, quiet] {
        assert_eq!(proxy.owner.told(), [Told::TryAcquire(Hold::Helper)]);
    }
}

#[tokio::test]
async fn models_that_only_the_engine_knows_are_waited_for() {
    let proxy = Proxy::start(echo_engine().await, Mood::Asleep).await;
    let (answer, ()) = tokio::join!(proxy.ask("GET", "/v1/models"), async {
        eventually("the wait", || proxy.owner.was_told(Told::TryAcquire(Hold::Helper))).await;
        proxy.owner.wake();
    });
    assert!(answer.1.starts_with("GET /v1/models\n"), "{}", answer.1);
    assert!(!proxy.owner.was_told(Told::Acquire(Hold::Helper)), "a wait that would start a life of its own");
}

#[tokio::test]
async fn a_look_at_unknown_models_waits_only_for_a_start_under_way() {
    let proxy = Proxy::start(no_engine().await, Mood::Asleep).await;
    proxy.owner.ignore_nudges();
    let empty = json!({ "object": "list", "data": [] });
    let (status, body) = proxy.ask("GET", "/v1/models").await;
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, empty.clone()));
    assert_eq!(proxy.owner.told(), [Told::Nudge, Told::TryAcquire(Hold::Helper)]);
    assert_eq!(proxy.ask("GET", "/v1/models/org/tiny").await.0, 503, "nobody can say that there is none");

    proxy.owner.show(Phase::Submitting);
    let (answer, ()) = tokio::join!(proxy.ask("GET", "/v1/models"), async {
        let asked = || proxy.owner.told().iter().filter(|told| **told == Told::Nudge).count();
        eventually("the wait", || asked() == 3).await;
        proxy.owner.show(Phase::Stopping(None));
    });
    assert_eq!((answer.0, serde_json::from_str::<Value>(&answer.1).unwrap()), (200, empty), "the start was given up");
    assert!(!proxy.owner.told().iter().any(|told| matches!(told, Told::Acquire(_))));
}

#[tokio::test]
async fn an_awake_engine_answers_for_itself() {
    let engine = echo_engine().await;
    let proxy = Proxy::serving(&["m"], engine, Mood::Ready, EngineAuth::Client, Settings::default()).await;
    for path in ["/v1/models", "/version", "/ping", "/docs", "/made/up", "/v1/responses/r1", "/sleep"] {
        let (status, seen) = proxy.ask("GET", path).await;
        assert!(status == 200 && seen.starts_with(&format!("GET {path}\n")), "{path}: {seen}");
    }
    assert_eq!(proxy.ask("POST", "/sleep").await.0, 200);
    assert!(!proxy.owner.was_told(Told::TryAcquire(Hold::Inference)), "none of it is inference");
    assert!(proxy.ask("GET", "/health").await.1.contains(r#""state":"ready""#));
}

#[tokio::test]
async fn a_post_on_no_list_wakes_if_it_names_a_model() {
    let proxy = Proxy::start(echo_engine().await, Mood::Asleep).await;
    for body in ["{}", "not json", r#"{"inner":{"model":"m"}}"#] {
        let (status, answer) = proxy.post("/my/plugin", body).await;
        assert_eq!(status, 404, "{body}");
        assert!(answer.contains("`/my/plugin`") && answer.contains("the engine is stopped"), "{answer}");
    }
    let body = r#"{"messages":[],"model":"m"}"#;
    let (answer, ()) = tokio::join!(proxy.post("/my/plugin", body), async {
        eventually("the wait", || proxy.owner.was_told(Told::Acquire(Hold::Inference))).await;
        proxy.owner.wake();
    });
    assert!(answer.0 == 200 && answer.1.ends_with(body), "{}", answer.1);
}

#[tokio::test]
async fn helpers_wake_and_do_not_count() {
    let proxy = Proxy::start(echo_engine().await, Mood::Asleep).await;
    let (answer, ()) = tokio::join!(proxy.post("/tokenize", "{}"), async {
        eventually("the wait", || proxy.owner.was_told(Told::Acquire(Hold::Helper))).await;
        proxy.owner.wake();
    });
    assert_eq!(answer.0, 200);
    eventually("the release", || proxy.owner.was_told(Told::Release(Hold::Helper))).await;
}

#[tokio::test]
async fn inference_may_be_kept_from_waking() {
    let settings = Settings { wake_on: WakeOn { inference: false, models: false }, ..Settings::default() };
    let proxy = Proxy::with(no_engine().await, Mood::Asleep, EngineAuth::Client, settings).await;
    for path in ["/v1/chat/completions", "/tokenize", "/my/plugin"] {
        let (status, body) = proxy.post(path, r#"{"model":"m"}"#).await;
        assert_eq!(status, 503, "{path}: {body}");
    }
    assert!(proxy.owner.told().iter().all(|told| matches!(told, Told::TryAcquire(_))));
}

#[tokio::test]
async fn a_page_of_this_machine_is_given_leave_by_us() {
    let proxy = asleep().await;
    let request = Request::options("/v1/chat/completions")
        .header("host", "localhost:8085")
        .header("origin", "http://localhost:3000")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let response = proxy.send(request.body(full("")).unwrap()).await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["access-control-allow-origin"], "http://localhost:3000");
    assert_eq!(response.headers()["access-control-allow-headers"], "authorization,content-type");
    for (path, status, readable) in [("/v1/models", 200, true), ("/server_info", 503, true), ("/health", 200, false)] {
        let request = Request::get(path).header("host", "localhost").header("origin", "http://localhost:3000");
        let response = proxy.send(request.body(full("")).unwrap()).await;
        let headers = response.headers();
        assert_eq!(
            (response.status().as_u16(), headers.contains_key("access-control-allow-origin")),
            (status, readable)
        );
    }
}
