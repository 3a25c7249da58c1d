//! What an engine serves.

use super::kind::Backend;

/// A route of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A short name, such as `chat`.
    pub name: &'static str,
    /// The method, such as `POST`; `WS` for a WebSocket.
    pub method: &'static str,
    /// The path, such as `/v1/chat/completions`.
    pub path: &'static str,
    /// What it depends on, such as a flag of the engine's; empty: it is always there, or as the model is.
    pub needs: &'static str,
}

impl Endpoint {
    /// A route that is always there, or as the model is.
    #[must_use]
    pub const fn new(name: &'static str, method: &'static str, path: &'static str) -> Self {
        Self { name, method, path, needs: "" }
    }

    /// The same, which depends on something.
    #[must_use]
    pub const fn needs(self, needs: &'static str) -> Self {
        Self { needs, ..self }
    }
}

impl Backend {
    /// What this kind of engine serves.
    #[must_use]
    pub fn endpoints(self) -> &'static [Endpoint] {
        self.profile().endpoints
    }

    /// The names of what this kind of engine serves, each with its address under `base`.
    #[must_use]
    pub fn list_endpoints(self, base: &str) -> Vec<(&'static str, String)> {
        let base = base.trim_end_matches('/');
        self.endpoints().iter().map(|endpoint| (endpoint.name, format!("{base}{}", endpoint.path))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::Backend;

    #[test]
    fn each_has_a_name_of_its_own_and_a_path() {
        for backend in Backend::ALL {
            let names: HashSet<_> = backend.endpoints().iter().map(|endpoint| endpoint.name).collect();
            assert_eq!(names.len(), backend.endpoints().len(), "{}", backend.name());
            for endpoint in backend.endpoints() {
                assert!(endpoint.path.starts_with('/') && !endpoint.path.ends_with('/'), "{}", endpoint.path);
                assert!(["GET", "POST", "WS"].contains(&endpoint.method), "{}", endpoint.path);
            }
            assert!(backend.endpoints().iter().any(|endpoint| backend.ready_paths().contains(&endpoint.path)));
        }
    }

    #[test]
    fn addresses_are_under_the_base() {
        let listed = Backend::Vllm.list_endpoints("http://localhost:8000/");
        assert!(listed.contains(&("chat", "http://localhost:8000/v1/chat/completions".to_owned())));
        assert!(listed.contains(&("health", "http://localhost:8000/health".to_owned())));
    }
}
