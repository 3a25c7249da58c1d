//! A request's way through the gateway: who asks, what it is, and who answers.

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
use super::choose::{Choice, engine_path, is_named};
use super::description::description;
use super::dialect::Dialect;
use super::error::Fault;
use super::forward::{Limits, Order, Outgoing, forward};
use super::held::Held;
use super::intake::Intake;
use super::keys::{AccessKey, Kind, Ticket};
use super::lifetime::Lifetime;
use super::manage::{Manage, Manager};
use super::obtain::Obtained;
use super::own_routes::Ours;
use super::request_id::RequestIds;
use super::routes::{Routes, without_slash};
use super::settings::Settings;
use super::{asleep, cors, dashboard, docs, events, headers, health};
use crate::fleet::{Candidates, Events, Fleet, Member, Roster};
use crate::instance::{Hold, Permit, Refusal};
use crate::launch;
use crate::route::{LinkDown, SendError};
use crate::secret::Key;

/// What is read of a body that nobody wants, so that its sender comes to read the answer: in bytes, and in time.
const DRAIN_LIMIT: usize = 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The HTTP front of the instances of a fleet. Cheap to clone; nothing on a request's path waits for a lock.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) fleet: Fleet,
    pub(super) settings: Settings,
    pub(super) routes: Routes,
    pub(super) intake: Intake,
    pub(super) lifetime: Lifetime,
    events: Events,
    manager: Option<Manager>,
    door: Door,
    ids: RequestIds,
}

/// A request that came.
pub(super) struct Asked {
    pub(super) head: Parts,
    pub(super) body: Outgoing,
    /// Its address, as a header tells it.
    pub(super) client: HeaderValue,
    pub(super) dialect: Dialect,
    pub(super) arrived: Instant,
}

/// A fault, and what is left of the body, which its sender may still want to be read.
pub(super) struct Refused {
    pub(super) fault: Fault,
    pub(super) body: Outgoing,
}

/// The gateway, and the instance that a request is for.
pub(super) struct Chosen {
    pub(super) shared: Arc<Shared>,
    /// The one that serves it; until that is known, the best.
    pub(super) member: Arc<Member>,
    /// All that may serve it.
    pub(super) candidates: Candidates,
}

/// Who served a request, told by its answer.
#[derive(Clone)]
struct ServedBy(Arc<Member>);

/// Who answered, which decides what is added to the answer.
pub(super) enum Answer {
    /// The engine, which knows its own rules for browsers.
    Engine(Response<ResponseBody>),
    /// We, to somebody who was let in.
    Ours(Response<ResponseBody>),
    /// We, to anybody.
    Open(Response<ResponseBody>),
}

/// What became of a request at first.
enum Stage {
    Chosen(Chosen, Obtained),
    Answered(Answer),
}

impl Gateway {
    /// A gateway to the instances of `fleet`; with the management API where somebody obeys its callers.
    #[must_use]
    pub fn new(fleet: Fleet, mut settings: Settings, lifetime: Lifetime, manager: Option<Arc<dyn Manage>>) -> Self {
        let (events, no_more) = (Events::default(), lifetime.no_more.clone());
        let (journal, recorded) = (events.clone(), fleet.clone());
        drop(lifetime.tasks.spawn(async move { no_more.run_until_cancelled(journal.record(&recorded)).await }));
        // From here on there are digests alone.
        let (key, named) = (settings.access_key.take(), std::mem::take(&mut settings.access_keys));
        Self(Arc::new(Shared {
            door: Door::new(key.as_ref(), named, &settings.listen_host),
            routes: Routes::new(),
            intake: Intake::new(settings.intake.clone(), settings.idle_timeout),
            ids: RequestIds::new(),
            events,
            fleet,
            settings,
            lifetime,
            manager: manager.map(Manager),
        }))
    }

    /// Who tells this gateway to end.
    #[must_use]
    pub fn lifetime(&self) -> &Lifetime {
        &self.0.lifetime
    }

