//! What is asked of the proxy as a whole, whatever models it has, and is answered here.

use http::{Method, Response};

use super::body::{ResponseBody, empty};
use super::choose::one_model;
use super::routes::{Asleep, Class};
use super::{asleep, metrics};
use crate::fleet::Roster;

/// What is asked of all instances together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum All {
    /// The list of models.
    Models,
    /// 200 without a body.
    Alive,
    /// Some text, for those who look with a browser.
    Greeting,
    /// The metrics of each instance: ours, and its engine's.
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

    pub(super) async fn answer(self, roster: &Roster) -> Response<ResponseBody> {
        match self {
            Self::Models => asleep::list(&roster.model_names()),
            Self::Alive => Response::new(empty()),
            Self::Greeting => asleep::text(greeting(roster)),
            Self::Metrics => metrics::answer(roster).await,
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
