//! The management API: which instances there are, and what may be done to them.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Map, Value, from_value, json};

use super::asleep::json_of;
use super::body::{ResponseBody, full};
use super::choose::{decode, query};
use super::error::Fault;
use super::forward::Outgoing;
use super::routes::without_slash;
use crate::api::{Status, Wanted};
use crate::launch::{KeptLog, Page};

/// The first part of each path of the management API.
const PATHS: [&str; 6] = ["instances", "launch", "status", "logs", "start", "stop"];
/// The longest description of an instance, in bytes.
const WANTED_LIMIT: usize = 256 * 1024;
/// The longest part of a log that is told at once, in bytes.
const PAGE: usize = 256 * 1024;

/// Who looks after the instances.
pub trait Manage: Send + Sync {
    /// All of them.
    fn all(&self) -> Vec<Status>;
    /// One of them.
    fn status(&self, name: &str) -> Option<Status>;
    /// Its engine's log.
    fn log(&self, name: &str) -> Option<KeptLog>;
    /// Starts its engine, without waiting for it.
    fn start(&self, name: &str) -> Option<Status>;
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
    Create {
        id: &'static str,
    },
    Status {
        id: &'static str,
        name: String,
    },
    Delete {
        name: String,
    },
    Start {
        name: String,
    },
    Stop {
        name: String,
    },
    Log {
        name: String,
    },
    /// The path is ours, the method is not.
    NoMethod {
        allowed: &'static str,
    },
}

impl Managed {
    /// Nothing where the path is an engine's.
    pub(super) fn of(head: &Parts) -> Option<Self> {
        let path = without_slash(head.uri.path());
        // Nearly all requests are none of these.
        if !PATHS.contains(&path.split('/').nth(1)?) {
            return None;
        }
        let (first, name) =
            path.strip_prefix('/')?.split_once('/').map_or((path.strip_prefix('/')?, None), |(first, rest)| {
                (first, (!rest.is_empty() && !rest.contains('/')).then(|| decode(rest)))
            });
        let has_rest = path.matches('/').count() > 1;
        let method = match head.method {
            Method::HEAD => Method::GET,
            ref method => method.clone(),
        };
        let get = method == Method::GET;
        let post = method == Method::POST;
        match (first, name) {
            ("instances", None) if !has_rest && get => Some(Self::List),
            ("instances", None) if !has_rest && post => Some(Self::Create { id: "instance_id" }),
            ("instances", None) if !has_rest => Some(Self::NoMethod { allowed: "GET, POST" }),
            ("instances", Some(name)) if get => Some(Self::Status { id: "instance_id", name }),
            ("instances", Some(name)) if method == Method::DELETE => Some(Self::Delete { name }),
            ("instances", Some(_)) => Some(Self::NoMethod { allowed: "GET, DELETE" }),
            ("launch", None) if !has_rest && post => Some(Self::Create { id: "launch_id" }),
            ("launch", None) if !has_rest => Some(Self::NoMethod { allowed: "POST" }),
            ("status", Some(name)) if get => Some(Self::Status { id: "launch_id", name }),
            ("logs", Some(name)) if get => Some(Self::Log { name }),
            ("status" | "logs", Some(_)) => Some(Self::NoMethod { allowed: "GET" }),
            ("start", Some(name)) if post => Some(Self::Start { name }),
            ("stop", Some(name)) if post => Some(Self::Stop { name }),
            ("start" | "stop", Some(_)) => Some(Self::NoMethod { allowed: "POST" }),
            _ => None,
        }
    }

