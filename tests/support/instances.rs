//! The instances of a proxy, as its `/health` tells of them, and which of them answers.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Deadline, Proxy};

/// Writes `fleet.yaml` as editors do it: a new file in the place of the old one.
pub(crate) fn write_fleet(folder: &Path, text: &str) {
    std::fs::write(folder.join("new.yaml"), text).expect("a file");
    std::fs::rename(folder.join("new.yaml"), folder.join("fleet.yaml")).expect("its own name");
}

/// The status and the JSON with which a request is answered.
pub(crate) async fn post(proxy: &Proxy, path: &str, body: Value) -> (u16, Value) {
    let response = proxy.client().post(path, &body).await;
    (response.status.as_u16(), response.json())
}

/// What `/health` says of the one of that name; null where there is none.
pub(crate) async fn detail(proxy: &Proxy, name: &str) -> Value {
    let health = proxy.client().get("/health").await.ok();
    let all = health.get("detail").and_then(Value::as_array).expect("a list").iter();
    all.clone().find(|one| one.get("name").is_some_and(|known| known == name)).cloned().unwrap_or(Value::Null)
}

/// Waits until `/health` says this of the one of that name.
pub(crate) async fn until(proxy: &Proxy, name: &str, key: &str, wanted: Value) {
    let deadline = Deadline::in_seconds(40);
    loop {
        let now = detail(proxy, name).await;
        if *now.get(key).unwrap_or(&Value::Null) == wanted {
            return;
        }
        assert!(!deadline.is_over(), "{name} never had {key} {wanted}: {now}\n{:?}", proxy.lines());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A chat with the model `org/m`.
pub(crate) fn chat_with_m(text: &str, tokens: u64) -> Value {
    json!({ "messages": [{ "role": "user", "content": text }], "max_tokens": tokens, "model": "org/m" })
}

/// Who answered this chat, which it did well.
pub(crate) async fn served_by(proxy: &Proxy, body: &Value) -> String {
    let answer = proxy.client().post("/v1/chat/completions", body).await;
    let by = answer.headers.get("x-llm-proxy-instance").map(|name| name.to_str().expect("text").to_owned());
    answer.ok();
    by.unwrap_or_else(|| "-".to_owned())
}
