//! What the gateway is told once.

use std::time::Duration;

use super::intake::IntakeLimits;
use super::keys::AccessKey;
use crate::secret::Key;

/// What the gateway is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The key that opens everything, if there is one.
    pub access_key: Option<Key>,
    /// Keys that open some of it. Without any of both, nobody is asked for a key.
    pub access_keys: Vec<AccessKey>,
    /// The host that the proxy listens on, without brackets: a name that clients without a key may call it by.
    pub listen_host: String,
    /// Which requests start the engine.
    pub wake_on: WakeOn,
    /// How long an upload, or a connection that is being written to, may be still before it is ended. Nothing: for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a new connection may take to send the head of its first request.
    pub first_head_timeout: Duration,
    /// How long the engine may take to begin its answer: a long completion that is not streamed may take an hour.
    pub answer_timeout: Duration,
    /// The bounds of bodies that are held while the engine starts.
    pub intake: IntakeLimits,
    /// When those who wait hear of it.
    pub patience: Patience,
}

impl Settings {
    /// Whether clients must show a key.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.access_key.is_some() || !self.access_keys.is_empty()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_key: None,
            access_keys: Vec::new(),
            listen_host: "127.0.0.1".to_owned(),
            wake_on: WakeOn::default(),
            idle_timeout: Some(Duration::from_mins(30)),
            first_head_timeout: Duration::from_secs(15),
            answer_timeout: Duration::from_hours(6),
            intake: IntakeLimits::default(),
            patience: Patience::default(),
        }
    }
}

/// When a request that waits gets its headers, and how often a sign of life. Nothing: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Before the headers of a stream: the status of an early failure is worth more than an early sign.
    pub stream_headers_after: Option<Duration>,
    /// Before the headers of plain JSON: a little before Node gives up, which it does after five minutes.
    pub body_headers_after: Option<Duration>,
    /// Between two signs.
    pub keep_alive: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stream_headers_after: Some(Duration::from_secs(8)),
            body_headers_after: Some(Duration::from_mins(4)),
            keep_alive: Some(Duration::from_secs(15)),
        }
    }
}

/// Which requests start the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeOn {
    /// Inference, and what needs the running server, such as a tokenizer.
    pub inference: bool,
    /// The list of models.
    pub models: bool,
}

impl Default for WakeOn {
    fn default() -> Self {
        Self { inference: true, models: true }
    }
}
