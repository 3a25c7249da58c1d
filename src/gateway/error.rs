//! The only place where what went wrong becomes HTTP.

use std::time::Duration;

use http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::body::{ResponseBody, full};
use super::dialect::{Dialect, Words};
use super::keys::{KeyLimit, NotWithKey};
use super::manage::NotManaged;
use crate::instance::Refusal;
use crate::launch::LOGIN_REQUIRED;
use crate::route::{HungUp, LinkDown, SendError, link_was_lost};

/// The bounds of `Retry-After`, in seconds: SDKs do not retry at all where it is longer.
const RETRY_AFTER_BOUNDS: (u64, u64) = (1, 120);
/// When to try again where a bound of ours was met: room comes as soon as a request ends.
const RETRY_SOON: Duration = Duration::from_secs(5);
/// When a link that was lost is looked for again at the latest.
const RETRY_LINK: Duration = Duration::from_secs(15);
/// Obeyed by `OpenAI`'s and Anthropic's SDKs, which would otherwise try again on any 409, 429 or 5xx.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Why a request gets no answer of the engine's.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(
        "the access key is missing or wrong; send it as `Authorization: Bearer KEY`, as `x-api-key`, or as the \
         password of Basic authentication with any user"
    )]
    Unauthorized,
    #[error(
        "this proxy has no access key, so it answers only to its own names, not to the host `{0}`; use `localhost`, or \
         start the proxy with `--access-key`"
    )]
    ForeignHost(String),
    #[error(
        "a page of another site (`{0}`) may not use this proxy with a browser's rights; open the page from this \
         machine, or use an access key in a Bearer header"
    )]
    ForeignOrigin(String),
    #[error(
        "a page of another site sent the browser here, which this proxy does not allow without a key that the page \
         itself shows; type the address into the browser, or use an access key in a Bearer header"
    )]
    CrossSite,
    #[error("{0}")]
    NotWithKey(NotWithKey),
    #[error("{0}")]
    KeyLimit(KeyLimit),
    #[error("{}", refusal_words(.0))]
    Refused(Refusal),
    #[error("the engine is {phase}, and this request does not wake it; {remedy}")]
    Asleep { phase: &'static str, remedy: &'static str, conflict: bool },
    #[error(
        "the engine is {phase}, and nothing says that `{path}` would be inference: it is on no list of known routes, \
         and its body is no JSON object with a `model`; it is forwarded once the engine runs"
    )]
    UnknownRoute { phase: &'static str, path: String },
    #[error("the responses that the engine stored went with it when it stopped")]
    Forgotten,
    #[error("the model `{model}` does not exist; known: {known}")]
    NoSuchModel { model: String, known: String },
    #[error("the request names no model; known: {known}")]
    NoModel { known: String },
    #[error("there is no instance `{name}`; `GET /health` lists them")]
    NoSuchInstance { name: String },
    #[error("{0}")]
    NotManaged(NotManaged),
    #[error("this path takes {allowed}")]
    NoMethod { allowed: String },
    #[error("the engine's log cannot be read")]
    Log(#[source] std::io::Error),
    #[error("the log ends at byte {length}")]
    NoSuchRange { length: u64 },
    #[error("a proxy of this kind opens no tunnels")]
    Tunnel,
    #[error("a body with the transfer coding `{0}` is not understood; send it plain, or `chunked` alone")]
    TransferCoding(String),
    #[error("the body is longer than the {limit} bytes that are kept while the engine starts")]
    BodyTooLong { limit: u64 },
    #[error("the requests that wait hold as much as they may, {limit} bytes; try again soon")]
    NoRoom { limit: u64 },
    #[error("the body could not be kept while the engine starts")]
    Spool(#[source] std::io::Error),
    #[error("the body of the request broke off: {cause}")]
    UploadBroke { cause: String },
    #[error("no byte of the request's body came within {} s", limit.as_secs())]
    UploadStalled { limit: Duration },
    #[error("{}", engine_words(.0))]
    Engine(SendError),
    #[error("{}", hung_up_words(*.0, "before it answered"))]
    HungUp(HungUp),
    #[error("the engine did not begin to answer within {} s", limit.as_secs())]
    NoAnswer { limit: Duration },
    #[error("the engine changed protocols although nobody asked it to")]
    UnaskedUpgrade,
}

/// How a stream ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cut {
    #[error("the engine broke off in the middle of its answer")]
    Broke,
    #[error(
        "the connection to the host was lost in the middle of the answer; the engine goes on there. Ask again: should the \
         host want a login first, the answer says how"
    )]
    LinkLost,
    #[error("{}", hung_up_words(*.0, "before its answer was whole"))]
    HungUp(HungUp),
    #[error("no byte came from the engine within {} s, so the stream was ended", limit.as_secs())]
    Idle { limit: Duration },
}

