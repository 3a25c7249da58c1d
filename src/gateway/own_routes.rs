//! The paths that are ours. One table: requests are dispatched by it, and the API's description is made of it, so that neither
//! can say what the other does not.

use http::Method;
use http::request::Parts;

use super::choose::decode;
use super::manage::Managed;
use super::routes::without_slash;

/// Where an instance's name stands in a path.
const NAME: &str = "/{id}";

/// One route.
pub(super) struct OwnRoute {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// Who answers.
    to: To,
    /// What it does, in a few words.
    pub(super) summary: &'static str,
    /// What it answers where all is well: the status, and what.
    pub(super) answers: &'static [(u16, Says)],
    /// What it may answer else: always an error.
    pub(super) faults: &'static [u16],
}

enum To {
    /// Asked of all.
    All(fn() -> Ours),
    /// Asked of one.
    One(fn(String) -> Ours),
    /// Answered before, or after, this table is looked at. It stands here to be described.
    Elsewhere,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Instances,
    Instance,
    LogPage,
    /// A log, as text.
    Log,
    Events,
    Metrics,
    Page,
    Description,
    Health,
    Models,
}

/// A request to one of our paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ours {
    /// For whoever manages the instances.
    Managed(Managed),
    /// `GET /events`.
    Events,
    /// `GET /dashboard`.
    Dashboard,
    /// The description of the API, to read.
    Docs {
        /// Whether engines have this path as well.
        shared: bool,
    },
    /// The description of the API, for programs.
    Description {
        /// Whether engines have this path as well.
        shared: bool,
    },
    /// The path is ours, the method is not.
    NoMethod {
        /// Those that are.
        allowed: String,
    },
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const INSTANCE: &[(u16, Says)] = &[(200, Says::Instance)];
const ACCEPTED: &[(u16, Says)] = &[(202, Says::Instance)];
const CREATED: &[(u16, Says)] = &[(200, Says::Instance), (201, Says::Instance)];

/// All of them.
pub(super) static ROUTES: &[OwnRoute] = &[
    OwnRoute {
        method: GET,
        path: "/health",
        to: To::Elsewhere,
        summary: "Whether the proxy lives. Asks for no key, wakes no engine",
        answers: &[(200, Says::Health)],
        faults: &[],
    },
    OwnRoute {
        method: GET,
        path: "/instances",
        to: To::All(|| Ours::Managed(Managed::List)),
        summary: "All instances",
        answers: &[(200, Says::Instances)],
        faults: &[],
    },
    OwnRoute {
        method: POST,
        path: "/instances",
        to: To::All(|| Ours::Managed(Managed::Create { id: "instance_id" })),
        summary: "Make an instance and start its engine, or find the one that is there",
        answers: CREATED,
        faults: &[400, 403, 409],
    },
    OwnRoute {
        method: GET,
        path: "/instances/{id}",
        to: To::One(|name| Ours::Managed(Managed::Status { id: "instance_id", name })),
        summary: "Where an instance stands",
        answers: INSTANCE,
        faults: &[404],
    },
    OwnRoute {
        method: Method::DELETE,
        path: "/instances/{id}",
        to: To::One(|name| Ours::Managed(Managed::Delete { name })),
        summary: "End and forget an instance that a caller made",
        answers: ACCEPTED,
        faults: &[403, 404],
    },
    OwnRoute {
        method: POST,
        path: "/launch",
        to: To::All(|| Ours::Managed(Managed::Create { id: "launch_id" })),
        summary: "The same as POST /instances, with the id as launch_id",
        answers: CREATED,
        faults: &[400, 403, 409],
    },
    OwnRoute {
        method: GET,
        path: "/status/{id}",
        to: To::One(|name| Ours::Managed(Managed::Status { id: "launch_id", name })),
        summary: "Where an instance stands",
        answers: INSTANCE,
        faults: &[404],
    },
    OwnRoute {
        method: GET,
        path: "/logs/{id}",
        to: To::One(|name| Ours::Managed(Managed::Log { name })),
        summary: "An engine's log: a part of it as JSON; by Range, or with follow=true for as long as it grows, as text",
        answers: &[(200, Says::LogPage), (206, Says::Log)],
        faults: &[400, 404, 416],
    },
    OwnRoute {
        method: POST,
        path: "/start/{id}",
        to: To::One(|name| Ours::Managed(Managed::Start { name })),
        summary: "Start an engine, without waiting for it",
        answers: ACCEPTED,
        faults: &[400, 404, 409],
    },
    OwnRoute {
        method: POST,
        path: "/stop/{id}",
        to: To::One(|name| Ours::Managed(Managed::Stop { name })),
        summary: "End an engine, without waiting for it; the next request starts it again",
        answers: ACCEPTED,
        faults: &[404],
    },
    OwnRoute {
        method: GET,
        path: "/events",
        to: To::All(|| Ours::Events),
        summary: "What happens to the instances, as it happens (server-sent events); Last-Event-ID goes on where it was left",
        answers: &[(200, Says::Events)],
        faults: &[],
    },
    OwnRoute {
        method: GET,
        path: "/metrics",
        to: To::Elsewhere,
        summary: "Prometheus: ours, and those of each engine that is ready",
        answers: &[(200, Says::Metrics)],
        faults: &[],
    },
    OwnRoute {
        method: GET,
        path: "/dashboard",
        to: To::All(|| Ours::Dashboard),
        summary: "All instances on one page",
        answers: &[(200, Says::Page)],
        faults: &[],
    },
    OwnRoute {
        method: GET,
        path: "/dashboard/docs",
        to: To::All(|| Ours::Docs { shared: false }),
        summary: "This description, to read",
        answers: &[(200, Says::Page)],
        faults: &[],
    },
    OwnRoute {
        method: GET,
        path: "/docs",
        to: To::All(|| Ours::Docs { shared: true }),
        summary: "The same; with one command, its engine's own",
        answers: &[(200, Says::Page)],
        faults: &[],
    },
    OwnRoute {
        method: GET,
        path: "/dashboard/openapi.json",
        to: To::All(|| Ours::Description { shared: false }),
        summary: "This description, for programs",
        answers: &[(200, Says::Description)],
        faults: &[],
    },
    OwnRoute {
        method: GET,
        path: "/openapi.json",
        to: To::All(|| Ours::Description { shared: true }),
        summary: "The same; with one command, its engine's own",
        answers: &[(200, Says::Description)],
        faults: &[],
    },
    OwnRoute {
        method: GET,
        path: "/v1/models",
        to: To::Elsewhere,
        summary: "The models of all instances",
        answers: &[(200, Says::Models)],
        faults: &[],
    },
];