    /// Whether it is about the instance of this name, or about all: what else is asked where there is but one may be its
    /// engine's.
    pub(super) fn is_about(&self, sole: &str) -> bool {
        match self {
            Self::List | Self::Create { id: "instance_id" } => true,
            Self::Create { .. } | Self::NoMethod { .. } => false,
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
    ) -> Result<Response<ResponseBody>, Fault> {
        let unknown = |name: String| Fault::NoSuchInstance { name };
        match self {
            Self::List => {
                let all: Vec<Value> = manager.all().iter().map(|status| told(status, "instance_id")).collect();
                Ok(json_of(&json!({ "instances": all })))
            }
            Self::Create { id } => {
                let wanted = read(body).await?;
                let Created { status, new } = manager.create(wanted).await.map_err(Fault::NotManaged)?;
                let mut response = json_of(&told(&status, id));
                if new {
                    *response.status_mut() = StatusCode::CREATED;
                }
                Ok(response)
            }
            Self::Status { id, name } => {
                manager.status(&name).map(|status| json_of(&told(&status, id))).ok_or_else(|| unknown(name))
            }
            Self::Delete { name } => {
                let deleted = manager.delete(&name).map_err(Fault::NotManaged)?;
                deleted.map(|status| accepted(&told(&status, "instance_id"))).ok_or_else(|| unknown(name))
            }
            Self::Start { name } => {
                manager.start(&name).map(|status| accepted(&told(&status, "launch_id"))).ok_or_else(|| unknown(name))
            }
            Self::Stop { name } => {
                manager.stop(&name).map(|status| accepted(&told(&status, "launch_id"))).ok_or_else(|| unknown(name))
            }
            Self::Log { name } => log_page(&manager.log(&name).ok_or_else(|| unknown(name))?, head),
            Self::NoMethod { allowed } => Err(Fault::NoMethod { allowed }),
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

/// What is told of an instance: what `llm-proxy status --json` tells, and its name where programs look for an id.
fn told(status: &Status, id: &str) -> Value {
    let mut told = serde_json::to_value(status).unwrap_or_default();
    if let Value::Object(told) = &mut told {
        told.insert("id".to_owned(), json!(status.name));
        let model = status.models.first();
        told.extend(["model", "model_name"].map(|word| (word.to_owned(), json!(model))));
        told.insert(id.to_owned(), json!(status.name));
    }
    told
}

fn accepted(told: &Value) -> Response<ResponseBody> {
    let mut response = json_of(told);
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// By `Range` as plain text, else by `?offset=` as JSON with the offset of what comes next.
fn log_page(log: &KeptLog, head: &Parts) -> Result<Response<ResponseBody>, Fault> {
    let range = head.headers.get(RANGE).and_then(|range| range.to_str().ok()).and_then(from_range);
    let offset = match (range, query(&head.uri, "offset")) {
        (Some(from), _) => from,
        (None, Some(text)) => text.parse().map_err(|_| {
            Fault::NotManaged(NotManaged::Wrong(format!("offset must be a number of bytes, and is '{text}'")))
        })?,
        (None, None) => 0,
    };
    let page = log.page(offset, PAGE).map_err(Fault::Log)?;
    if range.is_none() {
        return Ok(json_of(&of_page(offset, &page)));
    }
    if page.text.is_empty() {
        return Err(Fault::NoSuchRange { length: page.end });
    }
    let next = page.offset + page.text.len() as u64;
    let told = format!("bytes {}-{}/{}", page.offset, next - 1, page.end);
    let mut response = Response::new(full(page.text));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(told) = HeaderValue::from_str(&told) {
        headers.insert(CONTENT_RANGE, told);
    }
    Ok(response)
}

/// A page ends with a line, unless that one is longer than a page.
fn of_page(asked: u64, page: &Page) -> Value {
    let ended = page.text.iter().rposition(|byte| *byte == b'\n').map_or(page.text.len(), |at| at + 1);
    let text = page.text.get(..ended).unwrap_or_default();
    json!({
        "offset": page.offset,
        "next_offset": page.offset + ended as u64,
        "end": page.end,
        // What was thrown away before it was asked for.
        "missed": page.offset.saturating_sub(asked),
        "log": String::from_utf8_lossy(text),
    })
}

/// `bytes=N-`, and no other form: a log grows at its end.
fn from_range(range: &str) -> Option<u64> {
    range.trim().strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}
