//! Requests that cannot be served, and what each is answered, to the letter: a change of these words is one that users see.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use support::{Proxy, engine_path, vllm_stand_in};

async fn serve(folder: &std::path::Path) -> Proxy {
    let file = format!(
        "callers: {{create: true}}\nmodels:\n  one:\n    backend: custom\n    model: org/one\n    \
         command: ['{}', --model, '{{model}}', --host, '{{host}}', --port, '{{port}}']\n",
        engine_path().display()
    );
    std::fs::write(folder.join("fleet.yaml"), file).expect("a file");
    vllm_stand_in(folder);
    Proxy::builder().of_fleet(folder).with_programs_of(folder).start().await
}

#[tokio::test]
async fn each_has_its_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = serve(folder.path()).await;
    let rows = include_str!("fixtures/bad_requests.txt");
    let mut wrong = Vec::new();
    for row in rows.split("\n\n").map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let (request, expected) = row.split_once("\n=> ").unwrap_or_else(|| panic!("no answer in {row}"));
        let (line, body) = request.split_once('\n').unwrap_or((request, ""));
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a method");
        let answer = proxy.client().send(method, path, Bytes::from(body.to_owned())).await;
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| json!(answer.text()));
        let told = match told.get("error") {
            Some(error) => format!(
                "{} {} {}: {}",
                answer.status.as_u16(),
                word(error, "type"),
                word(error, "code"),
                word(error, "message")
            ),
            None => format!("{} {told}", answer.status.as_u16()),
        };
        if told != expected {
            wrong.push(format!("{request}\n=> {told}"));
        }
    }
    assert!(wrong.is_empty(), "answered otherwise:\n\n{}", wrong.join("\n\n"));
    // Nothing was made, and nothing was started.
    let list = proxy.client().get("/instances").await.ok();
    let states: Vec<_> = list["instances"].as_array().expect("a list").iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["stopped"], "{list}");
}

fn word(error: &Value, key: &str) -> String {
    error[key].as_str().unwrap_or("-").to_owned()
}
