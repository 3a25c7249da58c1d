//! Who answers a request: the engine now, the engine later, or we.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Response};
use http_body::Body;

use super::body::ResponseBody;
use super::error::Fault;
use super::forward::Outgoing;
use super::keys::party;
use super::router::{Chosen, at_once};
use super::routes::{Asleep, Class};
use super::{asleep, cors, headers};
use crate::instance::{Hold, Permit, Phase};

/// How long a look at models whose names only the engine knows waits for a start: as long as common SDKs do.
const MODELS_WAIT: Duration = Duration::from_mins(10);

impl Chosen {
    /// Gets the engine for a request, or the answer that does without.
    pub(super) async fn obtain(&mut self, head: &Parts, body: &mut Outgoing) -> Result<Obtained, Fault> {
        let path = head.uri.path();
        let mut class = self.shared.routes.classify(&head.method, path);
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

    /// Gets the engine for a request that names its instance, whatever it asks of it.
    pub(super) async fn obtain_named(
        &mut self,
        wakes: bool,
        head: &Parts,
        body: &mut Outgoing,
    ) -> Result<Obtained, Fault> {
        // Who only looks, such as at the metrics, must not keep the engine from its end.
        let hold = match self.shared.routes.classify(&head.method, head.uri.path()) {
            _ if headers::websocket_wanted(&head.headers) => Hold::Inference,
            Class::Inference => Hold::Inference,
            Class::Unknown if head.method == Method::POST => Hold::Inference,
            Class::Helper | Class::Info(_) | Class::Models | Class::Admin | Class::Followup | Class::Unknown => {
                Hold::Helper
            }
        };
        if wakes {
            Ok(self.wait_for(hold, body).await)
        } else {
            self.if_ready(hold, body, |this| Err(this.asleep(true))).await
        }
    }

    async fn obtain_info(&self, kind: Asleep, path: &str, body: &mut Outgoing) -> Result<Obtained, Fault> {
        let names = &self.member.models;
        self.if_ready(Hold::Helper, body, |this| asleep::answer(kind, path, names, &this.member.handle.snapshot()))
            .await
    }

    async fn obtain_models(&self, head: &Parts, body: &mut Outgoing) -> Result<Obtained, Fault> {
        let names = &self.member.models;
        let wakes = self.shared.settings.wake_on.models && wakes(&head.method);
        if wakes {
            self.member.handle.nudge();
        }
        if let Some(permit) = self.member.handle.try_acquire(Hold::Helper).await {
            return Ok(pass(permit, body));
        }
        if names.is_empty() && wakes {
            let started = tokio::time::timeout(MODELS_WAIT, self.started()).await;
            if let Some(permit) = started.ok().flatten() {
                return Ok(pass(permit, body));
            }
        }
        asleep::models(head.uri.path(), names, &self.member.handle.snapshot()).map(Obtained::Answer)
    }

    /// Waits for a start that is under way, and never begins one: a life in which nobody wanted inference is not
    /// followed by another just because somebody looks at the models. The nudge has been obeyed, or not, by now: what
    /// was asked after it has been answered.
    async fn started(&self) -> Option<Permit> {
        let mut seen = self.member.handle.watch();
        loop {
            let ready = seen.wait_for(|now| !is_starting(&now.phase)).await.ok()?.phase == Phase::Ready;
            if !ready {
                return None;
            }
            if let Some(permit) = self.member.handle.try_acquire(Hold::Helper).await {
                return Some(permit);
            }
            // It was ready, and is being ended already.
            seen.changed().await.ok()?;
        }
    }

    /// What is on no list is forwarded if the engine runs. It starts one only if it shows that it wants inference.
    async fn obtain_unknown(&self, head: &Parts, body: &mut Outgoing) -> Result<Obtained, Fault> {
        let hold = if head.method == Method::POST { Hold::Inference } else { Hold::Helper };
        if let Some(permit) = self.member.handle.try_acquire(hold).await {
            return Ok(pass(permit, body));
        }
        if self.is_full(hold) {
            return Ok(Obtained::Turn(hold));
        }
        if cors::is_preflight(head) {
            return Ok(Obtained::Answer(cors::preflight(&head.headers)));
        }
        let phase = self.member.handle.snapshot().phase.word();
        let unknown = || Fault::UnknownRoute { phase, path: head.uri.path().to_owned() };
        let taken = match body {
            Outgoing::Passing(body) if head.method == Method::POST && !body.is_end_stream() => {
                Arc::new(self.shared.intake.take(body).await?)
            }
            Outgoing::Held(taken) if head.method == Method::POST => Arc::clone(taken),
            Outgoing::Held(_) | Outgoing::Passing(_) | Outgoing::Nothing => return Err(unknown()),
        };
        if taken.found.as_ref().and_then(|found| found.model.as_ref()).is_none() {
            return Err(unknown());
        }
        if !self.shared.settings.wake_on.inference {
            return Err(self.asleep(false));
        }
        let permit = self.member.handle.acquire_for(party(head), hold).await.map_err(Fault::Refused)?;
        Ok(Obtained::Engine(permit, Outgoing::Held(taken)))
    }

    /// Waits for the engine, if requests of this kind may start it.
    async fn wait(&mut self, hold: Hold, body: &mut Outgoing) -> Result<Obtained, Fault> {
        if self.shared.settings.wake_on.inference {
            self.shared.fleet.ask_for(&self.member);
            Ok(self.wait_for(hold, body).await)
        } else {
            self.if_ready(hold, body, |this| Err(this.asleep(false))).await
        }
    }

    /// Passes the body straight on if the engine is ready, can be reached, and does not stand still.
    async fn wait_for(&mut self, hold: Hold, body: &mut Outgoing) -> Obtained {
        for member in self.candidates.all() {
            if let Some(permit) = at_once(member, hold).await {
                self.member = Arc::clone(member);
                return pass(permit, body);
            }
        }
        Obtained::Later(hold)
    }

    async fn if_ready(
        &self,
        hold: Hold,
        body: &mut Outgoing,
        otherwise: impl FnOnce(&Self) -> Result<Response<ResponseBody>, Fault>,
    ) -> Result<Obtained, Fault> {
        match self.member.handle.try_acquire(hold).await {
            Some(permit) => Ok(pass(permit, body)),
            None if self.is_full(hold) => Ok(Obtained::Turn(hold)),
            None => otherwise(self).map(Obtained::Answer),
        }
    }

    /// Whether a ready engine just has all it may, so that a request waits for its turn, and wakes nothing.
    fn is_full(&self, hold: Hold) -> bool {
        hold == Hold::Inference && self.member.handle.snapshot().phase == Phase::Ready
    }

    fn asleep(&self, conflict: bool) -> Fault {
        asleep::not_woken(&self.member.handle.snapshot(), conflict)
    }
}

/// How a request is to be answered.
pub(super) enum Obtained {
    /// By the engine.
    Engine(Permit, Outgoing),
    /// By the engine, once there is one.
    Later(Hold),
    /// By an engine that runs, once it has room: none is started for it.
    Turn(Hold),
    /// Without it.
    Answer(Response<ResponseBody>),
}

/// The body goes straight through, where it was not taken in.
fn pass(permit: Permit, body: &mut Outgoing) -> Obtained {
    Obtained::Engine(permit, body.take())
}

fn is_starting(phase: &Phase) -> bool {
    match phase {
        Phase::Recovering | Phase::Submitting | Phase::Queued { .. } | Phase::Starting => true,
        Phase::Stopped
        | Phase::Ready
        | Phase::Unreachable(_)
        | Phase::Draining
        | Phase::Stopping(_)
        | Phase::Failed(_) => false,
    }
}

/// A look at a resource starts nothing.
fn wakes(method: &Method) -> bool {
    !matches!(*method, Method::HEAD | Method::OPTIONS)
}
