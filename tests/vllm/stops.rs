//! Stopped while it starts, and while it streams. (While it is idle: `api.rs`.)

use super::scene::{LONG, chat, ends_well, process, started, vllm};
use super::support::Cluster;
use super::support::scene::soon;

/// A starting vLLM does not mind one TERM, and a TERM to all its processes wedges it.
#[tokio::test]
#[ignore = "takes minutes: scripts/test --engines"]
async fn while_it_starts() {
    let cluster = Cluster::up();
    let proxy = vllm(&cluster, &[], &[]).start().await;
    let body = chat(false, 1);
    let asked = tokio::time::timeout_at(started().at(), proxy.client().post("/v1/chat/completions", &body));
    let (answer, ()) = tokio::join!(asked, async {
        // The core has just been started, and the server waits for it.
        proxy.wait_for_line("(EngineCore", started()).await;
        process(&cluster, "VLLM::EngineCore");
        proxy.signal("INT");
    });
    let answer = answer.expect("an answer in time");
    assert_eq!((answer.status.as_u16(), answer.json()["error"]["code"].as_str()), (503, Some("shutting_down")));
    ends_well(&cluster, proxy, 1).await;
}

#[tokio::test]
#[ignore = "takes minutes: scripts/test --engines"]
async fn while_it_streams() {
    let cluster = Cluster::up();
    let proxy = vllm(&cluster, &["--stream-headers-after", "1s"], &[]).start().await;
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true, LONG)).await;
    let first = async { while !stream.event().await.expect("an event").expect("an event").starts_with("data: ") {} };
    tokio::time::timeout_at(started().at(), first).await.expect("a token in time");
    process(&cluster, "VLLM::EngineCore");

    // Asked once, it lets the answer be finished; twice, it does not.
    proxy.signal("INT");
    proxy.wait_for_line("finishing what is in flight", soon()).await;
    let refused = proxy.client().post("/v1/chat/completions", &chat(false, 1)).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    for _ in 0..3 {
        stream.event().await.expect("it goes on").expect("it goes on");
    }
    proxy.signal("INT");
    let (events, _) = tokio::time::timeout_at(soon().at(), stream.events()).await.expect("an end in time");
    // vLLM itself would write `"finish_reason":"abort"`, and `[DONE]` as after an answer that is whole.
    assert!(!events.iter().any(|event| event.contains("[DONE]")), "{:?}", events.last());
    let last = events.last().expect("an event");
    assert!(last.contains(r#""error""#), "{last}");
    eprintln!("told: {last}");
    ends_well(&cluster, proxy, 1).await;
}
