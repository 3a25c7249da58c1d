//! A file with several models, served by one proxy, and read again while it runs.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::instances::{detail, write_fleet};
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
    write_fleet(folder, &format!("models:\n{}", models.concat()));
}

async fn serve(folder: &Path) -> Proxy {
    Proxy::builder().of_fleet(folder).options(["--lease", "10s"]).start().await
}

async fn chat(proxy: &Proxy, model: &str) -> Value {
    let body = json!({ "messages": [{ "role": "user", "content": "hello" }], "model": model });
    proxy.client().post("/v1/chat/completions", &body).await.ok()
}

/// Tokens of an answer, which differ from engine to engine.
async fn tokens(proxy: &Proxy, model: &str) -> u64 {
    chat(proxy, model).await["usage"]["completion_tokens"].as_u64().expect("a number of tokens")
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
    write_fleet(folder.path(), "models:\n  one:\n    modle: x\n");
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

fn with_key(proxy: &Proxy, key: &str) -> support::Client {
    let mut client = support::Client::tcp(proxy.address());
    client.set_header("authorization", &format!("Bearer {key}"));
    client
}

async fn status(proxy: &Proxy, path: &str, key: &str) -> u16 {
    with_key(proxy, key).get(path).await.status.as_u16()
}

async fn until_status(proxy: &Proxy, path: &str, key: &str, wanted: u16) {
    let deadline = Deadline::in_seconds(20);
    while status(proxy, path, key).await != wanted {
        assert!(!deadline.is_over(), "{path} never told {wanted}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn another_key_holds_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key"), "first").expect("a key");
    let text = |key: &str| format!("access_key: file:{key}\nmodels:\n{}", model("one", ""));
    write_fleet(folder.path(), &text("key"));
    let proxy = serve(folder.path()).await;
    assert_eq!((status(&proxy, "/v1/models", "first").await, status(&proxy, "/v1/models", "second").await), (200, 401));
    std::fs::write(folder.path().join("other"), "second").expect("a key");
    write_fleet(folder.path(), &text("other"));
    proxy.signal("HUP");
    proxy.wait_for_line("the configuration was read again", Deadline::in_seconds(20)).await;
    assert_eq!((status(&proxy, "/v1/models", "first").await, status(&proxy, "/v1/models", "second").await), (401, 200));
    // A key that cannot be read is no reason to let anybody in.
    write_fleet(folder.path(), &text("missing"));
    proxy.signal("HUP");
    proxy.wait_for_line("stays as it was", Deadline::in_seconds(20)).await;
    assert_eq!((status(&proxy, "/v1/models", "first").await, status(&proxy, "/v1/models", "second").await), (401, 200));
}

#[tokio::test]
async fn named_keys_are_taken_anew_and_what_an_old_one_began_is_finished() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    let models = [model("one", ", --tokens, '30', --token-delay, '100'"), model("two", "")].concat();
    let class = "access_keys:\n  class: {key_file: class.key, models: [org/one]}\n";
    put("class.key", "class-first\n");
    put(".env", "LLM_PROXY_OPS_KEY=ops-first\n");
    let ops = "  ops: {key_env: LLM_PROXY_OPS_KEY, for: management}\n";
    write_fleet(folder.path(), &format!("{class}{ops}models:\n{models}"));
    let proxy = serve(folder.path()).await;
    let list = with_key(&proxy, "class-first").get("/v1/models").await.ok();
    assert_eq!((&list["data"][0]["id"], &list["data"][1]), (&json!("org/one"), &Value::Null), "{list}");
    assert_eq!(status(&proxy, "/instances", "class-first").await, 403);
    assert_eq!(status(&proxy, "/instances", "ops-first").await, 200);
    let body = json!({ "messages": [{ "role": "user", "content": "hello" }], "model": "org/one", "stream": true });
    let old = with_key(&proxy, "class-first");
    let mut begun = old.stream("/v1/chat/completions", &body).await;
    assert!(begun.event().await.expect("a stream").is_some());
    put("class.key", "class-second\n");
    proxy.signal("HUP");
    until_status(&proxy, "/v1/models", "class-second", 200).await;
    assert_eq!(status(&proxy, "/v1/models", "class-first").await, 401);
    let in_flight = with_key(&proxy, "class-second").get("/health").await.ok()["detail"][0]["in_flight"].clone();
    assert_eq!(in_flight, 1, "it goes on");
    // Nobody tells it of a file: it looks.
    put(".env", "LLM_PROXY_OPS_KEY=ops-second\n");
    let (events, whole) = begun.events().await;
    assert!(whole && events.last().is_some_and(|last| last == "data: [DONE]"), "{events:?}");
    until_status(&proxy, "/instances", "ops-second", 200).await;
    assert_eq!(status(&proxy, "/instances", "ops-first").await, 401);
    write_fleet(folder.path(), &format!("{class}models:\n{models}"));
    proxy.signal("HUP");
    until_status(&proxy, "/instances", "ops-second", 401).await;
    assert_eq!(status(&proxy, "/v1/models", "class-second").await, 200);
    assert!(!proxy.lines().so_far().iter().any(|line| line.contains("-first") || line.contains("-second")));
}

#[tokio::test]
async fn where_requests_wait_for_a_full_engine_each_key_has_every_other_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = model("one", ", --tokens, '1', --token-delay, '150'");
    let one = one.replace("    backend", "    requests_in_flight: 1\n    backend");
    for name in ["script", "class"] {
        std::fs::write(folder.path().join(name), name).expect("a key");
    }
    let keys = "access_keys:\n  script: {key_file: script}\n  class: {key_file: class}\n";
    write_fleet(folder.path(), &format!("{keys}models:\n{one}"));
    let proxy = serve(folder.path()).await;
    let (script, class) = (with_key(&proxy, "script"), with_key(&proxy, "class"));
    let body = json!({ "messages": [{ "role": "user", "content": "hello" }], "model": "org/one" });
    script.post("/v1/chat/completions", &body).await.ok();
    let done = std::sync::Mutex::new(Vec::new());
    let all_of = async |client: &support::Client, who: &'static str, how_many: usize| {
        let one = async || {
            client.post("/v1/chat/completions", &body).await.ok();
            done.lock().expect("no poison").push(who);
        };
        futures_util::future::join_all((0..how_many).map(|_| one())).await;
    };
    let after_the_script = async {
        let deadline = Deadline::in_seconds(20);
        loop {
            let health = script.get("/health").await.ok();
            let (waiting, in_flight) = (&health["detail"][0]["waiting"], &health["detail"][0]["in_flight"]);
            assert!(in_flight.as_u64() <= Some(1), "more than it may have: {health}");
            if waiting.as_u64() >= Some(8) {
                break;
            }
            assert!(!deadline.is_over(), "they never waited: {health}");
        }
        all_of(&class, "class", 3).await;
    };
    tokio::join!(all_of(&script, "script", 14), after_the_script);
    let done = done.into_inner().expect("no poison");
    let last = done.iter().rposition(|who| *who == "class").expect("the class was served");
    assert_eq!(done.len(), 17);
    assert!(done.len() - last > 4, "the class waited for all of the script: {done:?}");
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