impl Cut {
    pub(super) fn words(self, message: &str) -> Words<'_> {
        let (openai, anthropic, code) = match self {
            Self::Broke => ("server_error", "api_error", "engine_broke_off"),
            Self::LinkLost => ("server_error", "api_error", "link_lost"),
            Self::HungUp(HungUp::Ended) => ("server_error", "overloaded_error", "engine_stopped"),
            Self::HungUp(HungUp::Hangs) => ("server_error", "overloaded_error", "engine_hung"),
            Self::Idle { .. } => ("server_error", "timeout_error", "idle_timeout"),
        };
        Words { message, openai, anthropic, code, param: None }
    }
}

struct Kind {
    status: StatusCode,
    openai: &'static str,
    anthropic: &'static str,
    code: &'static str,
    param: Option<&'static str>,
}

const fn kind(status: StatusCode, openai: &'static str, anthropic: &'static str, code: &'static str) -> Kind {
    Kind { status, openai, anthropic, code, param: None }
}

impl Fault {
    /// The answer, in the dialect of the path that was asked.
    pub(super) fn into_response(self, dialect: Dialect) -> Response<ResponseBody> {
        self.log();
        let body = self.told(|words| dialect.body(words));
        let mut response = Response::new(full(body.to_string()));
        *response.status_mut() = self.kind().status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.put_headers(headers);
        response
    }

    /// Leaves word of it for who runs the proxy.
    pub(super) fn log(&self) {
        let Kind { status, code, .. } = self.kind();
        if matches!(self, Self::Refused(_) | Self::HungUp(_)) {
            // Said once already, where the instance failed or was stopped.
            tracing::debug!(code, "a request was refused");
        } else if status.is_server_error() {
            tracing::warn!(error = self as &dyn std::error::Error, code, "a request failed");
        }
    }

    /// Tells it in words.
    pub(super) fn told<T>(&self, tell: impl FnOnce(&Words<'_>) -> T) -> T {
        let Kind { openai, anthropic, code, param, .. } = self.kind();
        tell(&Words { message: &self.to_string(), openai, anthropic, code, param })
    }

    /// The code with which it ends a WebSocket.
    pub(super) fn close_code(&self) -> u16 {
        close_code(self.kind().status)
    }

    /// Whether the client was not even let in.
    pub(super) fn is_at_the_door(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized | Self::ForeignHost(_) | Self::ForeignOrigin(_) | Self::CrossSite | Self::Tunnel
        )
    }

    fn kind(&self) -> Kind {
        use StatusCode as S;
        const REQUEST: &str = "invalid_request_error";
        match self {
            Self::Unauthorized => kind(S::UNAUTHORIZED, REQUEST, "authentication_error", "invalid_api_key"),
            Self::ForeignHost(_) => kind(S::FORBIDDEN, REQUEST, "permission_error", "foreign_host"),
            Self::ForeignOrigin(_) => kind(S::FORBIDDEN, REQUEST, "permission_error", "foreign_origin"),
            Self::CrossSite => kind(S::FORBIDDEN, REQUEST, "permission_error", "cross_site"),
            Self::NotWithKey(NotWithKey::Purpose { .. }) => {
                kind(S::FORBIDDEN, REQUEST, "permission_error", "key_not_allowed")
            }
            Self::NotWithKey(NotWithKey::Model { .. }) => {
                Kind { param: Some("model"), ..kind(S::FORBIDDEN, REQUEST, "permission_error", "model_not_allowed") }
            }
            Self::KeyLimit(_) => {
                kind(S::TOO_MANY_REQUESTS, "rate_limit_exceeded", "rate_limit_error", "rate_limit_exceeded")
            }
            Self::Refused(refusal) => refusal_kind(refusal),
            Self::Asleep { conflict: true, .. } => kind(S::CONFLICT, REQUEST, REQUEST, "engine_asleep"),
            Self::Asleep { .. } => kind(S::SERVICE_UNAVAILABLE, "server_error", "overloaded_error", "engine_asleep"),
            Self::UnknownRoute { .. } => kind(S::NOT_FOUND, REQUEST, "not_found_error", "unknown_route"),
            Self::Forgotten => kind(S::NOT_FOUND, REQUEST, "not_found_error", "response_not_found"),
            Self::NoSuchModel { .. } => {
                Kind { param: Some("model"), ..kind(S::NOT_FOUND, REQUEST, "not_found_error", "model_not_found") }
            }
            Self::NoModel { .. } => {
                Kind { param: Some("model"), ..kind(S::BAD_REQUEST, REQUEST, REQUEST, "model_required") }
            }
            Self::NotManaged(why) => managed_kind(why),
            Self::Log(_) => kind(S::INTERNAL_SERVER_ERROR, "server_error", "api_error", "log_unreadable"),
            Self::NoSuchRange { .. } => kind(S::RANGE_NOT_SATISFIABLE, REQUEST, REQUEST, "range_not_satisfiable"),
            Self::NoSuchInstance { .. } => kind(S::NOT_FOUND, REQUEST, "not_found_error", "instance_not_found"),
            Self::NoMethod { .. } | Self::Tunnel => kind(S::METHOD_NOT_ALLOWED, REQUEST, REQUEST, "method_not_allowed"),
            Self::TransferCoding(_) => kind(S::NOT_IMPLEMENTED, REQUEST, REQUEST, "unknown_transfer_coding"),
            Self::BodyTooLong { .. } => kind(S::PAYLOAD_TOO_LARGE, REQUEST, "request_too_large", "request_too_large"),
            Self::NoRoom { .. } => {
                kind(S::TOO_MANY_REQUESTS, "rate_limit_exceeded", "rate_limit_error", "too_much_held")
            }
            Self::Spool(_) => kind(S::SERVICE_UNAVAILABLE, "server_error", "api_error", "spool_failed"),
            Self::UploadBroke { .. } => kind(S::BAD_REQUEST, REQUEST, REQUEST, "body_broke_off"),
            Self::UploadStalled { .. } => kind(S::REQUEST_TIMEOUT, REQUEST, REQUEST, "body_stalled"),
            Self::Engine(error) => send_kind(error),
            Self::HungUp(why) => {
                let code = if *why == HungUp::Hangs { "engine_hung" } else { "engine_stopped" };
                kind(S::SERVICE_UNAVAILABLE, "server_error", "overloaded_error", code)
            }
            Self::NoAnswer { .. } => kind(S::GATEWAY_TIMEOUT, "server_error", "timeout_error", "engine_timeout"),
            Self::UnaskedUpgrade => kind(S::BAD_GATEWAY, "server_error", "api_error", "engine_broke_off"),
        }
    }

