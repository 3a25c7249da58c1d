//! What each request is to a sleeping engine. The table classifies; it never limits what is forwarded.

use std::collections::HashMap;

use http::Method;

use super::table::ROWS;

/// What a request may do to the engine, and what it gets while there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Wakes the engine, waits for it, and counts as activity.
    Inference,
    /// Wakes the engine and waits, but does not count: a tokenizer works without the GPU.
    Helper,
    /// Wakes nothing: answered here while there is no engine.
    Info(Asleep),
    /// The list of models, or one of them: answered here where the names are known, and may start the engine.
    Models,
    /// Changes the engine: never wakes it, refused while there is none.
    Admin,
    /// Asks for what an engine keeps in its memory: it went with the engine.
    Followup,
    /// On no list.
    Unknown,
}

/// How a request for information is answered while there is no engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asleep {
    /// 200 without a body: we are alive, and a request would be served.
    Alive,
    /// 200 with some text, for those who look with a browser.
    Greeting,
    /// vLLM's version, unknown.
    Version,
    /// vLLM's load: none.
    Load,
    /// vLLM's `/is_sleeping`: true.
    Sleeping,
    /// `{}`.
    Nothing,
    /// Whether the engine is being scaled: no.
    NotScaling,
    /// 404 for one instance. For all of them: ours, and their engines'.
    Metrics,
    /// Ollama's list of models.
    OllamaTags,
    /// Ollama's list of loaded models: none.
    OllamaLoaded,
    /// Ollama's version, unknown.
    OllamaVersion,
    /// 404: a page that comes from the engine alone.
    Missing,
    /// 503: only the engine could say.
    Unavailable,
}

/// A set of methods.
pub(super) type Methods = u8;
pub(super) const GET: Methods = 1;
pub(super) const POST: Methods = 2;
pub(super) const PUT: Methods = 4;
pub(super) const DELETE: Methods = 8;
const OTHER: Methods = 16;
pub(super) const ANY: Methods = GET | POST | PUT | DELETE | OTHER;

/// The table, made ready for looking up.
#[derive(Debug)]
pub(super) struct Routes {
    exact: HashMap<&'static str, Vec<(Methods, Class)>>,
    patterns: Vec<(Methods, &'static str, Class)>,
}

impl Routes {
    pub(super) fn new() -> Self {
        let mut routes = Self { exact: HashMap::new(), patterns: Vec::new() };
        for &(methods, path, class) in ROWS {
            if path.contains(['{', '*']) {
                routes.patterns.push((methods, path, class));
            } else {
                routes.exact.entry(path).or_default().push((methods, class));
            }
        }
        routes
    }

    /// What a request is. `HEAD` is looked up as `GET`; whether it wakes is for the caller to ask.
    pub(super) fn classify(&self, method: &Method, path: &str) -> Class {
        let method = bit(method);
        let path = without_slash(path);
        let exact = self.exact.get(path).into_iter().flatten().find(|(methods, _)| methods & method != 0);
        let pattern = || {
            let fits = |row: &&(Methods, &'static str, Class)| row.0 & method != 0 && matches(row.1, path);
            self.patterns.iter().find(fits).map(|(_, _, class)| *class)
        };
        exact.map(|(_, class)| *class).or_else(pattern).unwrap_or(Class::Unknown)
    }
}

/// A path without a trailing slash, unless it is nothing else.
pub(super) fn without_slash(path: &str) -> &str {
    match path.strip_suffix('/') {
        Some("") | None => path,
        Some(path) => path,
    }
}

fn bit(method: &Method) -> Methods {
    match *method {
        Method::GET | Method::HEAD => GET,
        Method::POST => POST,
        Method::PUT => PUT,
        Method::DELETE => DELETE,
        _ => OTHER,
    }
}

/// `{}` stands for one segment that is not empty, `*` at the end for any rest.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (Some("*"), _) | (None, None) => return true,
            (Some("{}"), Some(segment)) if !segment.is_empty() => {}
            (Some(wanted), Some(segment)) if wanted == segment => {}
            (Some(_), _) | (None, Some(_)) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, Endpoint};
    use test_case::test_case;

