//! What a client is asked to do, and what it saw.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rows::{Api, Row};

/// One request by one client.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) client: &'static str,
    pub(crate) api: Api,
    pub(crate) stream: bool,
    pub(crate) base_url: String,
    pub(crate) key: &'static str,
    pub(crate) model: &'static str,
    pub(crate) max_tokens: u64,
    /// The client's own limit, in seconds: of the time between bytes, or until the headers, or of a whole answer.
    pub(crate) timeout: f64,
    /// Node's limit of the time until the headers, and between bytes; 300 s by itself.
    pub(crate) silence: f64,
    pub(crate) retries: u64,
    pub(crate) headers: BTreeMap<&'static str, String>,
    pub(crate) leave_after_pieces: Option<u64>,
    pub(crate) leave_after_seconds: Option<f64>,
}

/// The access key of all proxies here.
pub(crate) const KEY: &str = "open-sesame";

impl Job {
    /// A request to the proxy at `address`, by a client that is patient and never tries again.
    pub(crate) fn new(row: &Row, address: &str, stream: bool) -> Self {
        Self {
            id: 0,
            client: row.client,
            api: row.api,
            stream,
            base_url: format!("http://{address}"),
            key: KEY,
            model: "test-model",
            max_tokens: 100_000,
            timeout: 100.0,
            silence: 100.0,
            retries: 0,
            headers: BTreeMap::from([("x-client", row.name())]),
            leave_after_pieces: None,
            leave_after_seconds: None,
        }
    }

    /// With limits of so long for the time that nothing comes.
    pub(crate) fn patient_for(mut self, patience: Duration) -> Self {
        self.silence = patience.as_secs_f64();
        if !self.limits_whole_answer() {
            self.timeout = self.silence;
        }
        self
    }

    /// Whether the client's own limit is one of the whole answer, so that no sign of life makes it longer.
    fn limits_whole_answer(&self) -> bool {
        self.client == "openai-7" && !self.stream
    }

    /// With a limit of so long, whatever it is that the client limits.
    pub(crate) fn limited_to(mut self, limit: Duration) -> Self {
        self.timeout = limit.as_secs_f64();
        self
    }

    /// Trying again as often as the SDKs do by default.
    pub(crate) fn trying_again(mut self) -> Self {
        self.retries = 2;
        self
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.to_owned());
        self
    }
}

/// What a client saw.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) id: u64,
    /// All text that the caller got.
    pub(crate) text: String,
    /// How many pieces of a stream carried text.
    pub(crate) pieces: u64,
    /// How many pieces reached the caller without text.
    pub(crate) empty_pieces: u64,
    /// What was raised, if anything was.
    pub(crate) error: Option<Raised>,
    pub(crate) seconds: f64,
    /// Comments of an event stream, which only curl shows.
    #[serde(default)]
    pub(crate) comments: Vec<String>,
}

/// An exception, as a caller's handler would read it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Raised {
    pub(crate) class: String,
    pub(crate) status: Option<u16>,
    pub(crate) message: String,
}

impl Raised {
    /// The class and, if the client tells one, the status.
    pub(crate) fn name(&self) -> String {
        let status = self.status.map(|status| format!(" {status}")).unwrap_or_default();
        format!("`{}`{status}", self.class)
    }
}
