//! Which requests are inference, and which are management: the one table that keys are held to.

use http::Method;

use crate::config::KeyUse;
use crate::gateway::choose::{decode, engine_path, is_named};
use crate::gateway::routes::{Asleep, Class, Routes};

/// The first parts of the paths that are for operators, whatever is behind them.
const OPERATORS: [&str; 9] =
    ["instances", "launch", "status", "logs", "start", "stop", "events", "metrics", "dashboard"];

/// What a request is to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Kind {
    /// It has a model work, or asks for what one did.
    Inference,
    /// It looks after instances, or changes an engine.
    Management,
    /// It only looks at what every client may know.
    Look,
}

impl Kind {
    /// What this request is.
    pub(in crate::gateway) fn of(routes: &Routes, method: &Method, path: &str) -> Self {
        let of_engine = plain(engine_path(path));
        // As we read it, and as it would be without what disguises it: `/stop/..%2Fone` is for operators, too.
        let is_for_operators =
            |path: &str| path.split('/').find(|part| !part.is_empty()).is_some_and(|first| OPERATORS.contains(&first));
        if !is_named(path) && (is_for_operators(path) || is_for_operators(&of_engine)) {
            return Self::Management;
        }
        match routes.classify(method, &of_engine) {
            Class::Inference | Class::Helper | Class::Followup | Class::Unknown => Self::Inference,
            Class::Admin | Class::Info(Asleep::Metrics) => Self::Management,
            Class::Models | Class::Info(_) => Self::Look,
        }
    }

    /// Whether a key for `purpose` is good for it.
    pub(super) fn is_for(self, purpose: KeyUse) -> bool {
        match (self, purpose) {
            (Self::Look, _) | (_, KeyUse::Both) => true,
            (Self::Inference, purpose) => purpose == KeyUse::Inference,
            (Self::Management, purpose) => purpose == KeyUse::Management,
        }
    }

    /// In words that go on after "this request is".
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Management => "management",
            Self::Look => "a look",
        }
    }
}

/// The path without `%73` for `s`, empty segments and dots: an engine may read it as that, and `/%73leep` is `/sleep`.
fn plain(path: &str) -> String {
    let decoded = decode(path);
    let mut segments = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("POST", "/v1/chat/completions" => Kind::Inference)]
    #[test_case("POST", "/tokenize" => Kind::Inference)]
    #[test_case("GET", "/v1/responses/r_1" => Kind::Inference)]
    #[test_case("POST", "/v1/made/up" => Kind::Inference; "unknown")]
    #[test_case("POST", "/proxy/one/v1/completions" => Kind::Inference; "of one instance")]
    #[test_case("GET", "/v1/models" => Kind::Look)]
    #[test_case("GET", "/version" => Kind::Look)]
    #[test_case("GET", "/" => Kind::Look)]
    #[test_case("GET", "/docs" => Kind::Look)]
    #[test_case("GET", "/instances" => Kind::Management)]
    #[test_case("GET", "/instances/" => Kind::Management; "with a slash")]
    #[test_case("DELETE", "/instances/one" => Kind::Management; "of one")]
    #[test_case("POST", "/launch" => Kind::Management)]
    #[test_case("GET", "/status/one" => Kind::Management; "status")]
    #[test_case("GET", "/logs/one" => Kind::Management; "logs")]
    #[test_case("POST", "/start/one" => Kind::Management; "start")]
    #[test_case("POST", "/stop/one" => Kind::Management; "stop")]
    #[test_case("GET", "/events" => Kind::Management)]
    #[test_case("GET", "/metrics" => Kind::Management)]
    #[test_case("GET", "/dashboard" => Kind::Management)]
    #[test_case("GET", "/proxy/one/metrics" => Kind::Management; "an engine's metrics")]
    #[test_case("POST", "/sleep" => Kind::Management; "changes the engine")]
    #[test_case("POST", "/proxy/instances/sleep" => Kind::Management; "changes one engine")]
    #[test_case("POST", "/v1/load_lora_adapter" => Kind::Management; "loads code")]
    #[test_case("POST", "/%73leep" => Kind::Management; "with a letter in disguise")]
    #[test_case("POST", "//sleep" => Kind::Management; "with an empty segment")]
    #[test_case("POST", "/v1/../sleep" => Kind::Management; "with dots")]
    #[test_case("POST", "/v1/%2e%2e/sleep/" => Kind::Management; "with dots in disguise")]
    #[test_case("POST", "/proxy/a%2Fb/%73leep" => Kind::Management; "of one, in disguise")]
    #[test_case("GET", "/%6detrics" => Kind::Management; "metrics in disguise")]
    #[test_case("POST", "/stop/..%2Fone" => Kind::Management; "a name that looks like a way out")]
    #[test_case("DELETE", "/instances/%2e%2e%2fone" => Kind::Management; "the same in disguise")]
    #[test_case("GET", "/logs/../one" => Kind::Management; "the same undisguised")]
    #[test_case("GET", "/../.." => Kind::Look; "nothing but dots")]
    fn kinds(method: &str, path: &str) -> Kind {
        Kind::of(&Routes::new(), &Method::from_bytes(method.as_bytes()).unwrap_or_default(), path)
    }

    #[test_case(KeyUse::Inference => [true, false, true])]
    #[test_case(KeyUse::Management => [false, true, true])]
    #[test_case(KeyUse::Both => [true, true, true])]
    fn uses(purpose: KeyUse) -> [bool; 3] {
        [Kind::Inference, Kind::Management, Kind::Look].map(|kind| kind.is_for(purpose))
    }
}