    /// Takes other keys from now on: one that opens everything, and named ones. What was let in goes on.
    pub fn set_keys(&self, key: Option<&Key>, named: Vec<AccessKey>) {
        self.0.door.set_keys(key, named);
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Answers one request of a client of that address. Dropping the future is how a client leaves.
    pub(super) async fn answer(&self, request: Request<Incoming>, client: HeaderValue) -> Response<ResponseBody> {
        let gateway = &self.0;
        let arrived = Instant::now();
        let (mut head, body) = request.into_parts();
        let id = gateway.ids.name(&mut head.headers);
        let dialect = Dialect::of(engine_path(head.uri.path()));
        let (method, uri) = (head.method.clone(), head.uri.clone());
        let (origin, expects) = (head.headers.get(ORIGIN).cloned(), head.headers.contains_key(EXPECT));
        let asked = Asked { head, body: Outgoing::Passing(body), client, dialect, arrived };
        let roster = gateway.fleet.roster();
        let mut by = roster.sole().cloned();
        let (mut response, readable) = match gateway.route(&roster, asked, &mut by).await {
            Ok(Answer::Engine(response) | Answer::Open(response)) => (response, false),
            Ok(Answer::Ours(response)) => (response, true),
            Err(Refused { fault, body }) => {
                // Who expects our leave has sent nothing so far.
                if let Outgoing::Passing(body) = body
                    && !expects
                {
                    drain(body).await;
                }
                let let_in = !fault.is_at_the_door();
                (fault.into_response(dialect), let_in)
            }
        };
        let served_by = response.extensions_mut().remove::<ServedBy>().map(|ServedBy(member)| member);
        let headers = response.headers_mut();
        if let Some(origin) = origin.filter(|_| readable) {
            cors::put_origin(headers, origin);
        }
        if let Some(member) = served_by.or(by) {
            headers.insert(headers::X_INSTANCE, member.header().clone());
        }
        headers.entry(headers::X_REQUEST_ID).or_insert(id);
        tracing::debug!(
            %method, path = uri.path(), status = response.status().as_u16(), id = ?response.headers().get(headers::X_REQUEST_ID),
            ms = u64::try_from(arrived.elapsed().as_millis()).unwrap_or(u64::MAX), "answered"
        );
        response
    }
}

impl Shared {
    async fn route(
        self: &Arc<Self>,
        roster: &Roster,
        mut asked: Asked,
        by: &mut Option<Arc<Member>>,
    ) -> Result<Answer, Refused> {
        match self.begin(roster, &mut asked, by).await {
            Ok(Stage::Answered(answer)) => Ok(answer),
            Ok(Stage::Chosen(chosen, Obtained::Engine(permit, outgoing))) => {
                let order = order(asked.head, outgoing, &asked.client, asked.dialect);
                let sent = chosen.send(permit, order).await;
                sent.map(Answer::Engine).map_err(|fault| Refused { fault, body: Outgoing::Nothing })
            }
            Ok(Stage::Chosen(chosen, Obtained::Later(hold))) => {
                Held { chosen, asked, hold, wakes: true }.answer().await
            }
            Ok(Stage::Chosen(chosen, Obtained::Turn(hold))) => {
                Held { chosen, asked, hold, wakes: false }.answer().await
            }
            Ok(Stage::Chosen(_, Obtained::Answer(response))) => Ok(Answer::Ours(response)),
            Err(fault) => Err(Refused { fault, body: asked.body }),
        }
    }

    /// Lets a request in, finds its instance, and gets that one's engine if it is ready.
    async fn begin(
        self: &Arc<Self>,
        roster: &Roster,
        asked: &mut Asked,
        by: &mut Option<Arc<Member>>,
    ) -> Result<Stage, Fault> {
        let head = &mut asked.head;
        let ours = |response| Ok(Stage::Answered(Answer::Ours(response)));
        if without_slash(head.uri.path()) == "/health" && matches!(head.method, Method::GET | Method::HEAD) {
            return Ok(Stage::Answered(Answer::Open(self.health(roster, head))));
        }
        if head.method == Method::CONNECT {
            return Err(Fault::Tunnel);
        }
        if self.door.is_keyed() && cors::is_preflight(head) {
            return ours(cors::preflight(&head.headers));
        }
        let ticket = match self.door.admit(head)? {
            Some(entry) => Some(Ticket::new(&entry, Kind::of(&self.routes, &head.method, head.uri.path()))?),
            None => None,
        };
        if let Some(ticket) = &ticket {
            head.extensions.insert(ticket.clone());
        }
        if let Some(coding) = headers::unknown_coding(&head.headers) {
            return Err(Fault::TransferCoding(coding));
        }
        if cors::is_preflight(head) && (roster.sole().is_none() || is_named(head.uri.path())) {
            return ours(cors::preflight(&head.headers));
        }
        if let Some(of_ours) = Ours::of(head)
            && roster.sole().is_none_or(|sole| of_ours.is_about(sole.name().as_str()))
            && let Some(answered) = self.answer_ours(of_ours, asked).await
        {
            let answer = answered?;
            return ours(match ticket {
                Some(ticket) => ticket.hold_for(answer),
                None => answer,
            });
        }
        let head = &mut asked.head;
        let view = ticket.as_ref().and_then(|ticket| ticket.view(roster));
        let (whole, roster) = (roster, view.as_ref().unwrap_or(roster));
        let chosen = self.choose(roster, head, &mut asked.body).await;
        let explain = |fault| match &ticket {
            Some(ticket) => ticket.explain(fault, whole, roster),
            None => fault,
        };
        let (candidates, named) = match chosen.map_err(explain)? {
            Choice::Some(candidates) => (candidates, None),
            Choice::Named { member, wakes } => (Candidates::one(&member), Some(wakes)),
            Choice::Opening => match self.open_socket(asked) {
                Some(response) => return ours(response),
                None => return Err(Fault::NoModel { known: roster.model_names().join(", ") }),
            },
            Choice::All(all) => return ours(all.answer(roster).await),
        };
        // Of several, the one that serves it says so.
        *by = Some(Arc::clone(candidates.first())).filter(|_| !candidates.are_several());
        let mut chosen = Chosen { shared: Arc::clone(self), member: Arc::clone(candidates.first()), candidates };
        let obtained = match named {
            None => chosen.obtain(&asked.head, &mut asked.body).await?,
            Some(wakes) => chosen.obtain_named(wakes, &asked.head, &mut asked.body).await?,
        };
        chosen.candidates.unclaim();
        Ok(Stage::Chosen(chosen, obtained))
    }
}

impl Shared {
    /// Tells of all instances how they are to who is let in, and of those that he may use where he may use no others.
    fn health(&self, roster: &Roster, head: &mut Parts) -> Response<ResponseBody> {
        let let_in = self.door.admit(head);
        let view = let_in.as_ref().ok().and_then(Option::as_ref).and_then(|entry| entry.view_of_user(roster));
        health::answer(roster, let_in.is_ok().then(|| view.as_ref().unwrap_or(roster)))
    }

