//! The script that fetches what an engine's own profiler wrote.

use super::profiled::folder_line;
use super::text::{Assignments, Nonce, Script, ScriptError};
use super::{Chdir, relay};
use crate::host::quote::quote_word;

const TRACES: &str = include_str!("traces.sh");

/// What is done with the traces of an engine, where it writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceStep {
    /// Note the moment before the first of them.
    Mark,
    /// Send what was written since.
    Send,
    /// Send nothing, and leave nothing behind.
    Forget,
}

impl TraceStep {
    fn call(self) -> &'static str {
        match self {
            Self::Mark => "mark_traces",
            Self::Send => "send_traces",
            Self::Forget => "forget_mark",
        }
    }
}

/// Becomes `launcher`, or a shell, which does this in `folder`, as an engine in `chdir` calls it. `nonce` frames what it says,
/// and names the mark.
///
/// # Errors
/// A word cannot be written.
pub fn traces(
    step: TraceStep,
    launcher: &[String],
    chdir: &Chdir,
    folder: &str,
    nonce: &Nonce,
) -> Result<Script, ScriptError> {
    let go = format!("{}{}CDPATH='' cd -- \"$llm_proxy_profiles\" || exit\n", chdir.line()?, folder_line(folder)?);
    let mark = quote_word(&format!(".{}", nonce.as_str()))?;
    let set = Assignments::default().set("NONCE", nonce.as_str())?;
    let text = set.then(&[&go, "MARK=", &mark, "\n", TRACES, step.call(), "\n"]);
    let shell = ["/bin/sh", "-c", text.expose()].map(str::to_owned);
    relay(&[launcher, &shell].concat())
}
