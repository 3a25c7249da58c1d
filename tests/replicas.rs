//! One model on several engines of our own, behind one proxy.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use support::instances::{chat_with_m, detail, served_by, until, write_fleet};
use support::{Deadline, Proxy, engine_path};

/// How long anything may take.
fn soon() -> Deadline {
    Deadline::in_seconds(20)
}

/// The model `m`, whose engines leave their process ids in the file `pids`.
fn write(folder: &Path, more: &str, engine: &str) {
    let script = folder.join("engine");
    if !script.exists() {
        let (pids, program) = (folder.join("pids"), engine_path());
        let text = format!("#!/bin/sh\necho $$ >> '{}'\nexec '{}' \"$@\"\n", pids.display(), program.display());
        std::fs::write(&script, text).expect("a script");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a program");
    }
    let text = format!(
        "models:\n  m:\n    backend: custom\n    model: org/m\n    {more}\n    \
         command: ['{}', --model, '{{model}}', --host, '{{host}}', --port, '{{port}}', --tokens, '4000'{engine}]\n",
        script.display()
    );
    write_fleet(folder, &text);
}

async fn serve(folder: &Path) -> Proxy {
    Proxy::builder().of_fleet(folder).options(["--lease", "10s"]).start().await
}

#[tokio::test]
async fn both_are_started_and_one_that_is_killed_is_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "replicas: 2", "");
    let proxy = serve(folder.path()).await;
    assert_eq!(detail(&proxy, "m-2").await["phase"], "stopped", "nobody asked");
    served_by(&proxy, &chat_with_m("hello", 2)).await;
    until(&proxy, "m", "phase", json!("ready")).await;
    until(&proxy, "m-2", "phase", json!("ready")).await;
    let list = proxy.client().get("/v1/models").await.ok();
    assert_eq!(list["data"].as_array().expect("a list").len(), 1, "{list}");
    let instances = proxy.client().get("/instances").await.ok();
    assert_eq!(instances["instances"].as_array().expect("a list").len(), 2, "{instances}");
    let alone = proxy.client().post("/proxy/m-2/v1/chat/completions", &chat_with_m("hello", 1)).await;
    assert_eq!(alone.headers.get("x-llm-proxy-instance").expect("a name"), "m-2");
    alone.ok();
    let status = Proxy::builder().home(&proxy.home()).run(["status"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("m-2"), "{status}");

    let pids = std::fs::read_to_string(folder.path().join("pids")).expect("process ids");
    let pids: Vec<i32> = pids.lines().map(|pid| pid.parse().expect("a number")).collect();
    let [first, _] = pids.as_slice() else { panic!("two engines: {pids:?}") };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(*first), nix::sys::signal::Signal::SIGKILL).expect("killed");
    // What was sent to it in the moment of its death may have been its death, and is not carried to the other.
    let moment = proxy.client().post("/v1/chat/completions", &chat_with_m("hello", 1)).await;
    assert!(moment.status == 200 || moment.text().contains("engine_broke_off"), "{}", moment.text());
    let mut served = BTreeSet::new();
    for _ in 0..20 {
        served.insert(served_by(&proxy, &chat_with_m("hello", 1)).await);
    }
    assert_eq!(served.len(), 1, "the other one serves all: {served:?}");
}

#[tokio::test]
async fn one_more_is_started_while_all_are_busy_and_ends_when_it_is_idle() {
    let folder = tempfile::tempdir().expect("a folder");
    let replicas = "idle_timeout: 2s\n    replicas: {min: 1, max: 2, busy_at: 1, scale_after: 500ms}";
    write(folder.path(), replicas, ", --token-delay, '100'");
    let proxy = serve(folder.path()).await;
    assert_eq!(served_by(&proxy, &chat_with_m("hello", 1)).await, "m");
    assert_eq!(detail(&proxy, "m-2").await["phase"], "stopped", "one is enough");
    let mut story = chat_with_m("tell me a story", 4000);
    story["stream"] = json!(true);
    let story = proxy.client().stream("/v1/chat/completions", &story).await;
    assert_eq!(story.headers().get("x-llm-proxy-instance").expect("a name"), "m");
    until(&proxy, "m-2", "phase", json!("ready")).await;
    assert_eq!(served_by(&proxy, &chat_with_m("hello", 1)).await, "m-2");
    drop(story);
    until(&proxy, "m", "in_flight", json!(0)).await;
    let deadline = soon();
    while detail(&proxy, "m-2").await["phase"] != "stopped" {
        assert_eq!(
            served_by(&proxy, &chat_with_m("hello", 1)).await,
            "m",
            "the first serves as long as it has nothing else to do"
        );
        assert!(!deadline.is_over(), "the second never ended");
    }
    assert_eq!(detail(&proxy, "m").await["life"], 1);
    until(&proxy, "m", "phase", json!("stopped")).await;
}

#[tokio::test]
async fn a_prompt_stays_where_its_cache_is_and_a_reload_adds_and_removes_replicas_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "replicas: {min: 2, by: prefix}", ", --token-delay, '50'");
    let proxy = serve(folder.path()).await;
    served_by(&proxy, &chat_with_m("hello", 1)).await;
    until(&proxy, "m", "phase", json!("ready")).await;
    until(&proxy, "m-2", "phase", json!("ready")).await;
    let mut met = BTreeSet::new();
    for number in 0..8 {
        let text = format!("story {number}");
        let home = served_by(&proxy, &chat_with_m(&text, 1)).await;
        let grown = json!({ "model": "org/m", "max_tokens": 1, "messages": [
            { "role": "user", "content": text }, { "role": "assistant", "content": "well" }, { "role": "user", "content": "on" },
        ] });
        assert_eq!(served_by(&proxy, &grown).await, home);
        met.insert(home);
    }
    assert_eq!(met.len(), 2, "both have prompts of their own: {met:?}");

    write(folder.path(), "replicas: {min: 3, by: prefix}", ", --token-delay, '50'");
    proxy.signal("HUP");
    proxy.wait_for_line("m-3 is new", soon()).await;
    served_by(&proxy, &chat_with_m("hello", 1)).await;
    until(&proxy, "m-3", "phase", json!("ready")).await;

    let story = chat_with_m("a long story", 30);
    let client = proxy.client();
    let (told, ()) = tokio::join!(client.post("/proxy/m-2/v1/chat/completions", &story), async {
        until(&proxy, "m-2", "in_flight", json!(1)).await;
        write(folder.path(), "replicas: 1", ", --token-delay, '50'");
        proxy.signal("HUP");
        proxy.wait_for_line("m-2 is not in the file any more", soon()).await;
    });
    assert_eq!(told.ok()["usage"]["completion_tokens"], 30, "what was in flight is finished");
    until(&proxy, "m-3", "phase", Value::Null).await;
    until(&proxy, "m-2", "phase", Value::Null).await;
    assert_eq!(served_by(&proxy, &chat_with_m("hello", 1)).await, "m");
    let first = detail(&proxy, "m").await;
    assert_eq!((&first["phase"], &first["life"]), (&json!("ready"), &json!(1)), "it was not touched");
}
