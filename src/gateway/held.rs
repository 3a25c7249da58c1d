//! A request that must wait for the engine: it is taken in, it is told where it stands, and then it goes its way.

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response};
use http_body::Body;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::asleep;
use super::body::ResponseBody;
use super::early::Early;
use super::error::Fault;
use super::forward::Outgoing;
use super::headers::X_REQUEST_ID;
use super::keys::party;
use super::late::{self, Late};
use super::router::{Answer, Asked, Chosen, Refused, order};
use super::signs::Signs;
use super::waiting_body::WaitingBody;
use crate::fleet::Member;
use crate::instance::{Hold, Permit};

/// Obeyed by nginx and its like, which would otherwise keep a stream until it is long.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A request without its engine.
pub(super) struct Held {
    pub(super) chosen: Chosen,
    pub(super) asked: Asked,
    pub(super) hold: Hold,
    /// Whether engines are started for it.
    pub(super) wakes: bool,
}

/// What may go ahead, once the body was read.
struct Ahead {
    early: Early,
    model: String,
}

impl Held {
    /// Waits, and gives the engine's answer; or, where that takes too long, headers with a body that waits on.
    pub(super) async fn answer(self) -> Result<Answer, Refused> {
        let (shared, member) = (Arc::clone(&self.chosen.shared), Arc::clone(&self.chosen.member));
        let (dialect, arrived) = (self.asked.dialect, self.asked.arrived);
        let id =
            self.asked.head.headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        let (tell, told) = oneshot::channel();
        let patience = shared.settings.patience;
        let ahead = async {
            let ahead: Ahead = told.await.ok()?;
            tokio::time::sleep_until(arrived + ahead.early.after(&patience)?).await;
            Some(ahead)
        };
        let mut work = Box::pin(self.work(tell));
        let ahead = tokio::select! {
            biased;
            answer = &mut work => return answer.map(Answer::Engine),
            Some(ahead) = ahead => ahead,
        };
        tracing::debug!(early = ?ahead.early, "a request waits on with its headers sent");
        let signs = Signs::new(&ahead.early, &ahead.model, &id, member.handle.watch(), patience.keep_alive);
        let mut response = Response::new(());
        put_headers(response.headers_mut(), &ahead.early);
        let early = ahead.early.clone();
        let work = shared.lifetime.tasks.spawn(async move {
            match work.await {
                Ok(response) => late::begin(response, &early).await,
                Err(refused) => {
                    refused.fault.log();
                    Err(Late::from(refused.fault))
                }
            }
        });
        let body = WaitingBody::new(ahead.early, dialect, AbortOnDropHandle::new(work), signs);
        Ok(Answer::Ours(response.map(|()| ResponseBody::new(body))))
    }

    async fn work(mut self, tell: oneshot::Sender<Ahead>) -> Result<Response<ResponseBody>, Refused> {
        match self.obtain(tell).await {
            Ok(((member, permit), outgoing)) => {
                self.chosen.member = member;
                let Self { chosen, asked: Asked { head, client, dialect, .. }, .. } = self;
                let answer = chosen.send(permit, order(head, outgoing, &client, dialect)).await;
                answer.map_err(|fault| Refused { fault, body: Outgoing::Nothing })
            }
            Err(fault) => Err(Refused { fault, body: self.asked.body }),
        }
    }

    /// Takes the body in while the engine starts: so we see the client leave, and it need not begin its upload again.
    async fn obtain(&mut self, tell: oneshot::Sender<Ahead>) -> Result<((Arc<Member>, Permit), Outgoing), Fault> {
        let Chosen { shared, candidates, .. } = &self.chosen;
        let party = party(&self.asked.head);
        let (hold, wakes) = (self.hold, self.wakes);
        let asleep = || asleep::not_woken(&candidates.first().handle.snapshot(), false);
        let ready = async {
            if wakes {
                return candidates.acquire(party, hold).await.map_err(Fault::Refused);
            }
            let running = candidates.acquire_running(party, hold).await;
            running.map_err(|refusal| refusal.map_or_else(asleep, Fault::Refused))
        };
        let (head, body) = (&mut self.asked.head, &mut self.asked.body);
        let taking = async {
            let taken = match body {
                Outgoing::Passing(body) if !body.is_end_stream() => Arc::new(shared.intake.take(body).await?),
                Outgoing::Held(taken) => Arc::clone(taken),
                Outgoing::Passing(_) | Outgoing::Nothing => return Ok(Outgoing::Nothing),
            };
            tracing::debug!(bytes = taken.len, found = ?taken.found, "a request is held for the engine");
            if let Some(early) = Early::of(head, taken.found.as_ref()) {
                // What went ahead is in no coding, and so what follows must be in none.
                head.headers.remove(ACCEPT_ENCODING);
                let model = taken.found.as_ref().and_then(|found| found.model.clone()).unwrap_or_default();
                // Nobody listens any more where the engine was faster.
                drop(tell.send(Ahead { early, model }));
            }
            Ok(Outgoing::Held(taken))
        };
        tokio::try_join!(ready, taking)
    }
}

fn put_headers(headers: &mut http::HeaderMap, early: &Early) {
    match early {
        Early::Events(_) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
        }
        Early::Json => drop(headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"))),
    }
}
