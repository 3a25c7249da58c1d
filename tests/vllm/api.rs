//! One life, from a cold start to its end for idleness: its whole API, streamed and not, and clients that leave.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::scene::{LONG, chat, life_is_over, metric, started, stop, vllm};
use super::support::scene::{soon, state, wait_for_state};
use super::support::{Client, Cluster, Deadline, HostName, Proxy, eventually};

/// How long nobody asks for anything until the engine is ended.
const IDLE_S: u64 = 15;

const RUNNING: &str = "vllm:num_requests_running";

/// The events of a streamed answer, which must be whole.
async fn events(client: &Client, path: &str, body: &Value) -> Vec<String> {
    let asked = async {
        let stream = client.stream(path, body).await;
        assert_eq!(stream.status(), 200, "{path}");
        stream.events().await
    };
    let (events, complete) = tokio::time::timeout_at(started().at(), asked).await.expect("an answer in time");
    assert!(complete && events.len() > 2, "{path}: {events:?}");
    events
}

/// The text in the pieces of a stream, found at `pointer` in each.
fn text(events: &[String], pointer: &str) -> String {
    let data = events.iter().filter_map(|event| event.rsplit_once("data: ").map(|(_, data)| data));
    let pieces =
        data.filter_map(|data| serde_json::from_str::<Value>(data).ok()?.pointer(pointer)?.as_str().map(str::to_owned));
    pieces.collect()
}

