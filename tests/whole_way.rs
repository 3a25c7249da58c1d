//! The main job from one end to the other: a request on the laptop reaches an engine on a compute node, and the job ends
//! when nobody asks any more.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use futures_util::future::join_all;
use hyper::{Method, StatusCode};
use serde_json::json;
use support::scene::{
    chat, engine_processes, life_folders, slurm_proxy, soon, state, wait_for_state, wait_until_nothing_is_left,
};
use support::{Cluster, Deadline, HostName, Proxy, eventually};

#[tokio::test]
async fn a_request_starts_a_job_and_streams_and_the_job_ends_when_idle() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &["--idle-timeout", "2s"], &["--token-delay", "100"]).start().await;
    assert_eq!(state(&proxy).await, "stopped");
    assert!(cluster.jobs().is_empty(), "nothing is asked for before somebody asks");

    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    assert_eq!(stream.status(), StatusCode::OK);
    let first = stream.event().await.expect("an event").expect("an event");
    assert!(first.starts_with("data: {"), "{first}");
    let jobs = cluster.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert!(jobs.iter().all(|job| job.contains("RUNNING llm-proxy-root-laptop-")), "{jobs:?}");
    assert_eq!(state(&proxy).await, "ready");
    let sockets = cluster.on(HostName::Laptop, &["cat", "/proc/net/tcp", "/proc/net/tcp6"]);
    let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
    assert_eq!(sockets.matches(":0000 0A ").count(), 1, "one port is open on the laptop, the proxy's own: {sockets}");
    let (events, complete) = stream.events().await;
    assert!(complete && events.last().is_some_and(|last| last == "data: [DONE]"), "{events:?}");

    wait_for_state(&proxy, "stopped", 30).await;
    assert_eq!(cluster.jobs(), Vec::<String>::new(), "stopped is said only once Slurm says so");
    wait_until_nothing_is_left(&cluster, 20).await;
    assert_eq!(life_folders(&cluster), Vec::<String>::new());
    let record = proxy.home().record_file("test-engine");
    assert!(!record.exists(), "{record:?} is kept of a life that is gone");

    // And again.
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let lines = proxy.lines();
    assert!(proxy.stop("TERM", soon()).await.success());
    assert_eq!(cluster.jobs(), Vec::<String>::new(), "{:?}", lines.so_far());
    wait_until_nothing_is_left(&cluster, 20).await;
}

#[tokio::test]
async fn a_hundred_requests_at_once_start_one_job() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &["--start-delay", "1s"]).start().await;
    let answers = join_all((0..100).map(|_| async { proxy.client().post("/v1/chat/completions", &chat(false)).await }));
    for answer in answers.await {
        answer.ok();
    }
    let accounted = cluster.say(HostName::Login, &["scontrol", "show", "job", "--oneliner"]);
    assert_eq!(accounted.lines().filter(|line| line.contains("JobId=")).count(), 1, "{accounted}");
    assert!(proxy.stop("INT", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}

#[tokio::test]
async fn every_kind_of_request_passes() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    let client = proxy.client();
    let held = client.send(Method::POST, "/v1/chat/completions", chat(false).to_string().into()).await.ok();
    assert_eq!(held["object"], "chat.completion");
    let big = bytes::Bytes::from(vec![b'x'; 5_000_000]);
    let uploaded = client.send(Method::PUT, "/upload?a=%2F&b", big).await.ok();
    assert_eq!(uploaded["length"], 5_000_000);
    let download = client.get("/bytes?n=20000000").await;
    assert!(download.complete && download.body.len() == 20_000_000);
    let trailers = client.get("/trailers").await;
    assert_eq!(trailers.status, StatusCode::OK);
    let echo = client.send(Method::DELETE, "/echo?q=%20x", bytes::Bytes::new()).await.ok();
    assert_eq!((&echo["method"], &echo["query"]), (&json!("DELETE"), &json!("q=%20x")));
    let broken = client.get("/bytes?n=100000&break=50000").await;
    assert!(!broken.complete, "an answer that breaks off must not look whole");
    assert!(proxy.stop("TERM", soon()).await.success());
}

#[tokio::test]
async fn an_engine_that_dies_in_mid_stream_is_told_as_an_error() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &["--die-after-tokens", "3"]).start().await;
    let (events, _) = proxy.client().stream("/v1/chat/completions", &chat(true)).await.events().await;
    assert!(!events.iter().any(|event| event.contains("[DONE]")), "{events:?}");
    assert!(events.last().is_some_and(|last| last.contains("\"error\"")), "{events:?}");
    wait_for_state(&proxy, "failed", 30).await;
    wait_until_nothing_is_left(&cluster, 10).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_is_seen_by_the_engine() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &["--token-delay", "100", "--tokens", "10000"]).start().await;
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    stream.event().await.expect("an event").expect("an event");
    drop(stream);
    let left = async || (proxy.client().get("/stats").await.ok()["aborted"].as_u64() >= Some(1)).then_some(());
    eventually(Deadline::in_seconds(5), "the engine saw its client leave", left).await;
}

/// Every way to run the engine is the same code: a child here, `srun` here, a process there.
#[tokio::test]
async fn without_slurm_the_command_runs_here() {
    let proxy = Proxy::builder()
        .options(["--idle-timeout", "1s"])
        .command([support::engine_path().display().to_string()])
        .command(["--children", "2", "--children-setsid", "--children-ignore-term"])
        .start()
        .await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let record = proxy.home().record("test-engine");
    let marker = record["life"].as_str().expect("a life").to_owned();
    wait_for_state(&proxy, "stopped", 30).await;
    let look = format!("grep -slF {marker} /proc/[0-9]*/environ");
    let living = std::process::Command::new("sh").args(["-c", &look]).output().expect("grep");
    assert_eq!(String::from_utf8_lossy(&living.stdout), "", "nothing of the life is left");
    assert!(proxy.stop("TERM", soon()).await.success());
}

#[tokio::test]
async fn an_engine_here_listens_on_a_socket() {
    let proxy = Proxy::builder()
        .options(["--engine-socket"])
        .command([support::engine_path().display().to_string()])
        .command(["--uds", "{socket}"])
        .start()
        .await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let stats = proxy.client().get("/stats").await.ok();
    let path = stats["arguments"][1].as_str().expect("what it was told to listen on");
    let folder = std::path::Path::new(path).parent().expect("a folder");
    assert!(folder.starts_with("/tmp") && folder.exists(), "{folder:?}");
    assert!(proxy.stop("TERM", soon()).await.success());
    assert!(!folder.exists(), "{folder:?} is left");
}

#[tokio::test]
async fn srun_on_this_machine() {
    let cluster = Cluster::up();
    let proxy = Proxy::builder()
        .on_login(&cluster)
        .options(["--use-slurm", "--srun-args", support::scene::SRUN_ARGS])
        .command([cluster.engine().display().to_string()])
        .start()
        .await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let jobs = cluster.jobs();
    assert!(jobs.len() == 1 && jobs.iter().all(|job| job.contains("RUNNING")), "{jobs:?}");
    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}

#[tokio::test]
async fn a_plain_process_on_a_host_reached_by_ssh() {
    let cluster = Cluster::up();
    let proxy = Proxy::builder()
        .on_laptop(&cluster)
        .command([cluster.engine().display().to_string()])
        .command(["--ignore-terms", "1"])
        .start()
        .await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert_eq!(cluster.jobs(), Vec::<String>::new(), "no job was asked for");
    assert!(!engine_processes(&cluster).is_empty());
    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 20).await;
}