    fn put_headers(&self, headers: &mut HeaderMap) {
        match self {
            Self::Unauthorized => {
                headers
                    .append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"llm-proxy\", charset=\"UTF-8\""));
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"llm-proxy\""));
            }
            // A retry is for nothing until a person acts.
            Self::Refused(Refusal::Failed { diagnosis, .. }) if diagnosis.code == LOGIN_REQUIRED => {
                drop(headers.insert(SHOULD_RETRY, HeaderValue::from_static("false")));
            }
            Self::Refused(Refusal::Failed { diagnosis, retry_after }) => {
                put_retry_after(headers, *retry_after);
                if diagnosis.recurs() {
                    headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
                }
            }
            Self::Refused(Refusal::TooManyWaiting { .. })
            | Self::NoRoom { .. }
            | Self::KeyLimit(KeyLimit::InFlight { .. }) => put_retry_after(headers, RETRY_SOON),
            Self::KeyLimit(KeyLimit::PerMinute { retry_after, .. }) => put_retry_after(headers, *retry_after),
            Self::Engine(SendError::Link(LinkDown::Away { .. }) | SendError::Route(_)) => {
                put_retry_after(headers, RETRY_LINK);
            }
            // To try again changes nothing: until somebody wakes the engine, or at all.
            // Who had the engine stopped does not want a retry to start it.
            Self::Asleep { .. }
            | Self::TransferCoding(_)
            | Self::Refused(Refusal::Stopped)
            | Self::Engine(SendError::Link(LinkDown::NeedsLogin { .. })) => {
                drop(headers.insert(SHOULD_RETRY, HeaderValue::from_static("false")));
            }
            Self::NoMethod { allowed } => {
                if let Ok(allowed) = HeaderValue::from_str(allowed) {
                    headers.insert(ALLOW, allowed);
                }
            }
            Self::NoSuchRange { length } => {
                if let Ok(range) = HeaderValue::from_str(&format!("bytes */{length}")) {
                    headers.insert(CONTENT_RANGE, range);
                }
            }
            Self::Tunnel => drop(headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE"))),
            Self::ForeignHost(_)
            | Self::ForeignOrigin(_)
            | Self::CrossSite
            | Self::Refused(Refusal::ShuttingDown)
            | Self::UnknownRoute { .. }
            | Self::Forgotten
            | Self::NoSuchModel { .. }
            | Self::NoModel { .. }
            | Self::NoSuchInstance { .. }
            | Self::NotManaged(_)
            | Self::Log(_)
            | Self::BodyTooLong { .. }
            | Self::Spool(_)
            | Self::UploadBroke { .. }
            | Self::UploadStalled { .. }
            | Self::Engine(
                SendError::Dial { .. } | SendError::Broke { .. } | SendError::Late { .. } | SendError::Overlong { .. },
            )
            | Self::HungUp(_)
            | Self::NoAnswer { .. }
            | Self::UnaskedUpgrade
            | Self::NotWithKey(_) => {}
        }
    }
}