async fn chat_and_completions(client: &Client) {
    let answer = client.post("/v1/chat/completions", &chat(false, 6)).await.ok();
    assert_eq!(answer["usage"]["completion_tokens"], 6, "{answer}");
    assert!(answer["choices"][0]["message"]["content"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    let mut asked = chat(true, 6);
    asked["stream_options"] = json!({"include_usage": true});
    let chunks = events(client, "/v1/chat/completions", &asked).await;
    assert!(!text(&chunks, "/choices/0/delta/content").is_empty(), "{chunks:?}");
    assert!(chunks.iter().any(|chunk| chunk.contains(r#""completion_tokens":6"#)), "{chunks:?}");
    assert_eq!(chunks.last().map(String::as_str), Some("data: [DONE]"));

    let completion = |stream| json!({"model": "tiny", "prompt": "once", "max_tokens": 6, "stream": stream});
    let answer = client.post("/v1/completions", &completion(false)).await.ok();
    assert!(answer["choices"][0]["text"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    let chunks = events(client, "/v1/completions", &completion(true)).await;
    assert!(!text(&chunks, "/choices/0/text").is_empty(), "{chunks:?}");
    assert_eq!(chunks.last().map(String::as_str), Some("data: [DONE]"));
}

async fn responses_and_messages(client: &Client) {
    let response = |stream| json!({"model": "tiny", "input": "hi", "max_output_tokens": 6, "stream": stream});
    let answer = client.post("/v1/responses", &response(false)).await.ok();
    assert_eq!(answer["object"], "response", "{answer}");
    assert_eq!(answer["usage"]["output_tokens"], 6, "{answer}");
    let chunks = events(client, "/v1/responses", &response(true)).await;
    let names: Vec<_> = chunks.iter().filter_map(|chunk| chunk.lines().next()).collect();
    assert_eq!(names.first(), Some(&"event: response.created"), "{names:?}");
    assert!(names.contains(&"event: response.output_text.delta"), "{names:?}");
    // It ends at the limit of its tokens, and some versions call that incomplete.
    let last = names.last().expect("an event");
    assert!(["event: response.completed", "event: response.incomplete"].contains(last), "{names:?}");

    let messages = json!([{"role": "user", "content": "hi"}]);
    let message = |stream| json!({"model": "tiny", "max_tokens": 6, "stream": stream, "messages": messages});
    let answer = client.post("/v1/messages", &message(false)).await.ok();
    assert_eq!((&answer["type"], &answer["usage"]["output_tokens"]), (&json!("message"), &json!(6)), "{answer}");
    let chunks = events(client, "/v1/messages", &message(true)).await;
    let place = |name: &str| chunks.iter().position(|chunk| chunk.starts_with(&format!("event: {name}")));
    assert_eq!(place("message_start"), Some(0), "{chunks:?}");
    assert!(!text(&chunks, "/delta/text").is_empty(), "{chunks:?}");
    assert!(place("message_stop").is_some_and(|at| at + 2 >= chunks.len()), "{chunks:?}");
    let count = client.post("/v1/messages/count_tokens", &json!({"model": "tiny", "messages": messages})).await.ok();
    assert!(count["input_tokens"].as_u64().is_some_and(|count| count > 0), "{count}");
}

async fn helpers(client: &Client) {
    let models = client.get("/v1/models").await.ok();
    assert_eq!(models["data"][0]["id"], "tiny", "{models}");
    let tokens = client.post("/tokenize", &json!({"model": "tiny", "prompt": "hello"})).await.ok();
    assert_eq!(tokens["count"], 5, "{tokens}");
    let text = client.post("/detokenize", &json!({"model": "tiny", "tokens": tokens["tokens"]})).await.ok();
    assert_eq!(text["prompt"], "hello", "{text}");
    assert!(client.get("/version").await.ok()["version"].is_string());
    let refused = client.post("/v1/chat/completions", &json!({"model": "other", "messages": []})).await;
    assert_eq!(refused.status, 404, "the engine judges the model's name: {}", refused.text());
}

/// A client whose request is held, and who leaves before the engine is there.
async fn one_leaves_while_it_starts(proxy: &Proxy) {
    let mut held = proxy.client().stream("/v1/chat/completions", &chat(true, LONG)).await;
    let told = held.event().await.expect("an event").expect("an event");
    assert!(told.starts_with(": llm-proxy "), "{told}");
    drop(held);
    let nobody = async || {
        let health = proxy.client().get("/health").await.ok();
        (health.pointer("/detail/0/waiting") == Some(&json!(0))).then_some(())
    };
    eventually(Deadline::in_seconds(5), "nobody waits any more", nobody).await;
}

async fn waits_until_it_works(client: &Client, whether: bool) {
    let so = async || ((metric(client, RUNNING).await > 0.5) == whether).then_some(());
    let deadline = if whether { soon() } else { Deadline::in_seconds(5) };
    eventually(deadline, &format!("whether the engine works on something is {whether}"), so).await;
}

async fn clients_that_leave_are_seen(client: &Client) {
    let mut stream = client.stream("/v1/chat/completions", &chat(true, LONG)).await;
    stream.event().await.expect("an event").expect("an event");
    waits_until_it_works(client, true).await;
    let left = Instant::now();
    drop(stream);
    waits_until_it_works(client, false).await;
    eprintln!("a client left its stream: the engine had aborted it after {} ms", left.elapsed().as_millis());

    let whole = chat(false, LONG);
    tokio::select! {
        answer = client.post("/v1/chat/completions", &whole) => panic!("so soon? {}", answer.text()),
        () = waits_until_it_works(client, true) => {}
    }
    waits_until_it_works(client, false).await;
}

/// A response in the background holds no request of ours, and the engine must not be ended under it.
async fn ends_when_idle_and_not_before(proxy: &Proxy) {
    let client = proxy.client();
    let asked = json!({
        "model": "tiny", "input": "hi", "background": true, "store": true, "max_output_tokens": LONG, "ignore_eos": true,
    });
    let response = client.post("/v1/responses", &asked).await.ok();
    let last = Instant::now();
    tokio::time::sleep_until(last + Duration::from_secs(IDLE_S + 3)).await;
    assert_eq!(state(proxy).await, "ready");
    assert!(metric(client, RUNNING).await > 0.5, "it was not long enough to tell");
    let id = response["id"].as_str().expect("an id");
    client.post(&format!("/v1/responses/{id}/cancel"), &json!({})).await.ok();
    waits_until_it_works(client, false).await;

    client.post("/v1/completions", &json!({"model": "tiny", "prompt": "once", "max_tokens": 1})).await.ok();
    let last = Instant::now();
    proxy.wait_for_line("ending the engine", Deadline::in_seconds(IDLE_S + 20)).await;
    let after = last.elapsed().as_secs_f32();
    eprintln!("ended for idleness {after:.1} s after the last answer");
    assert!((14.5..25.0).contains(&after), "{after} s");
    wait_for_state(proxy, "stopped", 60).await;
    eprintln!("gone {:.1} s later", last.elapsed().as_secs_f32() - after);
}

/// The engine's.
const PORT: &str = "18124";

/// Straight to the engine's port, as another user of the cluster could: no key, no answer.
async fn strangers_get_nothing(cluster: &Cluster, proxy: &Proxy) {
    let record = proxy.home().path().join("state/llm-proxy/tiny/life.json");
    let record: Value = serde_json::from_slice(&std::fs::read(record).expect("a record")).expect("JSON");
    let key = record["engine_key"].as_str().expect("a key");
    let mut straight = cluster.client(HostName::Login, &format!("node1:{PORT}")).await;
    for path in ["/v1/chat/completions", "/v1/responses", "/v1/messages"] {
        assert_eq!(straight.post(path, &chat(false, 1)).await.status, 401, "{path}");
    }
    straight.set_header("authorization", &format!("Bearer {key}"));
    straight.post("/v1/chat/completions", &chat(false, 1)).await.ok();
    assert!(!proxy.lines().so_far().join("\n").contains(key), "the key is in the log");
}

#[tokio::test]
#[ignore = "takes minutes: scripts/test --engines"]
async fn its_whole_api_passes_and_it_ends_when_idle() {
    let cluster = Cluster::up();
    let options = [
        "--target-port",
        PORT,
        "--stream-headers-after",
        "1s",
        "--idle-timeout",
        &format!("{IDLE_S}s"),
        "--env",
        "VLLM_ENABLE_RESPONSES_API_STORE=1",
    ];
    let proxy = vllm(&cluster, &options, &[]).start().await;
    let client = proxy.client();

    // Cold: told where it stands while it waits, and answered whole.
    one_leaves_while_it_starts(&proxy).await;
    let told = events(client, "/v1/chat/completions", &chat(true, 6)).await;
    let comments: Vec<_> = told.iter().filter(|event| event.starts_with(": llm-proxy ")).collect();
    assert!(comments.iter().any(|comment| comment.contains("node1")), "{comments:#?}");
    // Its weights are loaded faster than anybody could be told of: no percentage.
    let steps: BTreeSet<_> = comments.iter().filter_map(|comment| comment.split_once("node1: ")).collect();
    assert!(steps.len() > 2, "what it does while it starts: {comments:#?}");
    assert_eq!(told.last().map(String::as_str), Some("data: [DONE]"));
    assert!(!told.iter().any(|event| event.contains("error")), "{told:?}");
    assert!(metric(client, "vllm:request_success_total").await < 1.5, "who had left was answered");
    assert!(metric(client, RUNNING).await < 0.5, "who had left is being answered");

    helpers(client).await;
    chat_and_completions(client).await;
    responses_and_messages(client).await;
    strangers_get_nothing(&cluster, &proxy).await;
    clients_that_leave_are_seen(client).await;
    ends_when_idle_and_not_before(&proxy).await;
    life_is_over(&cluster, &proxy.lines(), 1).await;
    stop(&cluster, proxy, 1).await;
}
