//! `GET /health`: always, at once, for everybody; and more than its bare words to those who are let in.

use http::Response;
use serde_json::{Value, json};

use super::asleep;
use super::body::ResponseBody;
use crate::api::Health;
use crate::fleet::Roster;
use crate::id::{InstanceName, JobId};
use crate::instance::{Phase, Snapshot};
use crate::launch::LinkState;

/// The proxy's health, and where those of its instances stand that are `shown`.
pub(super) fn answer(all: &Roster, shown: Option<&Roster>) -> Response<ResponseBody> {
    let processes = all.members().filter(|member| has_process(&member.handle.snapshot().phase)).count();
    let told = |shown: &Roster| shown.members().map(|one| detail(one.name(), &one.handle.snapshot())).collect();
    asleep::json(&Health { status: "ok", instances: all.members().count(), processes, detail: shown.map(told) })
}

fn detail(name: &InstanceName, now: &Snapshot) -> Value {
    let mut detail = json!({
        "name": name.as_str(),
        "state": now.phase.state().word(),
        "phase": now.phase.word(),
        "life": now.life,
        "job": now.job.map(|JobId(job)| job),
        "in_flight": now.in_flight,
        "waiting": now.waiting,
        "link": if now.login_needed().is_some() { "needs-login" } else { now.link.word() },
    });
    let mut link = match &now.link {
        LinkState::Connected => Vec::new(),
        LinkState::Reconnecting { since } | LinkState::NeedsLogin { since, .. } => {
            vec![("link_since_s", json!(since.elapsed().as_secs()))]
        }
    };
    if let Some(why) = now.login_needed() {
        link.extend([
            ("link_needs", json!(why.summary)),
            ("hint", json!(why.remedy)),
            ("run", json!(format!("llm-proxy login {name}"))),
        ]);
    }
    let more = match &now.phase {
        Phase::Queued { reason, expected_start } => {
            vec![("reason", json!(reason)), ("expected_start", json!(expected_start))]
        }
        Phase::Failed(diagnosis) | Phase::Unreachable(diagnosis) => vec![("error", json!(diagnosis.code))],
        Phase::Stopped
        | Phase::Recovering
        | Phase::Submitting
        | Phase::Starting
        | Phase::Ready
        | Phase::Draining
        | Phase::Stopping(_) => now.reason().map(|reason| ("reason", json!(reason))).into_iter().collect(),
    };
    if let Value::Object(detail) = &mut detail {
        detail.extend(link.into_iter().chain(more).map(|(key, value)| (key.to_owned(), value)));
    }
    detail
}

fn has_process(phase: &Phase) -> bool {
    match phase {
        Phase::Starting | Phase::Ready | Phase::Unreachable(_) | Phase::Draining | Phase::Stopping(_) => true,
        Phase::Stopped | Phase::Recovering | Phase::Submitting | Phase::Queued { .. } | Phase::Failed(_) => false,
    }
}
