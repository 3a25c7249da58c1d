//! What a client is told.

use serde::{Deserialize, Serialize};

use super::{LogStream, Status};

/// One line of what a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Where the instance stands.
    Status(Box<Status>),
    /// A line of the engine's log.
    Log(LogLine),
    /// How far something is.
    Progress(Progress),
    /// Something for a person.
    Question(Question),
    /// What was asked for is done. The last line.
    Done(Done),
    /// It is not. The last line.
    Failed(Failure),
}

/// How far something is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// In words.
    pub words: String,
}

/// A line of the engine's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Where the engine wrote it; none: it is this program's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<LogStream>,
    /// Without secrets, and without what could command a terminal.
    pub line: String,
}

impl LogLine {
    /// Of a line as it is kept.
    #[must_use]
    pub fn of_kept(kept: &str) -> Self {
        let (stream, line) = LogStream::split(kept);
        Self { stream, line: line.to_owned() }
    }
}

/// Something for a person: words, and what is to be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Which one of this conversation it is: its answers name it.
    pub number: u64,
    /// Words above the prompts; empty where there is nothing to say.
    pub words: String,
    /// What is asked; none where the words are only to be read, and then too an answer is awaited.
    pub prompts: Vec<Prompt>,
}

/// One line that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// What stands before the place of the answer.
    pub text: String,
    /// Whether the answer may be seen while it is typed.
    pub echo: bool,
}

/// What was asked for is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What is so now, in words.
    pub words: String,
}

/// What was asked for is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Of what kind it is: the exit code depends on it.
    pub kind: FailureKind,
    /// What failed.
    pub what: String,
    /// What to do about it, where there is something to say.
    pub hint: Option<String>,
}

/// What kind of thing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Something.
    Failure,
    /// What was asked for makes no sense.
    Usage,
    /// Who we are, or how we show it.
    Authentication,
    /// Who the host is, or how we know it.
    HostKey,
}
