//! An engine as a value.

use std::collections::BTreeMap;
use std::ops::Deref;

use super::life::Life;
use super::{Options, ServerError, plan};
use crate::backend::Backend;

/// What an OpenAI-compatible engine answers, by a name for people and programs.
const ENDPOINTS: [(&str, &str); 5] = [
    ("health", "/health"),
    ("models", "/v1/models"),
    ("chat", "/v1/chat/completions"),
    ("completions", "/v1/completions"),
    ("embeddings", "/v1/embeddings"),
];

/// An engine, and the API before it. Stopped when it is dropped.
///
/// Its calls block, also those of `drop`: from async code call them by `tokio::task::spawn_blocking`.
pub struct InferenceServer {
    backend: Backend,
    model: String,
    options: Options,
    life: Option<Life>,
}

/// A server that runs until this goes, at the end of its scope or by a panic.
pub struct Running<'a>(&'a mut InferenceServer);

/// A server for this model, which [`InferenceServer::start`] starts.
///
/// # Errors
/// The command cannot be run, nothing names the server, or a variable is none.
pub fn create_server(
    backend: Backend,
    model: impl Into<String>,
    options: Options,
) -> Result<InferenceServer, ServerError> {
    let model = model.into();
    // What is wrong is told here, and not when it is started.
    plan::settings(backend, &model, &options)?;
    Ok(InferenceServer { backend, model, options, life: None })
}

impl InferenceServer {
    /// Starts the engine; returns when it answers.
    ///
    /// # Errors
    /// It runs already, cannot be started, or its engine did not come up; then nothing is left of it.
    pub fn start(&mut self) -> Result<(), ServerError> {
        if self.life.is_some() {
            return Err(ServerError::Runs);
        }
        let (settings, instance) = plan::settings(self.backend, &self.model, &self.options)?;
        self.life = Some(Life::begin(settings, instance)?);
        Ok(())
    }

    /// Ends the engine, once what is in flight is finished; returns when it is seen to be gone. Nothing is done where it
    /// does not run.
    ///
    /// # Errors
    /// Something of it could not be ended.
    pub fn stop(&mut self) -> Result<(), ServerError> {
        let left = self.life.take().map(|mut life| life.end()).unwrap_or_default();
        if left.is_empty() { Ok(()) } else { Err(ServerError::Left(left)) }
    }

    /// Starts it, and stops it when what is returned goes.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn run(&mut self) -> Result<Running<'_>, ServerError> {
        self.start()?;
        Ok(Running(self))
    }

    /// Whether it runs and its engine answers. One that ended by itself is started again by the next request.
    #[must_use]
    pub fn check_health(&self) -> bool {
        self.life.as_ref().is_some_and(Life::is_ready)
    }

    /// Where its API is served, such as `http://127.0.0.1:8085`; nothing before it runs where any free port is taken.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let address = match &self.life {
            Some(life) => life.address,
            None if self.options.port == 0 => return None,
            None => (self.options.host, self.options.port).into(),
        };
        Some(format!("http://{address}"))
    }

    /// The addresses of its API, by name; none where [`url`](Self::url) has nothing.
    #[must_use]
    pub fn list_endpoints(&self) -> BTreeMap<&'static str, String> {
        let url = self.url();
        let all = ENDPOINTS.iter().filter_map(|(name, path)| Some((*name, format!("{}{path}", url.as_ref()?))));
        all.collect()
    }

    /// Where anybody may ask how it is, without waking it.
    #[must_use]
    pub fn get_health_endpoint(&self) -> Option<String> {
        self.list_endpoints().remove("health")
    }

    /// The name of its backend.
    #[must_use]
    pub fn get_backend_name(&self) -> &'static str {
        self.backend.name()
    }

    /// The engine's command, but for its host and port, which are chosen where it runs. It may hold secrets.
    #[must_use]
    pub fn get_launch_command(&self) -> Vec<String> {
        plan::command(self.backend, &self.model, &self.options)
    }
}

impl Deref for Running<'_> {
    type Target = InferenceServer;

    fn deref(&self) -> &InferenceServer {
        self.0
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // What is left is known only to who calls `stop`.
        drop(self.0.stop());
    }
}
