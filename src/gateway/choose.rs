//! Which instance a request is for: by its path, its query, or what its body says.

use std::borrow::Cow;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use http::Uri;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::uri::PathAndQuery;
use http_body::Body;
use http_body_util::BodyDataStream;
use multer::{Constraints, Multipart, SizeLimit};

use super::all::All;
use super::error::Fault;
use super::forward::Outgoing;
use super::headers;
use super::intake::{Store, Taken};
use super::replay::Replay;
use super::router::Shared;
use super::routes::{Asleep, Class, without_slash};
use crate::fleet::{Member, Roster};

/// Before the name of an instance, and a path of its engine's.
const PROXY: &str = "/proxy/";
/// Bytes of a form within which its first part begins.
const PREAMBLE: usize = 4096;
/// The longest `model` of a form that is read, in bytes: a longer one is no model's name.
const MODEL_LIMIT: u64 = 4096;

/// Who a request is for.
pub(super) enum Choice {
    /// One instance, by its model.
    Member(Arc<Member>),
    /// One instance, by its name: nothing else of the request is looked at.
    Named {
        /// Which.
        member: Arc<Member>,
        /// Whether the request may start its engine.
        wakes: bool,
    },
    /// All of them together.
    All(All),
}

impl Shared {
    /// Chooses among the instances of `roster`. A body is taken in only where nothing else says which.
    pub(super) async fn choose(&self, roster: &Roster, head: &mut Parts, body: &mut Outgoing) -> Result<Choice, Fault> {
        if let Some((name, uri)) = named(&head.uri) {
            let member = roster.named(&name).ok_or(Fault::NoSuchInstance { name })?;
            head.uri = uri;
            return Ok(Choice::Named {
                member: Arc::clone(member),
                wakes: query(&head.uri, "wake").is_some_and(|value| is_yes(&value)),
            });
        }
        let class = self.routes.classify(&head.method, head.uri.path());
        let upgrade = headers::upgrade_wanted(&head.headers).is_some();
        if let Some(sole) = roster.sole() {
            let metrics = class == Class::Info(Asleep::Metrics) && !upgrade;
            return Ok(if metrics { Choice::All(All::Metrics) } else { Choice::Member(Arc::clone(sole)) });
        }
        if let Some(all) = All::of(class, &head.method, head.uri.path()).filter(|_| !upgrade) {
            return Ok(Choice::All(all));
        }
        let model = match one_model(head.uri.path()).filter(|_| class == Class::Models) {
            Some(model) => Some(model),
            None => match query(&head.uri, "model") {
                Some(model) => Some(model.into_owned()),
                None => self.model_of_body(head, body).await?,
            },
        };
        match model {
            Some(model) => {
                let member = roster.of_model(&model);
                let known = || Fault::NoSuchModel { model, known: roster.model_names().join(", ") };
                member.map(|member| Choice::Member(Arc::clone(member))).ok_or_else(known)
            }
            None => match roster.without_model() {
                Some(member) => Ok(Choice::Member(Arc::clone(member))),
                None => Err(Fault::NoModel { known: roster.model_names().join(", ") }),
            },
        }
    }

    /// What a body says of the model, as JSON or as a form, wherever in it that stands.
    async fn model_of_body(&self, head: &Parts, body: &mut Outgoing) -> Result<Option<String>, Fault> {
        let Outgoing::Passing(incoming) = body else { return Ok(None) };
        if incoming.is_end_stream() {
            return Ok(None);
        }
        let taken = Arc::new(self.intake.take(incoming).await?);
        *body = Outgoing::Held(Arc::clone(&taken));
        match boundary(head) {
            Some(boundary) => Ok(model_of_form(taken, boundary).await),
            None => Ok(taken.found.as_ref().and_then(|found| found.model.clone())),
        }
    }
}

/// The field `model` of a form. That a form is whole is for the engine to judge.
async fn model_of_form(taken: Arc<Taken>, boundary: String) -> Option<String> {
    if !begins_as_form(&taken, &boundary) {
        return None;
    }
    let limits = SizeLimit::new().for_field("model", MODEL_LIMIT);
    let stream = BodyDataStream::new(Replay::new(taken));
    let mut form = Multipart::with_constraints(stream, boundary, Constraints::new().size_limit(limits));
    while let Ok(Some(field)) = form.next_field().await {
        if field.name() == Some("model") {
            return field.text().await.ok();
        }
    }
    None
}

/// Whether a form's first part begins soon. What is none would be gathered whole in the search for it.
fn begins_as_form(taken: &Taken, boundary: &str) -> bool {
    let mark = format!("--{boundary}");
    let mut piece = vec![0; PREAMBLE];
    let piece = match &taken.store {
        Store::Memory(bytes) => bytes.get(..PREAMBLE.min(bytes.len())).unwrap_or_default(),
        Store::File(file) => {
            let read = file.read_at(&mut piece, 0).unwrap_or_default();
            piece.get(..read).unwrap_or_default()
        }
    };
    piece.windows(mark.len()).any(|window| window == mark.as_bytes())
}

fn boundary(head: &Parts) -> Option<String> {
    multer::parse_boundary(head.headers.get(CONTENT_TYPE)?.to_str().ok()?).ok()
}

/// The model of `/v1/models/{model}`; nothing where all are asked for.
pub(super) fn one_model(path: &str) -> Option<String> {
    let path = without_slash(path);
    let path = path.strip_prefix("/v1").unwrap_or(path);
    path.strip_prefix("/models/").map(decode)
}

/// The path that an engine is asked.
pub(super) fn engine_path(path: &str) -> &str {
    path.strip_prefix(PROXY).map_or(path, |rest| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"))
}

/// Whether the path names an instance.
pub(super) fn is_named(path: &str) -> bool {
    path.starts_with(PROXY)
}

/// `/proxy/NAME/PATH`: the name, and what the engine is asked.
fn named(uri: &Uri) -> Option<(String, Uri)> {
    let rest = uri.path().strip_prefix(PROXY)?;
    let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("/{path}{query}")).ok()?);
    Some((decode(name), Uri::from_parts(parts).ok()?))
}

pub(super) fn query<'a>(uri: &'a Uri, key: &str) -> Option<Cow<'a, str>> {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

fn is_yes(value: &str) -> bool {
    matches!(value, "true" | "1" | "yes" | "")
}

/// `%2F` and its like: a model's name often has a slash.
pub(super) fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}
