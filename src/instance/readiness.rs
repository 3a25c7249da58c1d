//! What an engine is asked: whether it answers, and whether it works on something that no request of ours holds.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tracing::debug;

use crate::backend::Backend;
use crate::route::{SendError, Upstream};

/// What to ask, which depends on the backend.
#[derive(Clone, Debug)]
pub struct Questions {
    /// The engine's kind.
    pub backend: Backend,
    /// The path that tells by a 200 whether the engine is ready, where it is not one that its kind has.
    pub ready_path: Option<Arc<str>>,
}

impl Questions {
    /// What an engine of this kind is asked.
    #[must_use]
    pub fn of(backend: Backend) -> Self {
        Self { backend, ready_path: None }
    }

    fn ready_paths(&self) -> impl Iterator<Item = &str> {
        let usual = if self.ready_path.is_none() { self.backend.ready_paths() } else { &[] };
        self.ready_path.as_deref().into_iter().chain(usual.iter().copied())
    }
}

/// Where engines say what they work on.
const METRICS: &str = "/metrics";

/// How long one answer may take. A loading engine that accepts and says nothing is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two questions at first, doubled up to [`LONGEST_PAUSE`]: an engine that is ready at once is used at once.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Between two questions at most: what the first request may wait too long by.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Returns once the engine answers 200, through the route that requests will take. Where that leads nowhere any more, it is
/// the life that looks for another.
pub(super) async fn until_ready(upstream: Arc<Upstream>, questions: Questions) {
    let mut pause = FIRST_PAUSE;
    loop {
        match ask(&upstream, &questions).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => debug!(%error, "the engine does not answer yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether the engine says that it is ready.
async fn ask(upstream: &Upstream, questions: &Questions) -> Result<bool, SendError> {
    for path in questions.ready_paths() {
        match upstream.probe(path, ANSWER_TIMEOUT).await?.0 {
            StatusCode::OK => return Ok(true),
            // An engine of another version, or of another kind than we thought: it may know the next path.
            StatusCode::NOT_FOUND => {}
            status => {
                debug!(path, %status, "the engine is not ready yet");
                return Ok(false);
            }
        }
    }
    Ok(false)
}

/// What an engine that was ready makes of the question how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It answered something.
    Answers,
    /// It took the question, and said nothing.
    Silent,
    /// It could not be asked, which says nothing of it.
    Unknown,
}

/// Asks it how it is.
pub(super) async fn health(upstream: &Upstream, questions: &Questions, limit: Duration) -> Health {
    let path = questions.ready_paths().next().unwrap_or(METRICS);
    match upstream.probe(path, limit).await {
        Ok(_) => Health::Answers,
        // Where no connection came to stand, it is the way that is silent.
        Err(SendError::Late { connected: true, .. }) => Health::Silent,
        Err(error) => {
            debug!(%error, "the engine cannot be asked how it is");
            Health::Unknown
        }
    }
}

/// Whether the engine says that it works on something. One that cannot say so does not.
pub(super) async fn is_busy(upstream: Arc<Upstream>, questions: Questions) -> bool {
    match upstream.probe(METRICS, ANSWER_TIMEOUT).await {
        Ok((StatusCode::OK, body)) => {
            questions.backend.busy_from_metrics(&String::from_utf8_lossy(&body)).is_some_and(|count| count > 0)
        }
        Ok(_) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

    use test_case::test_case;
    use tokio::net::{TcpSocket, TcpStream};

    use super::*;
    use crate::host::{Address, Host, LocalHost};
    use crate::route::{EngineAuth, Way};

    /// What takes connections and says nothing; where it is full, Linux leaves whoever else comes without an answer.
    #[test_case(false, Health::Silent; "an engine that says nothing")]
    #[test_case(true, Health::Unknown; "a way that does")]
    #[tokio::test]
    async fn only_an_engine_that_was_asked_is_silent(full: bool, health: Health) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let at = listener.local_addr().unwrap();
        let mut connected = Vec::new();
        let connecting = || tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(at));
        while full && let Ok(stream) = connecting().await {
            connected.push(stream.unwrap());
        }
        let endpoint = Address { host: at.ip().to_string(), port: at.port() }.into();
        let way = Way::Dial { host: Host::Local(LocalHost), endpoint };
        let upstream = Upstream::new(way, EngineAuth::Client);
        let questions = Questions::of(Backend::Vllm);
        assert_eq!(super::health(&upstream, &questions, Duration::from_millis(500)).await, health);
    }

    #[test]
    fn an_engines_own_path_is_asked_instead_of_the_usual_ones() {
        let usual = Questions::of(Backend::Sglang);
        let own = Questions { ready_path: Some(Arc::from("/healthz")), ..usual.clone() };
        assert_eq!(usual.ready_paths().collect::<Vec<_>>(), Backend::Sglang.ready_paths());
        assert_eq!(own.ready_paths().collect::<Vec<_>>(), ["/healthz"]);
    }
}
