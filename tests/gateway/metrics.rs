//! The metrics of all instances together.

use http::Response;
use llm_proxy::gateway::Settings;
use llm_proxy::instance::Hold;
use llm_proxy::route::EngineAuth;
use tokio::io::AsyncReadExt;

use crate::support::{Mood, Proxy, Told, engine, known, no_engine, raw_engine};

const VLLM: &str = "# HELP vllm:running Requests that run.\n# TYPE vllm:running gauge\n\
                    vllm:running{model_name=\"a \\\"b\\\" }\"} 2.0\n";

async fn with_metrics() -> std::net::SocketAddr {
    engine(|request| async move {
        assert_eq!(request.uri().path(), "/metrics");
        Response::new(known(VLLM))
    })
    .await
}

#[tokio::test]
async fn each_ready_engine_tells_its_own_and_none_is_woken_or_waited_for() {
    let silent = raw_engine(|mut stream| async move {
        // It takes the question, and says nothing.
        drop(stream.read_to_end(&mut Vec::new()).await);
    })
    .await;
    let without = engine(|_| async { Response::builder().status(404).body(known("no such page")).unwrap() }).await;
    let (proxy, owners) = Proxy::several([
        ("one", &["org/one"], with_metrics().await, Mood::Ready),
        ("two", &["org/two"], with_metrics().await, Mood::Ready),
        ("mute", &["org/mute"], silent, Mood::Ready),
        ("bare", &["org/bare"], without, Mood::Ready),
        ("off", &["org/off"], no_engine().await, Mood::Asleep),
    ])
    .await;
    let (status, text) = proxy.ask("GET", "/metrics").await;
    assert_eq!(status, 200);
    for (line, times) in [
        ("# TYPE vllm:running gauge", 1),
        ("# HELP vllm:running Requests that run.", 1),
        (r#"vllm:running{instance="one",model_name="a \"b\" }"} 2.0"#, 1),
        (r#"vllm:running{instance="two",model_name="a \"b\" }"} 2.0"#, 1),
        (r#"llm_proxy_engine_up{instance="one"} 1"#, 1),
        (r#"llm_proxy_engine_up{instance="mute"} 0"#, 1),
        (r#"llm_proxy_engine_up{instance="bare"} 1"#, 1),
        (r#"llm_proxy_engine_up{instance="off"} 0"#, 0),
        (r#"llm_proxy_engine_ready{instance="off"} 0"#, 1),
        (r#"llm_proxy_engine_ready{instance="mute"} 1"#, 1),
        (r#"llm_proxy_engine_lines_left_out{instance="one"} 0"#, 1),
    ] {
        assert_eq!(text.lines().filter(|told| *told == line).count(), times, "{line}\n{text}");
    }
    let [.., off] = &owners;
    assert!(off.told().is_empty(), "nobody was woken");
    let looked = |told: &Told| matches!(told, Told::TryAcquire(Hold::Helper) | Told::Release(Hold::Helper));
    assert!(owners.iter().all(|owner| owner.told().iter().all(looked)));
}

#[tokio::test]
async fn with_one_command_its_lines_stay_as_they_are_and_ours_are_beside_them() {
    let engine = with_metrics().await;
    let proxy = Proxy::with(engine, Mood::Ready, EngineAuth::Client, Settings::default()).await;
    let (status, text) = proxy.ask("GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(text.ends_with("llm_proxy_engine_lines_left_out 0\n") && text.contains(VLLM), "{text}");
    assert!(text.contains("\nllm_proxy_engine_ready 1\n") && text.contains("\nllm_proxy_engine_up 1\n"), "{text}");
}
