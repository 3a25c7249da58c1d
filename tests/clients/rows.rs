//! The clients: one row of the table each.

use serde::Serialize;

/// One client, talking one API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// What people call it.
    pub(crate) title: &'static str,
    pub(crate) api: Api,
    /// What runs it.
    pub(crate) by: By,
    /// What its driver calls it.
    pub(crate) client: &'static str,
}

/// The APIs that the clients talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Api {
    Chat,
    Completions,
    Responses,
    Messages,
}

/// What runs a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    PythonNew,
    PythonOld,
    Node,
    Curl,
}

impl By {
    /// The drivers, and the clients that each of them loads.
    pub(crate) const DRIVERS: [(Self, &'static [&'static str]); 3] = [
        (Self::PythonNew, &["openai", "anthropic", "langchain"]),
        (Self::PythonOld, &["openai"]),
        (Self::Node, &["openai-7", "openai-6", "anthropic", "ai-7", "ai-6"]),
    ];
}

impl Api {
    /// The API's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }
}

impl Row {
    /// All rows, in the table's order.
    pub(crate) const ALL: [Self; 18] = [
        row("openai-python", By::PythonNew, "openai", Api::Chat),
        row("openai-python", By::PythonNew, "openai", Api::Completions),
        row("openai-python", By::PythonNew, "openai", Api::Responses),
        row("openai-python", By::PythonOld, "openai", Api::Chat),
        row("openai-python", By::PythonOld, "openai", Api::Completions),
        row("openai-python", By::PythonOld, "openai", Api::Responses),
        row("openai-node", By::Node, "openai-7", Api::Chat),
        row("openai-node", By::Node, "openai-7", Api::Completions),
        row("openai-node", By::Node, "openai-7", Api::Responses),
        row("openai-node", By::Node, "openai-6", Api::Chat),
        row("openai-node", By::Node, "openai-6", Api::Completions),
        row("openai-node", By::Node, "openai-6", Api::Responses),
        row("anthropic, Python", By::PythonNew, "anthropic", Api::Messages),
        row("anthropic, Node", By::Node, "anthropic", Api::Messages),
        row("LangChain (langchain-openai)", By::PythonNew, "langchain", Api::Chat),
        row("Vercel AI SDK", By::Node, "ai-7", Api::Chat),
        row("Vercel AI SDK", By::Node, "ai-6", Api::Chat),
        row("curl", By::Curl, "curl", Api::Chat),
    ];

    /// A name that no other row has.
    pub(crate) fn name(&self) -> String {
        format!("{:?} {} {}", self.by, self.client, self.api.name())
    }
}

const fn row(title: &'static str, by: By, client: &'static str, api: Api) -> Row {
    Row { title, api, by, client }
}
