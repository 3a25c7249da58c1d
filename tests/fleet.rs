//! A file with several models, served by one proxy, and read again while it runs.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{Deadline, Proxy, engine_path};

/// One model of a file: this engine of our own, with more options.
fn model(name: &str, more: &str) -> String {
    let engine = engine_path();
    format!(
        "  {name}:\n    backend: custom\n    model: org/{name}\n    \
         command: ['{}', --model, '{{model}}', --host, '{{host}}', --port, '{{port}}'{more}]\n",
        engine.display()
    )
}

fn write(folder: &Path, models: &[String]) {
    write_text(folder, &format!("models:\n{}", models.concat()));
}

/// As editors do it: a new file in the place of the old one.
fn write_text(folder: &Path, text: &str) {
    std::fs::write(folder.join("new.yaml"), text).expect("a file");
    std::fs::rename(folder.join("new.yaml"), folder.join("fleet.yaml")).expect("its own name");
}

async fn serve(folder: &Path) -> Proxy {
    Proxy::builder().folder(folder).options(["--config", "fleet.yaml", "--lease", "10s"]).start().await
}

async fn chat(proxy: &Proxy, model: &str) -> Value {
    let body = json!({ "messages": [{ "role": "user", "content": "hello" }], "model": model });
    proxy.client().post("/v1/chat/completions", &body).await.ok()
}

/// Tokens of an answer, which differ from engine to engine.
async fn tokens(proxy: &Proxy, model: &str) -> u64 {
    chat(proxy, model).await["usage"]["completion_tokens"].as_u64().expect("a number of tokens")
}

/// The process that `llm-proxy status` would name, and its life.
async fn detail(proxy: &Proxy, name: &str) -> Value {
    let health = proxy.client().get("/health").await.ok();
    let all = health["detail"].as_array().expect("a list");
    all.iter().find(|one| one["name"] == name).cloned().unwrap_or(Value::Null)
}

#[tokio::test]
async fn each_model_has_an_engine_of_its_own_which_its_first_request_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &[model("one", ", --tokens, '3'"), model("two", ", --tokens, '5'")]);
    let proxy = serve(folder.path()).await;
    assert_eq!(tokens(&proxy, "org/one").await, 3);
    assert_eq!(detail(&proxy, "two").await["phase"], "stopped", "nobody asked for it");
    assert_eq!(tokens(&proxy, "org/two").await, 5);
    let list = proxy.client().get("/v1/models").await.ok();
    let names: Vec<_> = list["data"].as_array().expect("a list").iter().map(|model| model["id"].clone()).collect();
    assert_eq!(names, ["org/one", "org/two"]);
    let unknown = proxy.client().post("/v1/chat/completions", &json!({ "model": "three", "messages": [] })).await;
    assert_eq!(unknown.status.as_u16(), 404);

    // One is ended by its name; the other goes on, and so does the proxy.
    let home = proxy.home();
    let verb = Proxy::builder().home(&home);
    let stopped = verb.run(["stop", "one"]);
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    assert_eq!(detail(&proxy, "one").await["phase"], "stopped");
    assert_eq!(detail(&proxy, "two").await["phase"], "ready");
    assert_eq!(tokens(&proxy, "org/one").await, 3, "a request starts it again");
    let status = verb.run(["status"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("one") && status.contains("two"), "{status}");
    // The end of one is not the end of all, but --serve is.
    let ended = verb.run(["stop", "two", "--serve"]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    proxy.wait_for_line("done: nothing is left running", Deadline::in_seconds(20)).await;
}

#[tokio::test]
async fn a_change_of_the_file_touches_only_what_it_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (model("one", ", --tokens, '3'"), model("two", ", --tokens, '5', --token-delay, '300'"));
    write(folder.path(), &[one.clone(), two, model("gone", "")]);
    let proxy = serve(folder.path()).await;
    assert_eq!(tokens(&proxy, "org/one").await, 3);
    chat(&proxy, "org/gone").await;
    // In flight while the file changes: it is finished.
    let body = json!({ "messages": [{ "role": "user", "content": "hello" }], "model": "org/two" });
    let begun = proxy.client().post("/v1/chat/completions", &body);
    let changed = async {
        while detail(&proxy, "two").await["in_flight"] != 1 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let idle = one.replace("    backend", "    idle_timeout: 77m\n    backend");
        write(folder.path(), &[idle, model("two", ", --tokens, '6'"), model("new", ", --tokens, '2'")]);
        proxy.signal("HUP");
        proxy.wait_for_line("the configuration was read again", Deadline::in_seconds(20)).await;
    };
    let (answer, ()) = tokio::join!(begun, changed);
    assert_eq!(answer.ok()["usage"]["completion_tokens"], 5, "finished by the engine that began it");
    assert_eq!(tokens(&proxy, "org/two").await, 6, "the next one is the other engine's");
    assert_eq!(tokens(&proxy, "org/new").await, 2);
    let one_now = detail(&proxy, "one").await;
    assert_eq!((&one_now["phase"], &one_now["life"]), (&json!("ready"), &json!(1)), "it was not touched");
    let gone = proxy.client().post("/v1/chat/completions", &json!({ "model": "org/gone", "messages": [] })).await;
    assert_eq!(gone.status.as_u16(), 404);
    let deadline = Deadline::in_seconds(20);
    while detail(&proxy, "gone").await != Value::Null && !deadline.is_over() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let status = Proxy::builder().home(&proxy.home()).run(["status", "one", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    let status = &status["instances"][0];
    let idle_stop = status["idle_stop"].as_str().unwrap_or_else(|| panic!("no end for idleness in {status}"));
    let length = |at: &str| at.parse::<jiff::Timestamp>().expect("a time").as_second();
    let since = status["since"].as_str().expect("a time");
    assert!(length(idle_stop) - length(since) > 76 * 60, "{status}");
}

#[tokio::test]
async fn a_bad_file_is_refused_and_the_old_one_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &[model("one", ", --tokens, '3'")]);
    let proxy = serve(folder.path()).await;
    assert_eq!(tokens(&proxy, "org/one").await, 3);
    write_text(folder.path(), "models:\n  one:\n    modle: x\n");
    // Nobody tells it: it looks.
    let told =
        proxy.wait_for_line("the configuration was read again, and stays as it was", Deadline::in_seconds(20)).await;
    assert!(told.contains("fleet.yaml"), "{told}");
    proxy.wait_for_line("modle", Deadline::in_seconds(5)).await;
    assert_eq!(tokens(&proxy, "org/one").await, 3);
    assert_eq!(detail(&proxy, "one").await["life"], 1);
    write(folder.path(), &[model("one", ", --tokens, '4'")]);
    proxy.wait_for_line("one is another now", Deadline::in_seconds(20)).await;
    assert_eq!(tokens(&proxy, "org/one").await, 4);
}

