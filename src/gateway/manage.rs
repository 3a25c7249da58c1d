//! The management API: which instances there are, and what may be done to them.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Map, Value, from_value};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::asleep::json;
use super::body::ResponseBody;
use super::error::Fault;
use super::forward::Outgoing;
use super::logs;
use crate::api::{Instance, InstanceList, Status, Wanted};
use crate::instance::Snapshot;
use crate::launch::KeptLog;

/// The longest description of an instance, in bytes.
const WANTED_LIMIT: usize = 256 * 1024;

/// Who looks after the instances.
pub trait Manage: Send + Sync {
    /// All of them.
    fn all(&self) -> Vec<Status>;
    /// One of them.
    fn status(&self, name: &str) -> Option<Status>;
    /// Its engine's log, and how the instance moves on as long as it is there.
    fn log(&self, name: &str) -> Option<(KeptLog, watch::Receiver<Snapshot>)>;
    /// Starts its engine, without waiting for it.
    fn start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Status>, NotManaged>>;
    /// Ends its engine, without waiting for it.
    fn stop(&self, name: &str) -> Option<Status>;
    /// Makes one, or finds the one that is there; and starts its engine.
    fn create(&self, wanted: Wanted) -> BoxFuture<'_, Result<Created, NotManaged>>;
    /// Ends and forgets one.
    ///
    /// # Errors
    /// It is not the caller's to delete.
    fn delete(&self, name: &str) -> Result<Option<Status>, NotManaged>;
}

/// An instance that was asked for.
#[derive(Debug)]
pub struct Created {
    /// Where it stands.
    pub status: Status,
    /// Whether there was none before.
    pub new: bool,
}

/// What a caller asked for is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotManaged {
    /// The operator does not let him.
    #[error("{0}")]
    Forbidden(String),
    /// It makes no sense.
    #[error("{0}")]
    Wrong(String),
    /// Something else is in the way.
    #[error("{0}")]
    Conflict(String),
}

/// Who manages, where somebody does.
#[derive(Clone)]
pub(super) struct Manager(pub(super) Arc<dyn Manage>);

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Manager")
    }
}

/// A request to the management API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Managed {
    List,
    Create { id: &'static str },
    Status { id: &'static str, name: String },
    Delete { name: String },
    Start { name: String },
    Stop { name: String },
    Log { name: String },
}

impl Managed {
    /// Whether it is about the instance of this name, or about all: what else is asked where there is but one may be its
    /// engine's.
    pub(super) fn is_about(&self, sole: &str) -> bool {
        match self {
            Self::List | Self::Create { id: "instance_id" } => true,
            Self::Create { .. } => false,
            Self::Status { name, .. }
            | Self::Delete { name }
            | Self::Start { name }
            | Self::Stop { name }
            | Self::Log { name } => name == sole,
        }
    }

    pub(super) async fn answer(
        self,
        manager: &dyn Manage,
        head: &Parts,
        body: &mut Outgoing,
        no_more: &CancellationToken,
    ) -> Result<Response<ResponseBody>, Fault> {
        let unknown = |name: String| Fault::NoSuchInstance { name };
        match self {
            Self::List => {
                let instances = manager.all().into_iter().map(|status| told(status, "instance_id")).collect();
                Ok(json(&InstanceList { instances }))
            }
            Self::Create { id } => {
                let wanted = read(body).await?;
                let Created { status, new } = manager.create(wanted).await.map_err(Fault::NotManaged)?;
                let mut response = json(&told(status, id));
                if new {
                    *response.status_mut() = StatusCode::CREATED;
                }
                Ok(response)
            }
            Self::Status { id, name } => {
                manager.status(&name).map(|status| json(&told(status, id))).ok_or_else(|| unknown(name))
            }
            Self::Delete { name } => {
                let deleted = manager.delete(&name).map_err(Fault::NotManaged)?;
                deleted.map(|status| accepted(&told(status, "instance_id"))).ok_or_else(|| unknown(name))
            }
            Self::Start { name } => {
                let started = manager.start(&name).await.map_err(Fault::NotManaged)?;
                started.map(|status| accepted(&told(status, "launch_id"))).ok_or_else(|| unknown(name))
            }
            Self::Stop { name } => {
                manager.stop(&name).map(|status| accepted(&told(status, "launch_id"))).ok_or_else(|| unknown(name))
            }
            Self::Log { name } => {
                let (log, life) = manager.log(&name).ok_or_else(|| unknown(name))?;
                logs::answer(&log, life, head, no_more)
            }
        }
    }
}

async fn read(body: &mut Outgoing) -> Result<Wanted, Fault> {
    let wrong = |what: String| Fault::NotManaged(NotManaged::Wrong(what));
    let Outgoing::Passing(body) = body.take() else { return Err(wrong("the request has no body".to_owned())) };
    let bytes = Limited::new(body, WANTED_LIMIT).collect().await.map_err(|error| wrong(error.to_string()))?.to_bytes();
    let described = serde_json::from_slice(&bytes).and_then(|object: Map<String, Value>| from_value(object.into()));
    described.map_err(|error| wrong(format!("the body does not describe an instance: {error}")))
}

fn told(status: Status, id: &str) -> Instance {
    let name = || status.name.clone();
    let [instance_id, launch_id] = ["instance_id", "launch_id"].map(|of| (of == id).then(name));
    let model = status.models.first().cloned();
    Instance { id: name(), model_name: model.clone(), model, instance_id, launch_id, status }
}

fn accepted(told: &Instance) -> Response<ResponseBody> {
    let mut response = json(told);
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}
