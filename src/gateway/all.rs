//! What is asked of the proxy as a whole, whatever models it has, and is answered here.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};

use super::asleep;
use super::body::{ResponseBody, empty, full};
use super::choose::one_model;
use super::routes::{Asleep, Class};
use crate::fleet::Roster;
use crate::instance::{Phase, Snapshot};

/// What is asked of all instances together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum All {
    /// The list of models.
    Models,
    /// 200 without a body.
    Alive,
    /// Some text, for those who look with a browser.
    Greeting,
    /// Our metrics, of each instance.
    Metrics,
    /// Ollama's list of models.
    OllamaTags,
    /// Ollama's version.
    OllamaVersion,
}

impl All {
    /// Nothing where it is asked of one.
    pub(super) fn of(class: Class, method: &Method, path: &str) -> Option<Self> {
        match class {
            Class::Models if one_model(path).is_none() && matches!(*method, Method::GET | Method::HEAD) => {
                Some(Self::Models)
            }
            Class::Info(Asleep::Alive) => Some(Self::Alive),
            Class::Info(Asleep::Greeting) => Some(Self::Greeting),
            Class::Info(Asleep::Metrics) => Some(Self::Metrics),
            Class::Info(Asleep::OllamaTags) => Some(Self::OllamaTags),
            Class::Info(Asleep::OllamaVersion) => Some(Self::OllamaVersion),
            Class::Models
            | Class::Info(_)
            | Class::Inference
            | Class::Helper
            | Class::Admin
            | Class::Followup
            | Class::Unknown => None,
        }
    }

    pub(super) fn answer(self, roster: &Roster) -> Response<ResponseBody> {
        match self {
            Self::Models => asleep::list(&roster.model_names()),
            Self::Alive => Response::new(empty()),
            Self::Greeting => asleep::text(greeting(roster)),
            Self::Metrics => metrics(roster),
            Self::OllamaTags => asleep::ollama_tags(&roster.model_names()),
            Self::OllamaVersion => asleep::ollama_version(),
        }
    }
}

fn greeting(roster: &Roster) -> String {
    let lines =
        roster.members().map(|member| format!("{} is {}\n", member.name(), member.handle.snapshot().phase.word()));
    format!("llm-proxy is running\n{}", lines.collect::<String>())
}

type Gauge = (&'static str, &'static str, fn(&Snapshot) -> usize);

const GAUGES: [Gauge; 3] = [
    ("llm_proxy_engine_ready", "Whether the engine answers.", |now| usize::from(now.phase == Phase::Ready)),
    ("llm_proxy_requests_in_flight", "Requests that hold the engine.", |now| now.in_flight),
    ("llm_proxy_requests_waiting", "Requests that wait for the engine.", |now| now.waiting),
];

/// An instance's name needs no escapes: it has letters, digits, dots, dashes and underscores.
fn metrics(roster: &Roster) -> Response<ResponseBody> {
    let now: Vec<_> = roster.members().map(|member| (member.name(), member.handle.snapshot())).collect();
    let gauges = GAUGES.map(|(name, help, value)| {
        let lines = now.iter().map(|(instance, now)| format!("{name}{{instance=\"{instance}\"}} {}\n", value(now)));
        format!("# HELP {name} {help}\n# TYPE {name} gauge\n{}", lines.collect::<String>())
    });
    let mut response = Response::new(full(gauges.concat()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}
