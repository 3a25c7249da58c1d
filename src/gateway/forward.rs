//! One request to the engine, and its answer back.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::body::{ResponseBody, ServedBody, empty};
use super::dialect::Dialect;
use super::error::Fault;
use super::headers;
use super::intake::Taken;
use super::keys::Stay;
use super::lifetime::Lifetime;
use super::replay::Replay;
use super::upgrade;
use super::upload::{Passed, Upload, UploadError};
use crate::instance::Permit;
use crate::route::{Answer, HungUp, SendError, UpstreamBody};

/// How long a dead connection may take to give a body back.
const RETURN_LIMIT: Duration = Duration::from_secs(1);

/// How soon after it was sent a request must have broken off on an old connection for the connection to be blamed. An
/// engine that had closed it says so within a round trip; one that read the request and fails later has worked on it,
/// and perhaps broke over it. (What never left is sent again by whoever holds the connections.)
const UNTOUCHED_LIMIT: Duration = Duration::from_secs(1);

/// A request that is ready for the engine: its headers are the engine's already.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) head: Parts,
    pub(super) body: Outgoing,
    pub(super) dialect: Dialect,
    /// The protocol to change to, and the client's connection once it has changed.
    pub(super) upgrade: Option<(HeaderValue, OnUpgrade)>,
}

/// Where a request's body is.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Nowhere.
    Nothing,
    /// Still with the client.
    Passing(Incoming),
    /// Taken in.
    Held(Arc<Taken>),
}

/// How a body is had once more.
enum Again {
    Empty,
    Held(Arc<Taken>),
    Returned(oneshot::Receiver<Passed>),
    /// Not at all.
    Spent,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) idle: Option<Duration>,
    pub(super) answer: Duration,
}

impl Outgoing {
    /// Takes it out.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Nothing)
    }

    fn start(self, idle_limit: Option<Duration>) -> (UpstreamBody, Again) {
        match self {
            Self::Nothing => (nothing(), Again::Empty),
            Self::Passing(body) if body.is_end_stream() => (nothing(), Again::Empty),
            Self::Passing(body) => {
                let (upload, returned) = Upload::new(body, idle_limit);
                (UpstreamBody::new(upload), Again::Returned(returned))
            }
            Self::Held(taken) => (UpstreamBody::new(Replay::new(Arc::clone(&taken))), Again::Held(taken)),
        }
    }
}

/// Why there is no answer, and the body, where no byte of the request has left and it is at hand.
pub(super) struct Failed {
    pub(super) fault: Fault,
    pub(super) body: Option<Outgoing>,
}

impl Again {
    /// The body for another engine. One that is still with the client is for this one alone.
    fn unsent(&self) -> Option<Outgoing> {
        match self {
            Self::Empty => Some(Outgoing::Nothing),
            Self::Held(taken) => Some(Outgoing::Held(Arc::clone(taken))),
            Self::Returned(_) | Self::Spent => None,
        }
    }

    async fn start(self, idle_limit: Option<Duration>) -> Option<UpstreamBody> {
        match self {
            Self::Empty => Some(nothing()),
            Self::Spent => None,
            Self::Held(taken) => Some(UpstreamBody::new(Replay::new(taken))),
            Self::Returned(passed) => {
                let passed = tokio::time::timeout(RETURN_LIMIT, passed).await.ok()?.ok()?;
                Some(UpstreamBody::new(Upload::again(passed, idle_limit)))
            }
        }
    }
}

/// Why there is no answer, and the request once more, where nothing of it was sent.
pub(super) struct Unsent {
    pub(super) fault: Fault,
    pub(super) order: Option<Order>,
}

impl From<Fault> for Box<Unsent> {
    fn from(fault: Fault) -> Self {
        Self::new(Unsent { fault, order: None })
    }
}

/// Sends `order` to the engine that `permit` holds, and gives its answer with a body that holds the permit.
pub(super) async fn forward(
    permit: Permit,
    order: Order,
    limits: Limits,
    lifetime: &Lifetime,
) -> Result<Response<ResponseBody>, Box<Unsent>> {
    let Order { mut head, body, dialect, upgrade } = order;
    let answered = tokio::time::timeout(limits.answer, send(&permit, &head, body, limits.idle)).await;
    let response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(Failed { fault, body })) => {
            let order = body.map(|body| Order { head, body, dialect, upgrade });
            return Err(Box::new(Unsent { fault, order }));
        }
        Err(_) => return Err(Fault::NoAnswer { limit: limits.answer }.into()),
    };
    let stay = Stay { _permit: permit, _ticket: head.extensions.remove() };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (to, client) = upgrade.ok_or(Fault::UnaskedUpgrade)?;
        return Ok(switch(response, to, client, stay, limits.idle, lifetime));
    }
    // A client of HTTP/2 may grant no room for the answer's first byte.
    let asks = head.version <= Version::HTTP_11;
    let (mut head, body) = response.into_parts();
    headers::drop_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    let body = ServedBody::new(body, &head.headers, dialect, stay, limits.idle, lifetime.tasks.clone());
    let body = if asks { body } else { body.watched() };
    Ok(Response::from_parts(head, ResponseBody::new(body)))
}

