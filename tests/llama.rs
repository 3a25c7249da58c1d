//! llama.cpp's server as a job on the cluster: the real engine that the other tests use.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use hyper::StatusCode;
use serde_json::json;
use support::{ChildGuard, Cluster, Deadline, HostName, Llama, eventually};

#[tokio::test]
async fn llama_streams_from_a_node_to_who_has_its_key() {
    let cluster = Cluster::up();
    let mut command = cluster.user_command(HostName::Login, "srun");
    command.args(["--nodelist=node2", "--mem=1G", "--gres=gpu:1", "env", "LLAMA_API_KEY=sesame"]);
    command.args(Llama::find().command_on("0.0.0.0", "8000"));
    let _job = ChildGuard::start("srun of llama", &mut command);

    let address = format!("{}:8000", cluster.address(HostName::Node2));
    let mut client = cluster.client(HostName::Login, &address).await;
    let health = async || {
        // Refused until it listens: the relay then hangs up.
        let request = hyper::Request::get("/health").header("host", "x").body(http_body_util::Full::default());
        let answer = client.try_request(request.expect("a request")).await.ok()?;
        (answer.status() == StatusCode::OK).then_some(())
    };
    eventually(Deadline::in_seconds(30), "llama is well", health).await;

    let ask =
        json!({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "stream": true});
    assert_eq!(client.post("/v1/chat/completions", &ask).await.status, StatusCode::UNAUTHORIZED);
    client.set_header("authorization", "Bearer sesame");
    let (events, complete) = client.stream("/v1/chat/completions", &ask).await.events().await;
    assert!(complete);
    assert!(events.len() > 5, "{events:?}");
    assert_eq!(events.last().map(String::as_str), Some("data: [DONE]"));
}