    /// Answers what is asked of us. Nothing where nobody manages the instances.
    async fn answer_ours(&self, of_ours: Ours, asked: &mut Asked) -> Option<Result<Response<ResponseBody>, Fault>> {
        let no_more = &self.lifetime.no_more;
        Some(match of_ours {
            Ours::Managed(managed) => {
                let Manager(by) = self.manager.as_ref()?;
                managed.answer(by.as_ref(), &asked.head, &mut asked.body, no_more).await
            }
            Ours::Events => {
                let keep_alive = self.settings.patience.keep_alive;
                Ok(events::stream(&self.events, &asked.head.headers, keep_alive, no_more.clone()))
            }
            Ours::NoMethod { allowed } => Err(Fault::NoMethod { allowed }),
            Ours::Dashboard => Ok(dashboard::answer()),
            Ours::Docs { .. } => Ok(docs::answer()),
            Ours::Description { .. } => Ok(asleep::json_of(description())),
        })
    }
}

impl Chosen {
    /// Sends a request to the engine. Where only a person can bring the link to its host back, the answer names the command,
    /// as it does for those who still wait for the engine.
    ///
    /// A replica that cannot be reached is passed over: nothing of the request was sent to it.
    pub(super) async fn send(&self, permit: Permit, order: Order) -> Result<Response<ResponseBody>, Fault> {
        let limits = Limits { idle: self.member.idle_timeout, answer: self.shared.settings.answer_timeout };
        let hold = permit.hold();
        let mut member = &self.member;
        let mut unsent = match forward(permit, order, limits, &self.shared.lifetime).await {
            Ok(response) => return Ok(served(response, member)),
            Err(unsent) => unsent,
        };
        for next in self.candidates.all().filter(|next| !Arc::ptr_eq(next, &self.member)) {
            let Some(order) = unsent.order.take() else { break };
            let Some(permit) = at_once(next, hold).await else {
                unsent.order = Some(order);
                continue;
            };
            tracing::info!(from = %member.name(), to = %next.name(), error = &unsent.fault as &dyn std::error::Error,
                "a replica cannot be reached, and is passed over");
            member = next;
            unsent = match forward(permit, order, limits, &self.shared.lifetime).await {
                Ok(response) => return Ok(served(response, member)),
                Err(unsent) => unsent,
            };
        }
        Err(match unsent.fault {
            Fault::Engine(SendError::Link(LinkDown::NeedsLogin { what, remedy })) => {
                let diagnosis = launch::login_required(member.name(), &what, remedy.as_deref());
                Fault::Refused(Refusal::Failed { diagnosis, retry_after: Duration::ZERO })
            }
            other => other,
        })
    }
}

/// The engine of this one, if it is ready, can be reached, and does not stand still.
pub(super) async fn at_once(member: &Member, hold: Hold) -> Option<Permit> {
    if !member.handle.is_within_reach() {
        return None;
    }
    member.handle.try_acquire(hold).await
}

fn served(mut response: Response<ResponseBody>, by: &Arc<Member>) -> Response<ResponseBody> {
    response.extensions_mut().insert(ServedBy(Arc::clone(by)));
    response
}

/// Makes a client's request the engine's.
pub(super) fn order(mut head: Parts, body: Outgoing, client: &HeaderValue, dialect: Dialect) -> Order {
    let host = head.uri.authority().and_then(|name| HeaderValue::from_str(name.as_str()).ok());
    let host = host.or_else(|| head.headers.get(HOST).cloned());
    let to = headers::upgrade_wanted(&head.headers);
    let upgrade = to.and_then(|to| head.extensions.remove::<OnUpgrade>().map(|client| (to, client)));
    headers::prepare_request(&mut head.headers, client, host);
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
