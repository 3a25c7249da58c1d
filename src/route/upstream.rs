//! An HTTP client whose connections are dialled through a host: the one way to a life's engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{AUTHORIZATION, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use tokio::sync::Notify;

use super::Way;
use super::answer::Answer;
use super::connector::{Connector, HungUp, Line};
use super::link_wait::{BoxError, LinkDown};
use super::passage::{Guide, NoRoute, Passage};
use super::pool::{Failed, Pool, UpstreamBody};
use crate::host::Endpoint;
use crate::secret::Key;

/// The longest answer to a probe. vLLM's `/metrics` is some 200 KB.
const PROBE_BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Anthropic's own way to send a key.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Whose key the engine asks for, and so what is put on a request.
#[derive(Clone, Debug)]
pub enum EngineAuth {
    /// We gave the engine this key (ours for this life, or the command's own where we guard the front).
    Key(Key),
    /// The command has a key of its own and we guard nothing: the client's passes through.
    Client,
}

/// A request could not be sent, or its answer did not come.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection to the engine could be made.
    #[error("the engine cannot be reached at {endpoint}")]
    Dial {
        /// Where it was looked for.
        endpoint: Endpoint,
        /// Why not.
        source: BoxError,
    },
    /// The host cannot be talked to, and the request has waited for it as long as it may; nothing of it was sent.
    #[error(transparent)]
    Link(LinkDown),
    /// No route leads to the engine, which lives; nothing was sent.
    #[error(transparent)]
    Route(NoRoute),
    /// The connection broke before the answer's head came; or, of a probe, before its end.
    #[error("the engine broke off before it answered")]
    Broke {
        /// Whether the connection was there before the request: then the engine may just have closed it while it was
        /// idle, and no byte came back, so the request may be sent once more if it broke at once.
        reused: bool,
        /// What was seen.
        source: BoxError,
    },
    /// A probe was not answered in time.
    #[error("the engine did not answer within {} s", limit.as_secs_f32())]
    Late {
        /// The time it had.
        limit: Duration,
        /// Whether a connection to the engine stood; if not, it was not asked at all.
        connected: bool,
    },
    /// A probe's answer is longer than any that we know.
    #[error("the engine's answer is longer than {limit} bytes")]
    Overlong {
        /// The bound, in bytes.
        limit: usize,
    },
}

/// The way to one life's engine.
#[derive(Debug)]
pub struct Upstream {
    passage: Passage,
    auth: EngineAuth,
    bearer: Option<HeaderValue>,
    pool: Pool,
    line: Line,
    heard: Arc<AtomicBool>,
}

impl Upstream {
    /// By one way for ever. Dials nothing yet: connections are made when they are needed, and pooled while idle.
    #[must_use]
    pub fn new(way: Way, auth: EngineAuth) -> Arc<Self> {
        Self::guided(way, auth).0
    }

    /// By this way until the guide says another.
    #[must_use]
    pub fn guided(way: Way, auth: EngineAuth) -> (Arc<Self>, Guide) {
        let line = Line::default();
        let (passage, guide) = Passage::new(way);
        let connector = Connector::new(passage.clone(), line.clone());
        let heard = connector.heard();
        let pool = Pool::new(connector);
        let bearer = match &auth {
            EngineAuth::Key(key) => bearer(key.expose().as_bytes()),
            EngineAuth::Client => None,
        };
        (Arc::new(Self { passage, auth, bearer, pool, line, heard }), guide)
    }

    /// Whether anything came from the engine since this was last asked. One watcher may ask.
    #[must_use]
    pub fn heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// Whose key the engine asks for.
    #[must_use]
    pub fn auth(&self) -> &EngineAuth {
        &self.auth
    }

    /// Breaks off every answer that still comes, now and from now on, as if the engine had died.
    ///
    /// An engine that is told to end may end its answers in a way that looks whole: vLLM writes `[DONE]` after those
    /// that it aborts.
    pub fn hang_up(&self, why: HungUp) {
        self.line.hang_up(why);
    }

    /// Returns once what is on the way has answered a question, or once it cannot be asked, and says which.
    pub async fn way_answers(&self) -> bool {
        self.passage.way().answers().await
    }