#[tokio::test]
async fn a_model_that_is_put_back_while_its_engine_ends_is_served_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (model("one", ""), model("two", ", --ignore-terms, '1'"));
    write(folder.path(), &[one.clone(), two.clone()]);
    let proxy = serve(folder.path()).await;
    chat(&proxy, "org/two").await;
    write(folder.path(), std::slice::from_ref(&one));
    proxy.signal("HUP");
    proxy.wait_for_line("two is not in the file any more", Deadline::in_seconds(20)).await;
    write(folder.path(), &[one, two]);
    proxy.signal("HUP");
    proxy.wait_for_line("two is new", Deadline::in_seconds(60)).await;
    chat(&proxy, "org/two").await;
}

#[tokio::test]
async fn another_key_asks_for_another_start_and_the_old_one_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key"), "first").expect("a key");
    let text = |key: &str| format!("access_key: file:{key}\nmodels:\n{}", model("one", ""));
    write_text(folder.path(), &text("key"));
    let proxy = serve(folder.path()).await;
    std::fs::write(folder.path().join("other"), "second").expect("a key");
    write_text(folder.path(), &text("other"));
    proxy.signal("HUP");
    proxy.wait_for_line("the access key is another", Deadline::in_seconds(20)).await;
    let mut client = support::Client::tcp(proxy.address());
    client.set_header("authorization", "Bearer second");
    assert_eq!(client.get("/v1/models").await.status.as_u16(), 401);
    client.set_header("authorization", "Bearer first");
    assert_eq!(client.get("/v1/models").await.status.as_u16(), 200);
}

#[tokio::test]
async fn one_that_cannot_be_served_keeps_no_other_from_it() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &[model("one", "")]);
    let first = serve(folder.path()).await;
    write(folder.path(), &[model("one", ""), model("two", "")]);
    let home = first.home();
    let second = Proxy::builder()
        .home(&home)
        .folder(folder.path())
        .options(["--config", "fleet.yaml", "--lease", "10s"])
        .start()
        .await;
    second.wait_for_line("one is not served", Deadline::in_seconds(20)).await;
    chat(&second, "org/two").await;
    let missing = second.client().post("/v1/chat/completions", &json!({ "model": "org/one", "messages": [] })).await;
    assert_eq!(missing.status.as_u16(), 404);
}