/// Ends a WebSocket where HTTP would have this status (RFC 6455, section 7.4, and what IANA added): later, if another try may
/// help; else whoever did what he may not.
pub(super) fn close_code(status: StatusCode) -> u16 {
    const WRONG: u16 = 1008;
    const BROKEN: u16 = 1011;
    const LATER: u16 = 1013;
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => LATER,
        status if status.is_client_error() => WRONG,
        _ => BROKEN,
    }
}

fn put_retry_after(headers: &mut HeaderMap, after: Duration) {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    let (least, most) = RETRY_AFTER_BOUNDS;
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds.clamp(least, most)));
}

fn managed_kind(why: &NotManaged) -> Kind {
    use StatusCode as S;
    const REQUEST: &str = "invalid_request_error";
    match why {
        NotManaged::Forbidden(_) => kind(S::FORBIDDEN, REQUEST, "permission_error", "not_allowed"),
        NotManaged::Wrong(_) => kind(S::BAD_REQUEST, REQUEST, REQUEST, "invalid_instance"),
        NotManaged::Conflict(_) => kind(S::CONFLICT, REQUEST, REQUEST, "instance_conflict"),
    }
}

fn refusal_kind(refusal: &Refusal) -> Kind {
    let unavailable = |code| kind(StatusCode::SERVICE_UNAVAILABLE, "server_error", "overloaded_error", code);
    match refusal {
        Refusal::Failed { diagnosis, .. } => unavailable(diagnosis.code),
        Refusal::TooManyWaiting { .. } => {
            kind(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "rate_limit_error", "too_many_waiting")
        }
        Refusal::Stopped => unavailable("engine_stopped"),
        Refusal::ShuttingDown => unavailable("shutting_down"),
    }
}

fn refusal_words(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Failed { diagnosis, .. } if diagnosis.remedy.is_empty() => diagnosis.summary.clone(),
        Refusal::Failed { diagnosis, .. } => format!("{}; {}", diagnosis.summary, diagnosis.remedy),
        Refusal::TooManyWaiting { limit } => {
            format!("{limit} requests wait for the engine already, as many as may; try again soon")
        }
        Refusal::Stopped => "the engine was stopped by its owner; a new request starts it again".to_owned(),
        Refusal::ShuttingDown => {
            "this instance is being ended: somebody deleted it, or its proxy is stopped".to_owned()
        }
    }
}

fn send_kind(error: &SendError) -> Kind {
    let late = kind(StatusCode::GATEWAY_TIMEOUT, "server_error", "timeout_error", "engine_timeout");
    let broke = |code| kind(StatusCode::BAD_GATEWAY, "server_error", "api_error", code);
    let away = |code| kind(StatusCode::SERVICE_UNAVAILABLE, "server_error", "overloaded_error", code);
    match error {
        SendError::Dial { source, .. } if timed_out(source.as_ref()) => late,
        SendError::Dial { .. } => broke("engine_unreachable"),
        SendError::Link(LinkDown::Away { .. }) => away("link_down"),
        SendError::Link(LinkDown::NeedsLogin { .. }) => away(LOGIN_REQUIRED),
        SendError::Route(_) => away("route_broken"),
        SendError::Broke { source, .. } if link_was_lost(source.as_ref()) => broke("link_lost"),
        SendError::Broke { .. } | SendError::Overlong { .. } => broke("engine_broke_off"),
        SendError::Late { .. } => late,
    }
}

fn hung_up_words(why: HungUp, when: &str) -> String {
    match why {
        HungUp::Ended => format!("the engine was stopped {when}; ask again, and it is started again"),
        HungUp::Hangs => format!("the engine hung {when}, and is being ended; ask again, and it is started again"),
    }
}

fn engine_words(error: &SendError) -> String {
    match error {
        SendError::Dial { source, .. } => format!("{error}: {}", root_words(source.as_ref())),
        SendError::Broke { source, .. } if link_was_lost(source.as_ref()) => {
            "the connection to the host was lost before \
            the engine answered; it may have worked on this request, so it was not sent again by itself"
                .to_owned()
        }
        SendError::Link(_)
        | SendError::Route(_)
        | SendError::Broke { .. }
        | SendError::Late { .. }
        | SendError::Overlong { .. } => error.to_string(),
    }
}

/// The innermost cause: what is around it speaks of our client, which is no concern of the user's.
fn root_words(error: &(dyn std::error::Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn timed_out(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
    })
}

/// An error and what caused it, outermost first.
pub(super) fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
