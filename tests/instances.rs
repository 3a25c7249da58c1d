//! Instances that callers of the API ask for, with a stand-in for `vllm` that is the test engine.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use support::instances::post;
use support::{Deadline, Proxy};

/// A folder with a file of no models whose callers may create some, and with the stand-in.
fn folder(callers: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("fleet.yaml"), format!("callers: {callers}\nmodels: {{}}\n")).expect("a file");
    support::vllm_stand_in(folder.path());
    folder
}

async fn serve(folder: &Path, home: Option<&support::Home>) -> Proxy {
    let builder = Proxy::builder().of_fleet(folder).with_programs_of(folder).options(["--lease", "10s"]);
    match home {
        Some(home) => builder.home(home).start().await,
        None => builder.start().await,
    }
}

async fn delete(proxy: &Proxy, path: &str) -> support::Answer {
    proxy.client().send(Method::DELETE, path, Bytes::new()).await
}

#[tokio::test]
async fn a_caller_s_instance_is_made_once_used_listed_and_deleted() {
    let folder = folder("{create: true}");
    let proxy = serve(folder.path(), None).await;
    let wanted = json!({ "model_name": "org/Tiny-1B", "params": { "max-model-len": 128 } });
    let (status, made) = post(&proxy, "/instances", wanted.clone()).await;
    assert_eq!((status, &made["instance_id"], &made["name"]), (201, &json!("tiny-1b"), &json!("tiny-1b")), "{made}");
    let (status, again) = post(&proxy, "/instances", wanted).await;
    assert_eq!((status, &again["id"]), (200, &json!("tiny-1b")), "the same is not made twice: {again}");
    let (status, bare) = post(&proxy, "/launch", json!({ "model": "org/Tiny-1B" })).await;
    assert_eq!((status, &bare["launch_id"]), (200, &json!("tiny-1b")), "{bare}");

    let chat = json!({ "model": "org/Tiny-1B", "messages": [{ "role": "user", "content": "hi" }] });
    let answer = proxy.client().post("/v1/chat/completions", &chat).await.ok();
    assert!(answer["choices"][0]["message"]["content"].is_string(), "{answer}");
    let said = std::fs::read_to_string(folder.path().join("argv")).expect("the engine's arguments");
    assert!(said.contains("--max-model-len\n128\n"), "{said}");

    let list = proxy.client().get("/instances").await.ok();
    assert_eq!(list["instances"].as_array().expect("a list").len(), 1);
    let one = proxy.client().get("/status/tiny-1b").await.ok();
    assert_eq!((&one["state"], &one["launch_id"]), (&json!("ready"), &json!("tiny-1b")), "{one}");
    let log = proxy.client().get("/logs/tiny-1b?offset=0").await.ok();
    assert!(log["log"].as_str().is_some_and(|log| log.contains("stand-in for vllm")), "{log}");
    let next = log["next_offset"].as_u64().expect("an offset");
    let more = proxy.client().get(&format!("/logs/tiny-1b?offset={next}")).await.ok();
    assert!(!more["log"].as_str().expect("a text").contains("stand-in for vllm"), "{more}");
    assert_eq!((&more["missed"], more["offset"].as_u64() >= Some(next)), (&json!(0), true), "{more}");

    let (status, stopped) = post(&proxy, "/stop/tiny-1b", json!({})).await;
    assert_eq!(status, 202, "{stopped}");
    let deadline = Deadline::in_seconds(20);
    while proxy.client().get("/status/tiny-1b").await.ok()["state"] != "stopped" {
        assert!(!deadline.is_over(), "it never stopped");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let deleted = delete(&proxy, "/instances/tiny-1b").await;
    assert_eq!(deleted.status.as_u16(), 202);
    let deadline = Deadline::in_seconds(20);
    while proxy.client().get("/instances/tiny-1b").await.status.as_u16() != 404 {
        assert!(!deadline.is_over(), "it never went");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (status, _) = post(&proxy, "/v1/chat/completions", chat).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn what_a_caller_may_not_say_is_refused_by_name_and_nothing_is_made() {
    let folder = folder("{create: true, arguments: [--max-num-seqs]}");
    let proxy = serve(folder.path(), None).await;
    let model = "org/m";
    for (body, named) in [
        (json!({ "model": model, "args": { "trust-remote-code": true } }), "--trust-remote-code"),
        (json!({ "model": model, "args": ["--middleware", "os.system"] }), "--middleware"),
        (json!({ "model": model, "gpu": 3 }), "gpu"),
        (json!({ "model": model, "backend": "custom" }), "custom"),
        (json!({ "model": model, "profile": { "enabled": true, "tool": "perf" } }), "perf"),
        (json!({ "model": "--help" }), "--help"),
        (json!({ "modle": model }), "modle"),
        (json!({ "model": model, "timeout": u64::MAX }), "timeout"),
    ] {
        let (status, answer) = post(&proxy, "/instances", body.clone()).await;
        let words = answer["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(status == 400 && words.contains(named), "{body}: {status} {answer}");
    }
    let list = proxy.client().get("/instances").await.ok();
    assert_eq!(list["instances"], json!([]));
    let (status, made) = post(&proxy, "/instances", json!({ "model": model, "args": { "max-num-seqs": 4 } })).await;
    assert_eq!(status, 201, "with the operator's leave: {made}");
    let (status, other) = post(&proxy, "/instances", json!({ "model": model, "args": { "max-num-seqs": 5 } })).await;
    assert!(status == 409 && other["error"]["code"] == "instance_conflict", "{status} {other}");
}

#[tokio::test]
async fn what_callers_made_is_there_again_after_a_restart() {
    let folder = folder("{create: true}");
    let proxy = serve(folder.path(), None).await;
    let (status, _) = post(&proxy, "/instances", json!({ "model": "org/kept", "timeout": 77 })).await;
    assert_eq!(status, 201);
    let home = proxy.home();
    proxy.stop("TERM", Deadline::in_seconds(30)).await;
    let proxy = serve(folder.path(), Some(&home)).await;
    let idle = |name: &str| {
        let status = Proxy::builder().home(&home).run(["status", name, "--json"]);
        let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
        let time = |key: &str| {
            let text = status["instances"][0][key].as_str().unwrap_or_else(|| panic!("no {key} in {status}"));
            text.parse::<jiff::Timestamp>().expect("a time").as_second()
        };
        time("idle_stop") - time("since")
    };
    let list = proxy.client().get("/instances").await.ok();
    assert_eq!(list["instances"][0]["name"], "kept", "{list}");
    let chat = json!({ "model": "org/kept", "messages": [{ "role": "user", "content": "hi" }] });
    proxy.client().post("/v1/chat/completions", &chat).await.ok();
    assert!((76..=80).contains(&idle("kept")), "{}", idle("kept"));
    let (status, _) = post(&proxy, "/instances", json!({ "model": "org/usual" })).await;
    assert_eq!(status, 201);
    let chat = json!({ "model": "org/usual", "messages": [{ "role": "user", "content": "hi" }] });
    proxy.client().post("/v1/chat/completions", &chat).await.ok();
    assert!((599..=603).contains(&idle("usual")), "{}", idle("usual"));
}

#[tokio::test]
async fn without_the_operator_s_leave_nothing_is_made_or_deleted_but_all_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    support::vllm_stand_in(folder.path());
    std::fs::write(folder.path().join("fleet.yaml"), "models:\n  one: {model: org/one}\n").expect("a file");
    let proxy = serve(folder.path(), None).await;
    let (status, answer) = post(&proxy, "/instances", json!({ "model": "org/other" })).await;
    assert!(
        status == 403 && answer["error"]["message"].as_str().is_some_and(|words| words.contains("callers")),
        "{answer}"
    );
    assert_eq!(delete(&proxy, "/instances/one").await.status.as_u16(), 403);
    let (status, started) = post(&proxy, "/start/one", json!({})).await;
    assert_eq!(status, 202, "{started}");
    let deadline = Deadline::in_seconds(20);
    while proxy.client().get("/status/one").await.ok()["state"] != "ready" {
        assert!(!deadline.is_over(), "it never started");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(proxy.client().get("/status/two").await.status.as_u16(), 404);
}

#[tokio::test]
async fn callers_lose_their_leave_with_the_file_and_the_file_wins_over_what_they_made() {
    let folder = folder("{create: true}");
    let proxy = serve(folder.path(), None).await;
    let (status, _) = post(&proxy, "/instances", json!({ "model": "org/m", "name": "mine" })).await;
    assert_eq!(status, 201);
    let file = folder.path().join("fleet.yaml");
    std::fs::write(&file, "callers: {create: false}\nmodels:\n  theirs: {model: org/m}\n").expect("a file");
    proxy.signal("HUP");
    proxy.wait_for_line("mine, which a caller asked for, is ended", Deadline::in_seconds(20)).await;
    proxy.wait_for_line("theirs is new", Deadline::in_seconds(20)).await;
    assert_eq!(post(&proxy, "/instances", json!({ "model": "org/other" })).await.0, 403);
    let chat = json!({ "model": "org/m", "messages": [{ "role": "user", "content": "hi" }] });
    let answer = proxy.client().post("/v1/chat/completions", &chat).await;
    assert_eq!(answer.headers["x-llm-proxy-instance"], "theirs");
    assert!(answer.ok()["choices"].is_array());
}

#[tokio::test]
async fn a_caller_does_not_get_what_another_run_left_under_a_name() {
    let folder = folder("{create: true}");
    let proxy = serve(folder.path(), None).await;
    let private = proxy.home().path().join("state/llm-proxy/private");
    std::fs::create_dir_all(&private).expect("a folder");
    std::fs::write(private.join("engine.log"), "a secret of another run\n").expect("a log");
    let (status, answer) = post(&proxy, "/instances", json!({ "model": "org/m", "name": "private" })).await;
    assert!(
        status == 409 && answer["error"]["message"].as_str().is_some_and(|words| words.contains("used before")),
        "{answer}"
    );
    assert_eq!(proxy.client().get("/logs/private").await.status.as_u16(), 404);
    // Its own old name a caller may have again.
    assert_eq!(post(&proxy, "/instances", json!({ "model": "org/m", "name": "own" })).await.0, 201);
    let first = delete(&proxy, "/instances/own").await.status.as_u16();
    let again = delete(&proxy, "/instances/own").await.status.as_u16();
    assert!(first == 202 && [202, 404].contains(&again), "{first} {again}");
    let deadline = Deadline::in_seconds(20);
    while post(&proxy, "/instances", json!({ "model": "org/m", "name": "own" })).await.0 != 201 {
        assert!(!deadline.is_over(), "its name never came free");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_log_is_read_by_range_up_to_its_end() {
    let folder = folder("{create: true}");
    let proxy = serve(folder.path(), None).await;
    assert_eq!(post(&proxy, "/instances", json!({ "model": "org/m" })).await.0, 201);
    let chat = json!({ "model": "org/m", "messages": [{ "role": "user", "content": "hi" }] });
    proxy.client().post("/v1/chat/completions", &chat).await.ok();
    let mut client = support::Client::tcp(proxy.address());
    client.set_header("range", "bytes=0-");
    let whole = client.get("/logs/m").await;
    let text = whole.text();
    assert!(whole.status.as_u16() == 206 && text.contains("stand-in for vllm"), "{text}");
    assert!(whole.headers["content-range"].to_str().is_ok_and(|range| range.starts_with("bytes 0-")));
    client.set_header("range", "bytes=99999999-");
    let beyond = client.get("/logs/m").await;
    assert_eq!(beyond.status.as_u16(), 416);
    assert!(beyond.headers["content-range"].to_str().is_ok_and(|range| range.starts_with("bytes */")));
}

#[tokio::test]
async fn a_launch_may_ask_for_a_profile() {
    let folder = folder("{create: true}");
    let recorded = support::nsys_stand_in(folder.path());
    let proxy = serve(folder.path(), None).await;
    let wanted = json!({ "model": "org/m", "profile": { "enabled": true, "tool": "nsys" } });
    let (status, made) = post(&proxy, "/launch", wanted).await;
    assert_eq!((status, &made["launch_id"]), (201, &json!("m")), "{made}");
    let chat = json!({ "model": "org/m", "messages": [{ "role": "user", "content": "hi" }] });
    proxy.client().post("/v1/chat/completions", &chat).await.ok();
    let told = std::fs::read_to_string(recorded).expect("the profiler's arguments");
    assert!(told.starts_with("profile\n") && told.contains("\nvllm\nserve\norg/m\n"), "{told}");
}

#[tokio::test]
async fn a_log_is_followed_until_its_reader_leaves_or_its_instance_is_gone() {
    let folder = folder("{create: true}");
    let proxy = serve(folder.path(), None).await;
    let (status, _) = post(&proxy, "/instances", json!({ "model": "org/told" })).await;
    assert_eq!(status, 201);
    let start = |path: &'static str| proxy.client().start(Method::GET, path, Bytes::new());
    let mut left = start("/logs/told?follow=true").await;
    let mut follower = start("/logs/told?offset=0&follow=true").await;
    assert_eq!(
        (follower.status().as_u16(), &follower.headers()["content-type"]),
        (200, &"text/plain; charset=utf-8".parse().expect("a value"))
    );
    let mut seen = String::new();
    until(&mut follower, &mut seen, "stand-in for vllm").await;
    until(&mut left, &mut String::new(), "stand-in for vllm").await;
    drop(left);
    let range = {
        let mut client = support::Client::tcp(proxy.address());
        client.set_header("range", "bytes=0-");
        client.get("/logs/told?follow=true").await
    };
    assert!(range.status.as_u16() == 400 && range.text().contains("`Range`"), "{}", range.text());
    let odd = proxy.client().get("/logs/told?follow=perhaps").await;
    assert!(odd.status.as_u16() == 400 && odd.text().contains("perhaps"), "{}", odd.text());

    // What the engine writes later is told then: here, of its next life.
    let (status, _) = post(&proxy, "/stop/told", json!({})).await;
    assert_eq!(status, 202);
    let chat = json!({ "model": "org/told", "messages": [{ "role": "user", "content": "hi" }] });
    proxy.client().post("/v1/chat/completions", &chat).await.ok();
    let first = seen.matches("stand-in for vllm").count();
    while seen.matches("stand-in for vllm").count() == first {
        assert!(more(&mut follower, &mut seen).await, "no end yet: {seen}");
    }
    // The events of its end, and of its being gone.
    let mut events = start("/events").await;
    until(&mut events, &mut String::new(), "\"told\"").await;
    delete(&proxy, "/instances/told").await;
    until(&mut events, &mut String::new(), "event: gone\ndata: {\"name\":\"told\"}").await;
    while more(&mut follower, &mut seen).await {}
    let kept = std::fs::read_to_string(proxy.home().path().join("state/llm-proxy/told/engine.log"));
    assert_eq!(seen, kept.expect("the log is kept"), "all of it, and nothing twice");
    proxy.stop("TERM", Deadline::in_seconds(20)).await;
}

/// Reads a little more; false at the end.
async fn more(stream: &mut support::EventStream, seen: &mut String) -> bool {
    let piece = tokio::time::timeout(std::time::Duration::from_secs(20), stream.piece()).await;
    let piece = piece.unwrap_or_else(|_| panic!("nothing came after {seen}")).expect("a whole answer");
    seen.extend(piece.as_deref().map(String::from_utf8_lossy));
    piece.is_some()
}

/// Reads until `words` came.
async fn until(stream: &mut support::EventStream, seen: &mut String, words: &str) {
    while !seen.contains(words) {
        assert!(more(stream, seen).await, "{words} never came: {seen}");
    }
}
