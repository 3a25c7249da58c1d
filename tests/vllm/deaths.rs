//! Its parts killed by force: what the clients see, and that nothing of it keeps the GPU.

use super::scene::{LONG, chat, kill, life_is_over, process, processes, started, stop, vllm};
use super::support::scene::soon;
use super::support::{Cluster, Deadline, EventStream, Proxy, eventually};

/// Asks for a long stream, and waits for its first token. After a failure a new start is refused for some seconds.
async fn streaming(proxy: &Proxy) -> EventStream {
    let body = chat(true, LONG);
    let accepted = async || {
        let stream = proxy.client().stream("/v1/chat/completions", &body).await;
        (stream.status() == 200).then_some(stream)
    };
    let mut stream = eventually(started(), "a request is accepted", accepted).await;
    let first = async {
        loop {
            let event = stream.event().await.expect("an event").expect("an event");
            assert!(!event.contains("error"), "{event}");
            if event.starts_with("data: ") {
                return;
            }
        }
    };
    tokio::time::timeout_at(started().at(), first).await.expect("a token in time");
    stream
}

/// The end of a stream whose engine died: an error, in words, and no end that looks whole.
async fn broken(stream: EventStream) -> String {
    let ended = tokio::time::timeout_at(Deadline::in_seconds(30).at(), stream.events()).await;
    let (events, _) = ended.expect("an end in time");
    let error = events.iter().rev().find(|event| event.contains(r#""error""#));
    let error = error.unwrap_or_else(|| panic!("whole? {:?}", events.last()));
    let mut after = events.iter().skip_while(|event| *event != error).skip(1);
    // vLLM itself says `[DONE]` after its own error.
    assert!(after.all(|event| event == "data: [DONE]"), "{error}");
    error.clone()
}

/// What the next one is told who asks at once.
async fn next(proxy: &Proxy) -> String {
    let body = chat(false, 1);
    let asked = tokio::time::timeout_at(started().at(), proxy.client().post("/v1/chat/completions", &body));
    let answer = asked.await.expect("an answer in time");
    if answer.status != 200 {
        assert!(answer.status.is_server_error() && answer.json()["error"]["message"].is_string(), "{}", answer.text());
    }
    format!("{} {}", answer.status, answer.text())
}

#[tokio::test]
#[ignore = "takes minutes: scripts/test --engines"]
async fn its_core_and_then_its_main_process() {
    let cluster = Cluster::up();
    let proxy = vllm(&cluster, &["--stream-headers-after", "1s"], &[]).start().await;

    let stream = streaming(&proxy).await;
    kill(&cluster, &process(&cluster, "VLLM::EngineCore"));
    eprintln!("its core was killed: {}", broken(stream).await);
    eprintln!("the next is told: {}", next(&proxy).await);
    // It exits with 0 all the same.
    eprintln!("{}", proxy.wait_for_line("the engine failed", soon()).await);
    proxy.wait_for_line("a later request starts it afresh", Deadline::in_seconds(90)).await;
    life_is_over(&cluster, &proxy.lines(), 1).await;

    // The next request starts a new life, and is answered.
    let stream = streaming(&proxy).await;
    let main = process(&cluster, "vllm serve");
    let others = processes(&cluster).iter().filter(|line| line.contains("VLLM::")).count();
    assert!(others > 0, "{:#?}", processes(&cluster));
    kill(&cluster, &main);
    // The others would go on for ever, with the memory and without a port.
    eprintln!("its main process was killed: {}", broken(stream).await);
    eprintln!("the next is told: {}", next(&proxy).await);
    let lines = proxy.lines();
    let told = |words: &str| lines.so_far().into_iter().filter(|line| line.contains(words)).collect::<Vec<_>>();
    let both = async || (told("starts it afresh").len() == 2).then_some(());
    eventually(Deadline::in_seconds(90), "the second failure is over", both).await;
    let failures = told("the engine failed");
    eprintln!("on the terminal: {failures:#?}");
    assert_eq!(failures.len(), 2, "each failure is told once");
    life_is_over(&cluster, &lines, 2).await;
    stop(&cluster, proxy, 2).await;
}
