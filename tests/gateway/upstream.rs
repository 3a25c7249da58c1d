//! The way to the engine, by itself: probes.

use std::time::Duration;

use http::Response;
use llm_proxy::host::{Address, Host, LocalHost};
use llm_proxy::route::{EngineAuth, SendError, Upstream, Way};
use llm_proxy::secret::Key;

use super::support::*;

fn upstream(engine: std::net::SocketAddr) -> std::sync::Arc<Upstream> {
    let address = Address { host: engine.ip().to_string(), port: engine.port() };
    Upstream::new(
        Way::Dial { host: Host::Local(LocalHost), endpoint: address.into() },
        EngineAuth::Key(Key::new("engine")),
    )
}

#[tokio::test]
async fn a_probe_shows_the_engines_key_and_takes_the_whole_answer() {
    let upstream = upstream(echo_engine().await);
    let (status, body) = upstream.probe("/health?x=1", DEADLINE).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(status, 200);
    assert!(body.starts_with("GET /health?x=1\n") && body.contains("\nauthorization: Bearer engine\n"), "{body}");
    assert!(!format!("{upstream:?}").contains("Bearer engine"), "no secret in a Debug");
}

#[tokio::test]
async fn a_probe_ends_in_time_and_in_size() {
    let silent = raw_engine(|mut stream| async move { drop(read_all(&mut stream).await) }).await;
    let limit = Duration::from_millis(100);
    let error = upstream(silent).probe("/health", limit).await.unwrap_err();
    assert!(matches!(error, SendError::Late { .. }), "{error:?}");
    let chatty = engine(|_| async { Response::new(known(vec![b'x'; 5 << 20])) }).await;
    let error = upstream(chatty).probe("/metrics", DEADLINE).await.unwrap_err();
    assert!(matches!(error, SendError::Overlong { .. }), "{error:?}");
}

#[tokio::test]
async fn a_probe_of_nobody_says_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let error = upstream(nobody).probe("/health", DEADLINE).await.unwrap_err();
    assert!(matches!(error, SendError::Dial { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("the engine cannot be reached at {nobody}"));
}