/// Sends a request; once more, by a new connection, where the connection was an old one that had died meanwhile, and the body
/// can be had again: all that waited beside it may have died with it. Nothing else is tried twice, unless it is a mere look: the
/// engine may have begun to work on it.
pub(super) async fn send(
    permit: &Permit,
    head: &Parts,
    body: Outgoing,
    idle_limit: Option<Duration>,
) -> Result<Response<Answer>, Failed> {
    let (body, mut again) = body.start(idle_limit);
    let sent = Instant::now();
    let looks = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let error = match send_once(permit, head, body, &mut again, looks).await {
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    let untouched = matches!(error, SendError::Broke { reused: true, .. });
    if !untouched || !(looks || sent.elapsed() < UNTOUCHED_LIMIT) {
        let body = if was_unsent(&error) { again.unsent() } else { None };
        return Err(Failed { fault: blame(error), body });
    }
    // What has broken one engine is not carried to the next.
    let unsent = if looks { again.unsent() } else { None };
    let Some(body) = again.start(idle_limit).await else { return Err(Failed { fault: blame(error), body: None }) };
    tracing::debug!("an idle connection to the engine had been closed; the request is sent once more, by a new one");
    permit.upstream().send_anew(request(head, body)).await.map_err(|again| {
        let body = if was_unsent(&again) { unsent } else { None };
        match again {
            // The engine has just ended, and that is told by how it broke off.
            SendError::Dial { .. } => Failed { fault: blame(error), body },
            SendError::Link(_)
            | SendError::Route(_)
            | SendError::Broke { .. }
            | SendError::Late { .. }
            | SendError::Overlong { .. } => Failed { fault: blame(again), body },
        }
    })
}

/// Sends it by one connection. Where the engine has it for so long that it will not be sent again, its room is given back.
async fn send_once(
    permit: &Permit,
    head: &Parts,
    body: UpstreamBody,
    again: &mut Again,
    looks: bool,
) -> Result<Response<Answer>, SendError> {
    let outgoing = request(head, body);
    if looks || !matches!(again, Again::Held(_)) {
        return permit.upstream().send(outgoing, None).await;
    }
    let connected = Notify::new();
    let sending = permit.upstream().send(outgoing, Some(&connected));
    tokio::pin!(sending);
    let gone = async {
        tokio::time::sleep(UNTOUCHED_LIMIT).await;
        connected.notified().await;
    };
    tokio::select! {
        biased;
        answered = &mut sending => answered,
        () = gone => {
            // It will not be sent again, and its room is for those that wait.
            *again = Again::Spent;
            sending.await
        }
    }
}

/// Whether no connection was made, and so no byte of the request has left.
fn was_unsent(error: &SendError) -> bool {
    match error {
        SendError::Dial { .. } | SendError::Link(_) | SendError::Route(_) => true,
        SendError::Broke { .. } | SendError::Late { .. } | SendError::Overlong { .. } => false,
    }
}

/// A request may have broken off because its client did, or because we end the engine.
fn blame(error: SendError) -> Fault {
    if let Some(why) = HungUp::behind(&error) {
        return Fault::HungUp(why);
    }
    let clients = match &error {
        SendError::Broke { source, .. } => UploadError::find(source.as_ref()),
        SendError::Link(_)
        | SendError::Route(_)
        | SendError::Dial { .. }
        | SendError::Late { .. }
        | SendError::Overlong { .. } => None,
    };
    clients.unwrap_or(Fault::Engine(error))
}

fn request(head: &Parts, body: UpstreamBody) -> Request<UpstreamBody> {
    let of_unknown_length = !body.is_end_stream() && body.size_hint().exact().is_none();
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    // The HTTP client takes these methods to have no body unless it is told.
    if of_unknown_length && matches!(head.method, Method::GET | Method::HEAD) {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(http::header::TRANSFER_ENCODING, chunked);
    }
    request
}

fn nothing() -> UpstreamBody {
    UpstreamBody::new(Empty::new().map_err(|never| match never {}))
}

fn switch(
    mut response: Response<Answer>,
    wanted: HeaderValue,
    client: OnUpgrade,
    stay: Stay,
    idle_limit: Option<Duration>,
    lifetime: &Lifetime,
) -> Response<ResponseBody> {
    let engine = hyper::upgrade::on(&mut response);
    let to = response.headers().get(http::header::UPGRADE).cloned().unwrap_or(wanted);
    let websocket = to.as_bytes().eq_ignore_ascii_case(b"websocket");
    let joined = upgrade::join(client, engine, stay, websocket, idle_limit);
    let ended = lifetime.end_all.clone();
    drop(lifetime.tasks.spawn(async move {
        tokio::select! {
            () = joined => {}
            () = ended.cancelled() => {}
        }
    }));
    let (mut head, _) = response.into_parts();
    headers::drop_hop_by_hop(&mut head.headers);
    headers::put_upgrade(&mut head.headers, to);
    head.version = Version::HTTP_11;
    Response::from_parts(head, empty())
}