impl Ours {
    /// Nothing where the path is an engine's.
    pub(super) fn of(head: &Parts) -> Option<Self> {
        let path = without_slash(head.uri.path());
        let method = if head.method == Method::HEAD { &GET } else { &head.method };
        let mut allowed = Vec::new();
        for route in ROUTES {
            let Some(ours) = route.matches(path) else { continue };
            if route.method == *method {
                return Some(ours);
            }
            allowed.push(route.method.as_str());
        }
        (!allowed.is_empty()).then(|| Self::NoMethod { allowed: allowed.join(", ") })
    }

    /// Whether it is ours where there is but one instance, of this name: what else is asked then may be its engine's.
    pub(super) fn is_about(&self, sole: &str) -> bool {
        match self {
            Self::Managed(managed) => managed.is_about(sole),
            Self::Events | Self::Dashboard => true,
            Self::NoMethod { .. } => false,
            Self::Docs { shared } | Self::Description { shared } => !shared,
        }
    }
}

impl OwnRoute {
    /// Whether an instance's name is in its path.
    pub(super) fn is_of_one(&self) -> bool {
        self.path.ends_with(NAME)
    }

    /// Whether its body describes an instance.
    pub(super) fn takes_wanted(&self) -> bool {
        match &self.to {
            To::All(of) => matches!(of(), Ours::Managed(Managed::Create { .. })),
            To::One(_) | To::Elsewhere => false,
        }
    }

    fn matches(&self, path: &str) -> Option<Ours> {
        match &self.to {
            To::All(of) => (path == self.path).then(of),
            To::One(of) => {
                let name = path.strip_prefix(self.path.strip_suffix(NAME)?)?.strip_prefix('/')?;
                (!name.is_empty() && !name.contains('/')).then(|| of(decode(name)))
            }
            To::Elsewhere => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use http::Request;
    use test_case::test_case;

    use super::*;

    #[test_case("GET", "/instances/" => "List"; "a slash at the end")]
    #[test_case("HEAD", "/instances" => "List"; "head as get")]
    #[test_case("PUT", "/instances" => "NoMethod { allowed: \"GET, POST\" }")]
    #[test_case("PATCH", "/instances/a" => "NoMethod { allowed: \"GET, DELETE\" }")]
    #[test_case("GET", "/logs/a%2Fb" => "Log { name: \"a/b\" }"; "a slash in a name")]
    #[test_case("GET", "/logs/a/b" => "none"; "a path of an engine's")]
    #[test_case("GET", "/logs" => "none"; "no name")]
    #[test_case("GET", "/instances2" => "none"; "another word")]
    #[test_case("POST", "/start/a" => "Start { name: \"a\" }")]
    #[test_case("GET", "/health" => "none"; "answered before")]
    #[test_case("GET", "/docs" => "Docs { shared: true }")]
    #[test_case("POST", "/events" => "NoMethod { allowed: \"GET\" }")]
    #[test_case("POST", "/v1/chat/completions" => "none")]
    fn dispatch(method: &str, path: &str) -> String {
        let (head, ()) = Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        match Ours::of(&head) {
            Some(Ours::Managed(managed)) => format!("{managed:?}"),
            Some(ours) => format!("{ours:?}"),
            None => "none".to_owned(),
        }
    }
}