    #[test_case("POST", "/v1/chat/completions" => Class::Inference)]
    #[test_case("POST", "/v1/chat/completions/" => Class::Inference; "a trailing slash")]
    #[test_case("GET", "/v1/chat/completions" => Class::Unknown; "no such method")]
    #[test_case("POST", "/v1/completions" => Class::Inference)]
    #[test_case("POST", "/v1/messages" => Class::Inference)]
    #[test_case("POST", "/v1/messages/count_tokens" => Class::Helper)]
    #[test_case("POST", "/v1/responses" => Class::Inference)]
    #[test_case("GET", "/v1/responses/r_1" => Class::Followup)]
    #[test_case("POST", "/v1/responses/r_1/cancel" => Class::Followup)]
    #[test_case("POST", "/v1/responses/input_tokens" => Class::Helper)]
    #[test_case("POST", "/v1/audio/transcriptions" => Class::Inference)]
    #[test_case("POST", "/v1/embeddings" => Class::Inference)]
    #[test_case("PUT", "/generate" => Class::Inference)]
    #[test_case("POST", "/api/chat" => Class::Inference)]
    #[test_case("POST", "/api/show" => Class::Info(Asleep::Unavailable))]
    #[test_case("DELETE", "/api/delete" => Class::Admin)]
    #[test_case("POST", "/tokenize" => Class::Helper)]
    #[test_case("GET", "/tokenizer_info" => Class::Helper)]
    #[test_case("GET", "/v1/models" => Class::Models)]
    #[test_case("HEAD", "/v1/models" => Class::Models; "head as get")]
    #[test_case("GET", "/v1/models/org/name" => Class::Models; "a model's name may have a slash")]
    #[test_case("POST", "/models/load" => Class::Admin)]
    #[test_case("GET", "/ping" => Class::Info(Asleep::Alive))]
    #[test_case("POST", "/ping" => Class::Info(Asleep::Alive); "post ping")]
    #[test_case("GET", "/metrics" => Class::Info(Asleep::Metrics))]
    #[test_case("GET", "/metrics/x/y" => Class::Info(Asleep::Metrics); "a mounted app")]
    #[test_case("GET", "/" => Class::Info(Asleep::Greeting))]
    #[test_case("GET", "/props" => Class::Info(Asleep::Unavailable))]
    #[test_case("POST", "/props" => Class::Admin)]
    #[test_case("POST", "/slots/3" => Class::Admin)]
    #[test_case("POST", "/sleep" => Class::Admin)]
    #[test_case("GET", "/flush_cache" => Class::Admin)]
    #[test_case("DELETE", "/adapters/x" => Class::Admin)]
    #[test_case("POST", "/v1/made/up" => Class::Unknown)]
    #[test_case("PATCH", "/v1/models" => Class::Unknown)]
    fn classes(method: &str, path: &str) -> Class {
        Routes::new().classify(&Method::from_bytes(method.as_bytes()).unwrap_or_default(), path)
    }

    #[test]
    fn no_row_hides_another() {
        for (at, (methods, path, _)) in ROWS.iter().enumerate() {
            let twin = ROWS.iter().skip(at + 1).find(|(other, twin, _)| twin == path && other & methods != 0);
            assert_eq!(twin, None, "{path}");
            assert!(path.starts_with('/') && (*path == "/" || !path.ends_with('/')), "{path}");
        }
    }

    #[test]
    fn all_that_engines_are_known_to_serve_has_a_class() {
        let routes = Routes::new();
        // Ours before we look at the table; and an upgrade, whatever its path.
        let elsewhere = |endpoint: &&Endpoint| endpoint.path == "/health" || endpoint.method == "WS";
        for endpoint in Backend::ALL.into_iter().flat_map(Backend::endpoints).filter(|endpoint| !elsewhere(endpoint)) {
            let method = if endpoint.method == "POST" { Method::POST } else { Method::GET };
            assert_ne!(routes.classify(&method, endpoint.path), Class::Unknown, "{}", endpoint.path);
        }
    }
}