    /// Sends a request and waits for the answer's head; `connected` is told once there is a connection for it.
    ///
    /// Its `Host` and its credentials are the engine's, whatever the request had. Dropping the returned future, or the
    /// response's body, closes the connection: the engine sees its client leave.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(
        &self,
        request: Request<UpstreamBody>,
        connected: Option<&Notify>,
    ) -> Result<Response<Answer>, SendError> {
        let mut request = self.prepare(request)?;
        loop {
            let connection = self.pool.connection().await.map_err(|error| self.undialled(error))?;
            if let Some(connected) = connected {
                connected.notify_one();
            }
            match connection.send(request).await {
                Ok(response) => return Ok(response),
                // The connection had ended before a byte was written.
                Err(Failed { request: Some(unsent), .. }) => {
                    request = unsent;
                    // It was none.
                    connected.and_then(|connected| connected.notified().now_or_never());
                }
                Err(Failed { error, untouched, .. }) => return Err(broke(untouched, error)),
            }
        }
    }

    /// The same by a new connection: those that are idle may all have died with the one that is known to have.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_anew(&self, request: Request<UpstreamBody>) -> Result<Response<Answer>, SendError> {
        let request = self.prepare(request)?;
        let connection = self.pool.new_connection().await.map_err(|error| self.undialled(error))?;
        connection.send(request).await.map_err(|Failed { error, untouched, .. }| broke(untouched, error))
    }

    fn prepare(&self, mut request: Request<UpstreamBody>) -> Result<Request<UpstreamBody>, SendError> {
        *request.version_mut() = Version::HTTP_11;
        path_only(request.uri_mut())?;
        request.headers_mut().insert(HOST, self.passage.host_header());
        self.put_credentials(request.headers_mut());
        Ok(request)
    }

    /// Asks `path` with the engine's key, for its health or its metrics, and takes in the whole answer.
    ///
    /// # Errors
    /// See [`SendError`]: any of them.
    pub async fn probe(&self, path: &str, limit: Duration) -> Result<(StatusCode, Bytes), SendError> {
        let mut request = Request::new(UpstreamBody::new(Empty::new().map_err(|never| match never {})));
        *request.method_mut() = Method::GET;
        let connected = Notify::new();
        let asked = async {
            *request.uri_mut() = path.parse().map_err(|error| broke(false, error))?;
            let (head, body) = self.send(request, Some(&connected)).await?.into_parts();
            let body = Limited::new(body, PROBE_BODY_LIMIT).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    SendError::Overlong { limit: PROBE_BODY_LIMIT }
                } else {
                    SendError::Broke { reused: false, source: error }
                }
            })?;
            Ok((head.status, body.to_bytes()))
        };
        tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| {
            let connected = connected.notified().now_or_never().is_some();
            Err(SendError::Late { limit, connected })
        })
    }

    fn put_credentials(&self, headers: &mut HeaderMap) {
        match &self.auth {
            EngineAuth::Key(_) => {
                headers.remove(AUTHORIZATION);
                headers.remove(X_API_KEY);
                if let Some(bearer) = &self.bearer {
                    headers.insert(AUTHORIZATION, bearer.clone());
                }
            }
            // vLLM reads only Bearer, and answers Anthropic's own header with 401.
            EngineAuth::Client if !headers.contains_key(AUTHORIZATION) => {
                if let Some(bearer) = headers.remove(X_API_KEY).and_then(|key| bearer(key.as_bytes())) {
                    headers.insert(AUTHORIZATION, bearer);
                }
            }
            EngineAuth::Client => {}
        }
    }

    fn undialled(&self, error: BoxError) -> SendError {
        if let Some(down) = LinkDown::find(error.as_ref()) {
            return SendError::Link(down.clone());
        }
        if let Some(none) = NoRoute::find(error.as_ref()) {
            return SendError::Route(none.clone());
        }
        SendError::Dial { endpoint: self.passage.way().endpoint().clone(), source: error }
    }
}

/// Takes off the authority that a client may have written before the path: on this connection there is one engine.
fn path_only(uri: &mut Uri) -> Result<(), SendError> {
    if uri.authority().is_none() && uri.scheme().is_none() {
        return Ok(());
    }
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    *uri = Uri::from_parts(parts).map_err(|error| broke(false, error))?;
    Ok(())
}

fn broke(reused: bool, source: impl Into<BoxError>) -> SendError {
    SendError::Broke { reused, source: source.into() }
}

fn bearer(key: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", key].concat()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
