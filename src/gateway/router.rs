//! A request's way through the gateway: who asks, what it is, and who answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{EXPECT, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::auth::Door;
use super::body::ResponseBody;
use super::dialect::Dialect;
use super::error::Fault;
use super::forward::{Limits, Order, Outgoing, forward};
use super::intake::Intake;
use super::lifetime::Lifetime;
use super::request_id::RequestIds;
use super::routes::{Asleep, Class, Routes, without_slash};
use super::settings::Settings;
use super::{asleep, cors, headers, health};
use crate::instance::{Handle, Hold, Permit, Phase};

/// What is read of a body that nobody wants, so that its sender comes to read the answer: in bytes, and in time.
const DRAIN_LIMIT: usize = 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// How long a look at models whose names only the engine knows waits for a start: as long as common SDKs do.
const MODELS_WAIT: Duration = Duration::from_mins(10);

/// The HTTP front of one instance. Cheap to clone; nothing on a request's path is locked.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    handle: Handle,
    settings: Settings,
    door: Door,
    routes: Routes,
    intake: Intake,
    ids: RequestIds,
    instance: HeaderValue,
    lifetime: Lifetime,
}

/// Who answered, which decides what is added to the answer.
enum Answer {
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
        let gateway = &*self.0;
        let started = Instant::now();
        let (mut head, body) = request.into_parts();
        let id = gateway.ids.name(&mut head.headers);
        let dialect = Dialect::of(head.uri.path());
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let (origin, expects) = (head.headers.get(ORIGIN).cloned(), head.headers.contains_key(EXPECT));
        let mut body = Some(body);
        let (mut response, readable) = match gateway.route(head, &mut body, client, dialect).await {
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
        &self,
        mut head: Parts,
        body: &mut Option<Incoming>,
        client: SocketAddr,
        dialect: Dialect,
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
        };
        let order = order(head, outgoing, client, dialect);
        let limits = Limits { idle: self.settings.idle_timeout, answer: self.settings.answer_timeout };
        forward(permit, order, limits, &self.lifetime).await.map(Answer::Engine)
    }

    /// Gets the engine for a request, or the answer that does without.
    async fn obtain(&self, head: &Parts, body: &mut Option<Incoming>) -> Result<Obtained, Fault> {
        let path = head.uri.path();
        let mut class = self.routes.classify(&head.method, path);
        if headers::websocket_wanted(&head.headers) {
            class = Class::Inference;
        }
        match class {
            Class::Inference if wakes(&head.method) => self.wait(Hold::Inference, body).await,
            Class::Helper if wakes(&head.method) => self.wait(Hold::Helper, body).await,
            Class::Inference | Class::Helper | Class::Unknown => self.obtain_unknown(head, body).await,
            Class::Models => self.obtain_models(head, body).await,
            Class::Info(kind) => self.obtain_info(kind, path, body).await,
            Class::Admin => self.if_ready(Hold::Helper, body, |this| Err(this.asleep(true))).await,
            Class::Followup => self.if_ready(Hold::Helper, body, |_| Err(Fault::Forgotten)).await,
        }
    }

    async fn obtain_info(&self, kind: Asleep, path: &str, body: &mut Option<Incoming>) -> Result<Obtained, Fault> {
        let names = &self.settings.model_names;
        self.if_ready(Hold::Helper, body, |this| asleep::answer(kind, path, names, &this.handle.snapshot())).await
    }

    async fn obtain_models(&self, head: &Parts, body: &mut Option<Incoming>) -> Result<Obtained, Fault> {
        let names = &self.settings.model_names;
        let wakes = self.settings.wake_on.models && wakes(&head.method);
        if wakes {
            self.handle.nudge();
        }
        if let Some(permit) = self.handle.try_acquire(Hold::Helper).await {
            return Ok(pass(permit, body));
        }
        if names.is_empty() && wakes {
            let started = tokio::time::timeout(MODELS_WAIT, self.started()).await;
            if let Some(permit) = started.ok().flatten() {
                return Ok(pass(permit, body));
            }
        }
        asleep::models(head.uri.path(), names, &self.handle.snapshot()).map(Obtained::Answer)
    }

    /// Waits for a start that is under way, and never begins one: a life in which nobody wanted inference is not
    /// followed by another just because somebody looks at the models. The nudge has been obeyed, or not, by now: what
    /// was asked after it has been answered.
    async fn started(&self) -> Option<Permit> {
        let mut seen = self.handle.watch();
        loop {
            let ready = seen.wait_for(|now| !is_starting(&now.phase)).await.ok()?.phase == Phase::Ready;
            if !ready {
                return None;
            }
            if let Some(permit) = self.handle.try_acquire(Hold::Helper).await {
                return Some(permit);
            }
            // It was ready, and is being ended already.
            seen.changed().await.ok()?;
        }
    }

    /// What is on no list is forwarded if the engine runs. It starts one only if it shows that it wants inference.
    async fn obtain_unknown(&self, head: &Parts, body: &mut Option<Incoming>) -> Result<Obtained, Fault> {
        let hold = if head.method == Method::POST { Hold::Inference } else { Hold::Helper };
        if let Some(permit) = self.handle.try_acquire(hold).await {
            return Ok(pass(permit, body));
        }
        if cors::is_preflight(head) {
            return Ok(Obtained::Answer(cors::preflight(&head.headers)));
        }
        let phase = health::phase_word(&self.handle.snapshot().phase);
        let unknown = || Fault::UnknownRoute { phase, path: head.uri.path().to_owned() };
        let incoming = body.as_mut().filter(|body| head.method == Method::POST && !body.is_end_stream());
        let taken = self.intake.take(incoming.ok_or_else(unknown)?).await?;
        if taken.found.as_ref().and_then(|found| found.model.as_ref()).is_none() {
            return Err(unknown());
        }
        if !self.settings.wake_on.inference {
            return Err(self.asleep(false));
        }
        let permit = self.handle.acquire(hold).await.map_err(Fault::Refused)?;
        Ok(Obtained::Engine(permit, Outgoing::Held(Arc::new(taken))))
    }

    /// Waits for the engine, if requests of this kind may start it.
    async fn wait(&self, hold: Hold, body: &mut Option<Incoming>) -> Result<Obtained, Fault> {
        if self.settings.wake_on.inference {
            self.wait_for(hold, body).await
        } else {
            self.if_ready(hold, body, |this| Err(this.asleep(false))).await
        }
    }

    /// Passes the body straight on if the engine is ready, and takes it in while it is not: so we see the client
    /// leave, and it need not begin its upload again.
    async fn wait_for(&self, hold: Hold, body: &mut Option<Incoming>) -> Result<Obtained, Fault> {
        if let Some(permit) = self.handle.try_acquire(hold).await {
            return Ok(pass(permit, body));
        }
        let ready = async { self.handle.acquire(hold).await.map_err(Fault::Refused) };
        let Some(incoming) = body.as_mut().filter(|body| !body.is_end_stream()) else {
            return Ok(pass(ready.await?, body));
        };
        let (permit, taken) = tokio::try_join!(ready, self.intake.take(incoming))?;
        tracing::debug!(bytes = taken.len, found = ?taken.found, "a held request goes to the engine");
        Ok(Obtained::Engine(permit, Outgoing::Held(Arc::new(taken))))
    }

    async fn if_ready(
        &self,
        hold: Hold,
        body: &mut Option<Incoming>,
        otherwise: impl FnOnce(&Self) -> Result<Response<ResponseBody>, Fault>,
    ) -> Result<Obtained, Fault> {
        match self.handle.try_acquire(hold).await {
            Some(permit) => Ok(pass(permit, body)),
            None => otherwise(self).map(Obtained::Answer),
        }
    }

    fn asleep(&self, conflict: bool) -> Fault {
        asleep::not_woken(&self.handle.snapshot(), conflict)
    }
}

/// How a request is to be answered.
enum Obtained {
    /// By the engine.
    Engine(Permit, Outgoing),
    /// Without it.
    Answer(Response<ResponseBody>),
}

/// The body goes straight through. It is there: each request gets here once.
fn pass(permit: Permit, body: &mut Option<Incoming>) -> Obtained {
    Obtained::Engine(permit, body.take().map_or(Outgoing::Nothing, Outgoing::Passing))
}

/// Makes a client's request the engine's.
fn order(mut head: Parts, body: Outgoing, client: SocketAddr, dialect: Dialect) -> Order {
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

fn is_starting(phase: &Phase) -> bool {
    match phase {
        Phase::Submitting | Phase::Queued { .. } | Phase::Starting => true,
        Phase::Stopped | Phase::Ready | Phase::Draining | Phase::Stopping(_) | Phase::Failed(_) => false,
    }
}

/// A look at a resource starts nothing.
fn wakes(method: &Method) -> bool {
    !matches!(*method, Method::HEAD | Method::OPTIONS)
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
