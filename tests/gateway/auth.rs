//! Who gets in, and whose key the engine sees.

use http::Request;
use llm_proxy::gateway::Settings;
use llm_proxy::route::EngineAuth;
use llm_proxy::secret::Key;

use super::support::*;

fn keyed() -> Settings {
    Settings { access_key: Some(Key::new("door")), listen_host: "0.0.0.0".into(), ..Settings::default() }
}

async fn ask(proxy: &Proxy, path: &str, lines: &[(&str, &str)]) -> (u16, String) {
    let mut request = Request::post(path);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    whole(proxy.send(request.body(full("{}")).unwrap()).await).await
}

#[tokio::test]
async fn everything_but_health_needs_the_key() {
    let proxy = Proxy::with(no_engine().await, Mood::Ready, EngineAuth::Client, keyed()).await;
    let host = ("host", "gpu.example:8085");
    for path in ["/v1/chat/completions", "/v1/models", "/metrics", "/ping", "/", "/health/x", "/made/up"] {
        let (status, body) = ask(&proxy, path, &[host]).await;
        assert_eq!(status, 401, "{path}");
        assert!(body.contains(r#""code":"invalid_api_key""#), "{body}");
        assert_eq!(ask(&proxy, path, &[host, ("authorization", "Bearer wrong")]).await.0, 401, "{path}");
    }
    let (_, body) = ask(&proxy, "/v1/messages", &[host]).await;
    assert!(body.contains(r#""type":"authentication_error""#), "{body}");
    assert_eq!(proxy.ask("GET", "/health").await.0, 200);
    assert_eq!(proxy.owner.told(), [], "nobody was asked");
}

async fn health(proxy: &Proxy, lines: &[(&str, &str)]) -> serde_json::Value {
    let request = lines.iter().fold(Request::get("/health"), |request, (name, value)| request.header(*name, *value));
    let (status, body) = whole(proxy.send(request.body(full("")).unwrap()).await).await;
    assert_eq!(status, 200, "{lines:?}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn health_tells_strangers_only_its_bare_words() {
    let keyed = Proxy::with(no_engine().await, Mood::Ready, EngineAuth::Client, keyed()).await;
    let open = Proxy::start(no_engine().await, Mood::Ready).await;
    let bare = serde_json::json!({ "status": "ok", "instances": 1, "processes": 1 });
    let (ours, theirs) = (("host", "localhost"), ("host", "evil.example"));
    assert_eq!(health(&keyed, &[ours]).await, bare);
    assert_eq!(health(&keyed, &[ours, ("authorization", "Bearer wrong")]).await, bare);
    assert_eq!(health(&open, &[theirs]).await, bare);
    assert_eq!(health(&open, &[ours, ("origin", "http://evil.example")]).await, bare);
    assert_eq!(health(&open, &[ours, ("sec-fetch-site", "cross-site")]).await, bare);
    for known in [health(&keyed, &[theirs, ("authorization", "Bearer door")]).await, health(&open, &[ours]).await] {
        assert_eq!(known.pointer("/detail/0/name"), Some(&serde_json::json!("tiny")));
    }
}

#[tokio::test]
async fn what_another_site_makes_a_browser_send_is_refused() {
    let proxy = Proxy::start(echo_engine().await, Mood::Ready).await;
    let keyed = Proxy::with(echo_engine().await, Mood::Ready, EngineAuth::Client, keyed()).await;
    let host = ("host", "localhost");
    let basic = ("authorization", "Basic YW55Ym9keTpkb29y");
    for site in ["cross-site", "same-site"] {
        let site = ("sec-fetch-site", site);
        for (status, body) in [
            ask(&proxy, "/v1/completions", &[host, site]).await,
            ask(&keyed, "/v1/completions", &[host, site, basic]).await,
        ] {
            assert_eq!(status, 403, "{site:?}");
            assert!(body.contains(r#""code":"cross_site""#), "{body}");
        }
        let bearer = ("authorization", "Bearer door");
        assert_eq!(ask(&keyed, "/v1/completions", &[host, site, bearer]).await.0, 200, "a page that shows the key");
        let origin = ("origin", "http://localhost:3000");
        assert_eq!(ask(&proxy, "/v1/completions", &[host, site, origin]).await.0, 200, "a page of this machine");
    }
    for site in ["none", "same-origin"] {
        assert_eq!(ask(&proxy, "/v1/completions", &[host, ("sec-fetch-site", site)]).await.0, 200, "{site}");
    }
}

#[tokio::test]
async fn the_challenge_lets_a_browser_ask_for_the_key() {
    let proxy = Proxy::with(no_engine().await, Mood::Ready, EngineAuth::Client, keyed()).await;
    let response = proxy.send(post("/v1/models", "")).await;
    let challenges: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(challenges, ["Basic realm=\"llm-proxy\", charset=\"UTF-8\"", "Bearer realm=\"llm-proxy\""]);
}

#[tokio::test]
async fn the_engine_gets_its_own_key_and_never_ours() {
    let host = ("host", "gpu.example");
    let ways = [("authorization", "Bearer door"), ("authorization", "Basic YW55Ym9keTpkb29y"), ("x-api-key", "door")];
    let engine = echo_engine().await;
    let ours = Proxy::with(engine, Mood::Ready, EngineAuth::Key(Key::new("engine")), keyed()).await;
    let theirs = Proxy::with(engine, Mood::Ready, EngineAuth::Client, keyed()).await;
    for way in ways {
        let (status, seen) = ask(&ours, "/v1/completions", &[host, way]).await;
        assert_eq!(status, 200);
        assert!(seen.contains("\nauthorization: Bearer engine\n"), "{seen}");
        assert!(!seen.contains("door") && !seen.contains("YW55Ym9keTpkb29y") && !seen.contains("x-api-key"), "{seen}");
        let (status, seen) = ask(&theirs, "/v1/completions", &[host, way]).await;
        assert_eq!(status, 200);
        assert!(!seen.contains("door") && !seen.contains("authorization") && !seen.contains("x-api-key"), "{seen}");
    }
    // With the command's own key, a client shows both.
    let both = [host, ("x-api-key", "door"), ("authorization", "Bearer commands")];
    let (_, seen) = ask(&theirs, "/v1/completions", &both).await;
    assert!(seen.contains("\nauthorization: Bearer commands\n") && !seen.contains("door"), "{seen}");
}

#[tokio::test]
async fn without_a_key_of_ours_the_clients_passes_through() {
    let engine = echo_engine().await;
    let proxy = Proxy::start(engine, Mood::Ready).await;
    let host = ("host", "localhost");
    let (_, seen) = ask(&proxy, "/v1/messages", &[host, ("x-api-key", "commands")]).await;
    assert!(seen.contains("\nauthorization: Bearer commands\n") && !seen.contains("x-api-key"), "{seen}");
    let both = [host, ("x-api-key", "other"), ("authorization", "Bearer commands")];
    let (_, seen) = ask(&proxy, "/v1/messages", &both).await;
    assert!(seen.contains("\nauthorization: Bearer commands\n") && seen.contains("\nx-api-key: other\n"), "{seen}");
    let keyed_engine = Proxy::with(engine, Mood::Ready, EngineAuth::Key(Key::new("engine")), Settings::default()).await;
    let (_, seen) = ask(&keyed_engine, "/v1/messages", &both).await;
    assert!(seen.contains("\nauthorization: Bearer engine\n") && !seen.contains("other"), "{seen}");
}

#[tokio::test]
async fn without_a_key_only_our_own_names_are_answered() {
    let proxy = Proxy::start(no_engine().await, Mood::Asleep).await;
    let (status, body) = ask(&proxy, "/v1/completions", &[("host", "evil.example:8085")]).await;
    assert_eq!(status, 403);
    assert!(body.contains("not to the host `evil.example:8085`") && body.contains("--access-key"), "{body}");
    let rebound = [("host", "localhost"), ("origin", "http://evil.example")];
    let (status, body) = ask(&proxy, "/v1/completions", &rebound).await;
    assert_eq!(status, 403);
    assert!(body.contains("`http://evil.example`"), "{body}");
    let request = Request::get("/v1/models").header("host", "localhost").header("origin", "http://evil.example");
    let response = proxy.send(request.body(full("")).unwrap()).await;
    assert!(!response.headers().contains_key("access-control-allow-origin"));
    assert_eq!(proxy.owner.told(), [], "nothing was started");
}

#[tokio::test]
async fn with_a_key_a_browser_may_ask_for_leave_and_the_engine_is_not_asked() {
    let proxy = Proxy::with(no_engine().await, Mood::Ready, EngineAuth::Client, keyed()).await;
    let request = Request::options("/v1/chat/completions")
        .header("host", "gpu.example")
        .header("origin", "https://chat.example")
        .header("access-control-request-method", "POST");
    let response = proxy.send(request.body(full("")).unwrap()).await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["access-control-allow-origin"], "https://chat.example");
    assert_eq!(proxy.ask("OPTIONS", "/v1/chat/completions").await.0, 401, "not what browsers ask");
}
