//! The pages for people, and the description of the API.

use std::collections::HashSet;

use http::Request;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use llm_proxy::gateway::Settings;
use llm_proxy::route::EngineAuth;
use llm_proxy::secret::Key;
use serde_json::Value;

use crate::support::{Mood, Proxy, echo_engine, full, no_engine, whole};

async fn fleet() -> Proxy {
    Proxy::several([("one", &["org/one"], no_engine().await, Mood::Asleep)]).await.0
}

#[tokio::test]
async fn a_page_loads_nothing_from_anywhere_and_runs_no_script_but_its_own() {
    let proxy = fleet().await;
    let mut nonces = HashSet::new();
    for path in ["/dashboard", "/dashboard/", "/docs", "/dashboard/docs"] {
        let request = Request::get(path).header("host", "localhost").body(full("")).unwrap();
        let response = proxy.send(request).await;
        let header = |name| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        let (kind, policy) = (header(CONTENT_TYPE), header(CONTENT_SECURITY_POLICY));
        assert_eq!(kind, "text/html; charset=utf-8", "{path}");
        let nonce = policy.split("script-src 'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
        assert!(
            policy.starts_with("default-src 'none'; connect-src 'self';") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert!(nonces.insert(nonce.to_owned()), "a nonce is used once");
        let (status, text) = whole(response).await;
        assert_eq!(status, 200);
        assert_eq!(text.matches(&format!("nonce=\"{nonce}\"")).count(), 2, "{text}");
        for bad in [
            "http://",
            "https://",
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "src=",
            "on=\"",
            "style=\"",
            "onclick",
        ] {
            assert!(!text.contains(bad), "{path} has {bad}");
        }
    }
}

#[tokio::test]
async fn the_description_is_of_what_is_answered() {
    let proxy = fleet().await;
    let (status, text) = proxy.ask("GET", "/openapi.json").await;
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &told["openapi"]), (200, &"3.1.0".into()));
    for path in ["/instances", "/logs/{id}", "/events", "/metrics", "/health", "/dashboard", "/proxy/{id}/{path}"] {
        assert!(told["paths"][path].is_object(), "{path} is not described");
    }
    let wanted = &told["components"]["schemas"]["Wanted"];
    assert_eq!(wanted["additionalProperties"], false);
    assert!(wanted["properties"]["model_name"].is_object() && wanted["properties"]["params"].is_object(), "{wanted}");
    let (_, page) = proxy.ask("GET", "/docs").await;
    for shown in ["POST /instances", "model_name", "DELETE /instances/{id}", "Last-Event-ID"] {
        assert!(page.contains(shown), "the page does not say {shown}");
    }
}

#[tokio::test]
async fn with_one_command_what_engines_have_too_is_the_engine_s() {
    let engine = echo_engine().await;
    let proxy = Proxy::with(engine, Mood::Ready, EngineAuth::Client, Settings::default()).await;
    for path in ["/docs", "/openapi.json", "/dashboard/x", "/events/x"] {
        assert!(proxy.ask("GET", path).await.1.starts_with(&format!("GET {path}\n")), "{path}");
    }
    assert!(proxy.ask("GET", "/dashboard").await.1.starts_with("<!doctype html>"));
    assert!(proxy.ask("GET", "/dashboard/docs").await.1.starts_with("<!doctype html>"));
    assert!(proxy.ask("GET", "/dashboard/openapi.json").await.1.starts_with('{'));
}

#[tokio::test]
async fn nobody_reads_them_without_the_key() {
    let settings = Settings { access_key: Some(Key::new("open-sesame")), ..Settings::default() };
    let proxy = Proxy::with(no_engine().await, Mood::Asleep, EngineAuth::Client, settings).await;
    for path in ["/dashboard", "/dashboard/docs", "/dashboard/openapi.json", "/events", "/metrics"] {
        let ask = |authorization: &'static str| {
            let request = Request::get(path).header("host", "localhost").header("authorization", authorization);
            proxy.send(request.body(full("")).unwrap())
        };
        let refused = ask("Basic bm8=").await;
        assert_eq!(refused.status(), 401, "{path}");
        assert!(refused.headers().get_all("www-authenticate").iter().any(|way| way.as_bytes().starts_with(b"Basic")));
        // user:open-sesame
        assert_eq!(ask("Basic dXNlcjpvcGVuLXNlc2FtZQ==").await.status(), 200, "{path}");
    }
}
