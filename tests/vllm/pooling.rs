//! A pooling run: vectors, and what is made of them.

use serde_json::{Value, json};

use super::scene::{started, stop, vllm};
use super::support::{Client, Cluster};

/// The documents, the nearest first, as an answer of a re-ranker has them.
async fn ranked(client: &Client, path: &str) -> Vec<Value> {
    let asked = json!({"model": "tiny", "query": "one", "documents": ["word7 word9", "one"]});
    let answer = client.post(path, &asked).await.ok();
    answer["results"].as_array().unwrap_or_else(|| panic!("{path}: {answer}")).clone()
}

#[tokio::test]
#[ignore = "takes minutes: scripts/test --engines"]
async fn it_embeds_and_ranks() {
    let cluster = Cluster::up();
    let proxy = vllm(&cluster, &[], &["--runner", "pooling", "--convert", "embed"]).start().await;
    let client = proxy.client();
    let embeddings = |format: &str| json!({"model": "tiny", "input": ["one", "two"], "encoding_format": format});
    // Cold, and not streamed: it is held in silence.
    let cold = tokio::time::timeout_at(started().at(), client.post("/v1/embeddings", &embeddings("float"))).await;
    let floats = cold.expect("an answer in time").ok();
    let numbers = |at: usize| floats["data"][at]["embedding"].as_array().expect("numbers").clone();
    assert_eq!(numbers(1).len(), 256, "{floats}");
    assert_ne!(numbers(0), numbers(1));
    let text = client.post("/v1/embeddings", &embeddings("base64")).await.ok();
    // 256 numbers of four bytes.
    assert_eq!(text["data"][0]["embedding"].as_str().map(str::len), Some(1368), "{text}");
    for path in ["/rerank", "/v1/rerank", "/v2/rerank"] {
        let ranked = ranked(client, path).await;
        assert_eq!(ranked[0]["index"], 1, "the query itself is nearest: {ranked:?}");
    }
    let score = client.post("/score", &json!({"model": "tiny", "text_1": "one", "text_2": ["one", "two"]})).await.ok();
    assert!(score["data"][0]["score"].as_f64() > score["data"][1]["score"].as_f64(), "{score}");
    stop(&cluster, proxy, 1).await;
}
