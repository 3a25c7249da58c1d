//! The kinds of engine, and what differs between them.

use serde::{Deserialize, Serialize};

use super::profile::Profile;
use super::{custom, metrics, sglang, vllm};

/// A kind of engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// vLLM's OpenAI-compatible server.
    Vllm,
    /// `SGLang`'s server.
    Sglang,
    /// Anything else that speaks HTTP.
    Custom,
}

impl Backend {
    /// All kinds, in the order in which they are looked for in a command.
    pub const ALL: [Self; 3] = [Self::Vllm, Self::Sglang, Self::Custom];

    /// What is known of it.
    #[must_use]
    pub fn profile(self) -> &'static Profile {
        match self {
            Self::Vllm => &vllm::PROFILE,
            Self::Sglang => &sglang::PROFILE,
            Self::Custom => &custom::PROFILE,
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.profile().name
    }

    /// The environment variables by which the engine is given a key; none: it can only be given one in its command.
    #[must_use]
    pub fn key_variables(self) -> &'static [&'static str] {
        self.profile().key_variables
    }

    /// The flag by which the engine is told to listen on a Unix socket, where its kind has one.
    pub(super) fn socket_flag(self) -> Option<&'static str> {
        self.profile().socket_flag
    }

    /// Whether it can be told several names for its model.
    #[must_use]
    pub fn takes_several_names(self) -> bool {
        let profile = self.profile();
        profile.name_flag.is_some_and(|flag| profile.flags.several.contains(&flag))
    }

    /// The paths that tell whether the engine is ready, by a 200. The next is for a 404 at the one before.
    #[must_use]
    pub fn ready_paths(self) -> &'static [&'static str] {
        self.profile().ready_paths
    }

    /// How many requests the engine itself counts as running or waiting, by its Prometheus metrics.
    ///
    /// Nothing where they do not say.
    #[must_use]
    pub fn busy_from_metrics(self, text: &str) -> Option<u64> {
        metrics::sum(text, self.profile().busy_metrics)
    }

    /// The flag that says what the engine binds; the kinds that we know agree in it.
    pub const HOST_FLAG: &str = "--host";

    /// The flag that says the engine's port.
    pub const PORT_FLAG: &str = "--port";
}
