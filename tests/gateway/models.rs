//! Several instances behind one gateway: whose request is it?

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use llm_proxy::instance::Hold;

use super::support::*;

/// Two that are ready, `one` with a known model and an alias, and `two` whose engine alone knows its names; and one asleep.
async fn three() -> (Proxy, [Owner; 3]) {
    let (one, two) = (echo_engine().await, echo_engine().await);
    Proxy::several([
        ("one", &["org/one", "uno"], one, Mood::Ready),
        ("two", &[], two, Mood::Ready),
        ("three", &["org/three"], no_engine().await, Mood::Asleep),
    ])
    .await
}

fn served_by(response: &Response<Incoming>) -> &str {
    response.headers().get("x-llm-proxy-instance").map_or("-", |name| name.to_str().unwrap())
}

async fn by(proxy: &Proxy, request: Request<http_body_util::Full<Bytes>>) -> (u16, String, String) {
    let response = proxy.send(request).await;
    let name = served_by(&response).to_owned();
    let (status, text) = whole(response).await;
    (status, name, text)
}

#[tokio::test]
async fn a_body_goes_whole_to_the_instance_of_its_model_wherever_the_model_stands() {
    let (proxy, owners) = three().await;
    let long = "x".repeat(300 * 1024);
    let cases = [
        (r#"{"model":"org/one","messages":[]}"#.to_owned(), "one"),
        (format!(r#"{{"messages":["{long}"],"stream":false,"model":"uno"}}"#), "one"),
        (r#"{"model":"one"}"#.to_owned(), "one"),
        (r#"{"model":"two"}"#.to_owned(), "two"),
    ];
    for (body, name) in cases {
        let (status, served, text) = by(&proxy, post("/v1/chat/completions", body.clone())).await;
        assert_eq!((status, served.as_str()), (200, name));
        assert!(text.ends_with(&body), "the body of {name} changed on its way");
    }
    assert!(!owners[2].was_told(Told::TryAcquire(Hold::Inference)), "nobody asked for the third");
}

#[tokio::test]
async fn an_unknown_model_and_none_are_told_with_the_known_names() {
    let (proxy, _owners) = three().await;
    let (status, text) = proxy.post("/v1/chat/completions", r#"{"model":"gpt-4","messages":[]}"#).await;
    assert_eq!(status, 404, "{text}");
    assert!(text.contains("model_not_found") && text.contains("org/one, uno, org/three, two"), "{text}");
    let (status, text) = proxy.post("/v1/chat/completions", r#"{"messages":[]}"#).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("model_required") && text.contains(r#""param":"model""#), "{text}");
    // Only an engine could answer it, and nobody says which.
    let (status, text) = proxy.ask("GET", "/version").await;
    assert!(status == 400 && text.contains("model_required"), "{status} {text}");
}

#[tokio::test]
async fn a_form_says_its_model_before_or_after_its_file() {
    let (proxy, _owners) = three().await;
    let file = "R".repeat(400 * 1024);
    let part =
        |name: &str, value: &str| format!("--frontier\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}\r\n");
    let (model, upload) = (part("name=\"model\"", "uno"), part("name=\"file\"; filename=\"a.wav\"", &file));
    for body in [format!("{model}{upload}--frontier--\r\n"), format!("{upload}{model}--frontier--\r\n")] {
        let request = Request::post("/v1/audio/transcriptions")
            .header("host", "localhost")
            .header("content-type", "multipart/form-data; boundary=frontier")
            .body(full(body.clone()))
            .unwrap();
        let (status, served, text) = by(&proxy, request).await;
        assert_eq!((status, served.as_str()), (200, "one"));
        assert!(text.ends_with(&body), "the form changed on its way");
    }
}

#[tokio::test]
async fn a_query_and_a_path_name_a_model_too() {
    let (proxy, _owners) = three().await;
    for (path, name) in
        [("/version?model=org%2Fone", "one"), ("/v1/models/org%2Fone", "one"), ("/tokenizer_info?model=two", "two")]
    {
        let request = Request::get(path).header("host", "localhost").body(full("")).unwrap();
        let (status, served, _) = by(&proxy, request).await;
        assert_eq!((status, served.as_str()), (200, name), "{path}");
    }
}

#[tokio::test]
async fn what_is_asked_of_all_is_answered_for_all() {
    let (proxy, owners) = three().await;
    let (status, text) = proxy.ask("GET", "/v1/models").await;
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((status, names), (200, vec!["org/one", "uno", "org/three", "two"]));
    let (_, health) = proxy.ask("GET", "/health").await;
    let health: serde_json::Value = serde_json::from_str(&health).unwrap();
    assert_eq!((&health["instances"], &health["processes"]), (&3.into(), &2.into()));
    assert_eq!(health["detail"].as_array().unwrap().len(), 3);
    let (_, metrics) = proxy.ask("GET", "/metrics").await;
    assert!(metrics.contains("llm_proxy_engine_ready{instance=\"one\"} 1\n"), "{metrics}");
    assert!(metrics.contains("llm_proxy_engine_ready{instance=\"three\"} 0\n"), "{metrics}");
    assert_eq!(proxy.ask("GET", "/ping").await.0, 200);
    let [one, two, three] = owners.map(|owner| owner.told());
    assert!(three.is_empty(), "nobody was woken");
    // Those that are ready are asked for their metrics, which is no use of theirs.
    let looked = |told: &Told| matches!(told, Told::TryAcquire(Hold::Helper) | Told::Release(Hold::Helper));
    assert!(one.iter().chain(&two).all(looked), "{one:?} {two:?}");
}

#[tokio::test]
async fn an_instance_by_name_gets_the_path_as_it_is_and_is_woken_only_when_asked() {
    let (proxy, owners) = three().await;
    let (status, text) = proxy.post("/proxy/two/made/up?x=1", "no json").await;
    assert!(status == 200 && text.starts_with("POST /made/up?x=1\n") && text.ends_with("no json"), "{text}");
    let (status, text) = proxy.ask("GET", "/proxy/three/v1/models").await;
    assert!(status == 409 && text.contains("engine_asleep"), "{status} {text}");
    assert!(!owners[2].was_told(Told::Acquire(Hold::Helper)));
    let (status, text) = proxy.ask("GET", "/proxy/nobody/v1/models").await;
    assert!(status == 404 && text.contains("instance_not_found"), "{status} {text}");
    let waking = proxy.ask("GET", "/proxy/three/v1/models?wake=true");
    let woken = eventually("the wake", || owners[2].was_told(Told::Acquire(Hold::Helper)));
    tokio::select! {
        answered = waking => panic!("it was to wait: {answered:?}"),
        () = woken => {}
    }
}

#[tokio::test]
async fn one_that_sleeps_is_woken_by_its_model_and_gets_the_body_that_was_read_for_it() {
    let engine = echo_engine().await;
    let (proxy, owners) =
        Proxy::several([("one", &["m"], engine, Mood::Asleep), ("two", &["n"], no_engine().await, Mood::Asleep)]).await;
    let body = r#"{"messages":[],"model":"m"}"#;
    let asking = proxy.post("/v1/chat/completions", body);
    let waking = async {
        eventually("the wait", || owners[0].was_told(Told::Acquire(Hold::Inference))).await;
        owners[0].wake();
        std::future::pending::<()>().await;
    };
    let (status, text) = tokio::select! { answer = asking => answer, () = waking => unreachable!() };
    assert!(status == 200 && text.ends_with(body), "{status} {text}");
    assert!(owners[1].told().is_empty());
}

#[tokio::test]
async fn a_page_may_ask_first_whether_it_may_ask_whatever_the_model() {
    let (proxy, owners) = three().await;
    for path in ["/v1/chat/completions", "/proxy/three/v1/chat/completions?wake=true", "/proxy/three/v1/models"] {
        let request = Request::options(path)
            .header("host", "localhost")
            .header("origin", "http://localhost:3000")
            .header("access-control-request-method", "POST")
            .body(full(""))
            .unwrap();
        let response = proxy.send(request).await;
        assert_eq!(response.status().as_u16(), 204, "{path}");
        assert!(response.headers().contains_key("access-control-allow-methods"), "{path}");
    }
    assert!(owners.iter().all(|owner| owner.told().is_empty()), "nobody was asked");
}

#[tokio::test]
async fn a_look_at_one_instance_does_not_keep_it_from_its_end() {
    let (proxy, owners) = three().await;
    for path in ["/proxy/one/metrics", "/proxy/one/v1/models", "/proxy/one/made/up"] {
        assert_eq!(proxy.ask("GET", path).await.0, 200);
    }
    assert!(!owners[0].was_told(Told::TryAcquire(Hold::Inference)), "{:?}", owners[0].told());
    assert_eq!(proxy.post("/proxy/one/v1/chat/completions", "{}").await.0, 200);
    assert!(owners[0].was_told(Told::TryAcquire(Hold::Inference)));
}

#[tokio::test]
async fn an_error_of_a_named_instance_has_the_shape_of_the_path_behind_its_name() {
    let (proxy, _owners) = three().await;
    let (status, text) = proxy.post("/proxy/three/v1/messages", "{}").await;
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["type"]), (409, &"error".into()), "{text}");
}

#[tokio::test]
async fn a_form_that_never_begins_is_refused_soon() {
    let (proxy, _owners) = three().await;
    let request = Request::post("/v1/audio/transcriptions")
        .header("host", "localhost")
        .header("content-type", "multipart/form-data; boundary=another")
        .body(full("x".repeat(4 * 1024 * 1024)))
        .unwrap();
    let (status, _, text) = by(&proxy, request).await;
    assert!(status == 400 && text.contains("model_required"), "{status} {text}");
}

#[tokio::test]
async fn a_name_is_found_however_its_letters_are_written() {
    let (proxy, _owners) = three().await;
    assert_eq!(proxy.post("/proxy/Two/x", "y").await.0, 200);
    let (status, served, _) = by(&proxy, post("/v1/completions", r#"{"model":"TWO"}"#)).await;
    assert_eq!((status, served.as_str()), (200, "two"));
}
