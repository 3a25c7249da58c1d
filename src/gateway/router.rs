//! A request's way through the gateway: who asks, what it is, and who answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{EXPECT, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::auth::Door;
use super::body::ResponseBody;
use super::dialect::Dialect;
use super::error::Fault;
use super::forward::{Limits, Order, Outgoing, forward};
use super::held::Held;
use super::intake::Intake;
use super::lifetime::Lifetime;
use super::obtain::Obtained;
use super::request_id::RequestIds;
use super::routes::{Routes, without_slash};
use super::settings::Settings;
use super::{cors, headers, health};
use crate::instance::{Handle, Permit, Refusal};
use crate::launch;
use crate::route::{LinkDown, SendError};

/// What is read of a body that nobody wants, so that its sender comes to read the answer: in bytes, and in time.
const DRAIN_LIMIT: usize = 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The HTTP front of one instance. Cheap to clone; nothing on a request's path is locked.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) handle: Handle,
    pub(super) settings: Settings,
    pub(super) routes: Routes,
    pub(super) intake: Intake,
    pub(super) lifetime: Lifetime,
    door: Door,
    ids: RequestIds,
    instance: HeaderValue,
}

/// Who answered, which decides what is added to the answer.
pub(super) enum Answer {
    /// The engine, which knows its own rules for browsers.
    Engine(Response<ResponseBody>),
    /// We, to somebody who was let in.
    Ours(Response<ResponseBody>),
    /// We, to anybody.
    Open(Response<ResponseBody>),
}

impl Gateway {
    /// A gateway to the instance behind `handle`.
    #[must_use]
    pub fn new(handle: Handle, settings: Settings, lifetime: Lifetime) -> Self {
        let instance = HeaderValue::from_str(handle.name().as_str());
        Self(Arc::new(Shared {
            door: Door::new(settings.access_key.clone(), &settings.listen_host),
            routes: Routes::new(),
            intake: Intake::new(settings.intake.clone(), settings.idle_timeout),
            ids: RequestIds::new(),
            instance: instance.unwrap_or_else(|_invalid| HeaderValue::from_static("-")),
            handle,
            settings,
            lifetime,
        }))
    }

    /// Who tells this gateway to end.
    #[must_use]
    pub fn lifetime(&self) -> &Lifetime {
        &self.0.lifetime
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Answers one request. Dropping the future is how a client leaves.
    pub async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> Response<ResponseBody> {
        let gateway = &self.0;
        let started = Instant::now();
        let (mut head, body) = request.into_parts();
        let id = gateway.ids.name(&mut head.headers);
        let dialect = Dialect::of(head.uri.path());
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let (origin, expects) = (head.headers.get(ORIGIN).cloned(), head.headers.contains_key(EXPECT));
        let mut body = Some(body);
        let (mut response, readable) = match gateway.route(head, &mut body, client, dialect, started).await {
            Ok(Answer::Engine(response) | Answer::Open(response)) => (response, false),
            Ok(Answer::Ours(response)) => (response, true),
            Err(fault) => {
                // Who expects our leave has sent nothing so far.
                if let Some(body) = body.filter(|_| !expects) {
                    drain(body).await;
                }
                let let_in = !fault.is_at_the_door();
                (fault.into_response(dialect), let_in)
            }
        };
        let headers = response.headers_mut();
        if let Some(origin) = origin.filter(|_| readable) {
            cors::put_origin(headers, origin);
        }
        headers.insert(headers::X_INSTANCE, gateway.instance.clone());
        headers.entry(headers::X_REQUEST_ID).or_insert(id);
        tracing::debug!(
            %method, path, status = response.status().as_u16(), id = ?response.headers().get(headers::X_REQUEST_ID),
            ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX), "answered"
        );
        response
    }
}

impl Shared {
    async fn route(
        self: &Arc<Self>,
        mut head: Parts,
        body: &mut Option<Incoming>,
        client: SocketAddr,
        dialect: Dialect,
        arrived: Instant,
    ) -> Result<Answer, Fault> {
        let path = without_slash(head.uri.path());
        if path == "/health" && matches!(head.method, Method::GET | Method::HEAD) {
            let let_in = self.door.admit(&mut head).is_ok();
            return Ok(Answer::Open(health::answer(self.handle.name(), &self.handle.snapshot(), let_in)));
        }
        if head.method == Method::CONNECT {
            return Err(Fault::Tunnel);
        }
        if self.settings.access_key.is_some() && cors::is_preflight(&head) {
            return Ok(Answer::Ours(cors::preflight(&head.headers)));
        }
        self.door.admit(&mut head)?;
        if let Some(coding) = headers::unknown_coding(&head.headers) {
            return Err(Fault::TransferCoding(coding));
        }
        let (permit, outgoing) = match self.obtain(&head, body).await? {
            Obtained::Engine(permit, outgoing) => (permit, outgoing),
            Obtained::Answer(response) => return Ok(Answer::Ours(response)),
            Obtained::Later(hold) => {
                let request =
                    Held { shared: Arc::clone(self), head, body: body.take(), client, dialect, hold, arrived };
                return request.answer().await.map_err(|refused| {
                    *body = refused.body;
                    refused.fault
                });
            }
        };
        let order = order(head, outgoing, client, dialect);
        self.send(permit, order).await.map(Answer::Engine)
    }

    /// Sends a request to the engine. Where only a person can bring the link to its host back, the answer names the command,
    /// as it does for those who still wait for the engine.
    pub(super) async fn send(&self, permit: Permit, order: Order) -> Result<Response<ResponseBody>, Fault> {
        forward(permit, order, self.limits(), &self.lifetime).await.map_err(|fault| match fault {
            Fault::Engine(SendError::Link(LinkDown::NeedsLogin { what, remedy })) => {
                let diagnosis = launch::login_required(self.handle.name(), &what, remedy.as_deref());
                Fault::Refused(Refusal::Failed { diagnosis, retry_after: Duration::ZERO })
            }
            other => other,
        })
    }

    fn limits(&self) -> Limits {
        Limits { idle: self.settings.idle_timeout, answer: self.settings.answer_timeout }
    }
}

/// Makes a client's request the engine's.
pub(super) fn order(mut head: Parts, body: Outgoing, client: SocketAddr, dialect: Dialect) -> Order {
    let host = head.uri.authority().and_then(|name| HeaderValue::from_str(name.as_str()).ok());
    let host = host.or_else(|| head.headers.get(HOST).cloned());
    let to = headers::upgrade_wanted(&head.headers);
    let upgrade = to.and_then(|to| head.extensions.remove::<OnUpgrade>().map(|client| (to, client)));
    headers::prepare_request(&mut head.headers, client.ip(), host);
    if let Some((to, _)) = &upgrade {
        headers::put_upgrade(&mut head.headers, to.clone());
    }
    Order { head, body, dialect, upgrade }
}

async fn drain(mut body: Incoming) {
    let reading = async {
        let mut left = DRAIN_LIMIT;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(still) = left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) else { return };
            left = still;
        }
    };
    // Late or not, the answer is sent now.
    drop(tokio::time::timeout(DRAIN_TIME, reading).await);
}
