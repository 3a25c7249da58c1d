//! Starts that fail, and an engine of another kind.

use serde_json::{Value, json};

use super::scene::{chat, engine, started, stop, vllm};
use super::support::scene::soon;
use super::support::vllm::ENVIRONMENT;
use super::support::{Cluster, Proxy, Vllm};

/// The error of a start that fails.
async fn failure(proxy: &Proxy) -> Value {
    let body = chat(false, 1);
    let asked = proxy.client().post("/v1/chat/completions", &body);
    let began = tokio::time::Instant::now();
    let answer = tokio::time::timeout_at(started().at(), asked).await.expect("an answer in time");
    assert_eq!(answer.status, 503, "{}", answer.text());
    let error = answer.json()["error"].clone();
    eprintln!("told after {:.1} s: {error}", began.elapsed().as_secs_f32());
    error
}

#[tokio::test]
#[ignore = "takes minutes: scripts/test --engines"]
async fn a_flag_that_it_does_not_know() {
    let cluster = Cluster::up();
    let proxy = vllm(&cluster, &[], &["--no-such-flag"]).start().await;
    let error = failure(&proxy).await;
    assert!(error["message"].as_str().is_some_and(|message| message.contains("--no-such-flag")), "{error}");
    eprintln!("on the terminal: {}", proxy.wait_for_line("the engine failed", soon()).await);
    eprintln!("{}", proxy.wait_for_line("hint: ", soon()).await);
    stop(&cluster, proxy, 1).await;
}

#[tokio::test]
#[ignore = "takes minutes: scripts/test --engines"]
async fn a_model_that_is_not_there() {
    let cluster = Cluster::up();
    let mut command = Vllm::find().serve();
    command[2] = "nobody/no-such-model".to_owned();
    let proxy = engine(&cluster, &[]).command(command).start().await;
    let error = failure(&proxy).await;
    let remedy = "download it on the login host";
    assert!(error["message"].as_str().is_some_and(|message| message.contains(remedy)), "{error}");
    stop(&cluster, proxy, 1).await;
}

/// Its streams have no `[DONE]` at their end, its models the names of their folders; it is none that we know.
#[tokio::test]
#[ignore = "takes minutes: scripts/test --engines"]
async fn transformers_serve() {
    let cluster = Cluster::up();
    let model = Vllm::find().model();
    let options =
        ["-vv", "--name", "odd", "--use-slurm", "--srun-args", "--mem=8G --gres=gpu:1", "--stream-headers-after", "1s"];
    let proxy = Proxy::builder().on_laptop(&cluster).options(options);
    let proxy = proxy.options(ENVIRONMENT.iter().flat_map(|pair| ["--env", *pair]));
    let proxy = proxy.command(Vllm::find().transformers()).start().await;
    let body = |stream| {
        json!({
            "model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 6, "stream": stream,
        })
    };
    let stream = proxy.client().stream("/v1/chat/completions", &body(true)).await;
    let (events, complete) = tokio::time::timeout_at(started().at(), stream.events()).await.expect("an answer in time");
    assert!(!events.iter().any(|event| event.contains("[DONE]")), "it has learnt something: {events:?}");
    assert!(complete && events.iter().filter(|event| event.starts_with("data: ")).count() > 2, "{events:?}");
    let answer = proxy.client().post("/v1/chat/completions", &body(false)).await.ok();
    assert!(answer["choices"][0]["message"]["content"].is_string(), "{answer}");
    stop(&cluster, proxy, 1).await;
}
