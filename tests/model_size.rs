//! A model that is downloaded at the engine's start: how far it is, is told to who waits.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use support::scene::soon;
use support::{Deadline, Proxy, engine_path};

/// Writes a model piece by piece where Hugging Face's library would, until it was looked at; then it is an engine.
const SCRIPT: &str = "blobs=$HF_HOME/hub/models--org--M/blobs; mkdir -p \"$blobs\"; n=0
until [ -e \"$HF_HOME/go\" ] || [ $n = 80 ]; do head -c 10000000 /dev/zero >>\"$blobs/abc.incomplete\"; n=$((n + 1)); sleep 1; done
rm \"$blobs/abc.incomplete\"; exec \"$0\" \"$@\"";

#[tokio::test]
async fn its_progress_is_told_by_what_has_arrived() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, engine) = (folder.path().join("models"), engine_path().display().to_string());
    let command = ["/bin/sh", "-c", SCRIPT, &engine, "--model", "org/M", "--host", "{host}", "--port", "{port}"];
    let file = serde_json::json!({
        "backend": "custom", "model": "org/M", "command": command, "env_vars": { "HF_HOME": home },
        "serve_config": { "model_size": "1GiB" },
    });
    std::fs::write(folder.path().join("one.yaml"), file.to_string()).expect("a file in it");
    let proxy = Proxy::builder().folder(folder.path()).options(["--config", "one.yaml"]).start().await;
    assert!(!proxy.lines().so_far().join("\n").contains("does nothing yet"));
    let body = serde_json::json!({ "model": "org/M", "messages": [{ "role": "user", "content": "hello" }] });
    let (answer, line) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        let line = proxy.wait_for_line("downloading weights", Deadline::in_seconds(120)).await;
        std::fs::write(home.join("go"), "").expect("a file");
        line
    });
    assert!(line.contains(" % (0.") && line.contains(" of 1.0 GiB)"), "{line}");
    answer.ok();
    assert!(proxy.stop("TERM", soon()).await.success());
}
