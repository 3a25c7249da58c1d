//! What was asked for goes to standard output, line by line.

use std::io::{self, Write as _};

use serde::Serialize;

use super::{Report, terminal};

/// Prints lines for a person: none of them can move the cursor.
pub(super) fn print(text: &str) -> Result<(), Report> {
    let text: String = text.lines().map(|line| terminal::visible(line) + "\n").collect();
    write(&text)
}

/// Prints one line for a program.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Report> {
    let line = serde_json::to_string(value).map_err(Report::failure)?;
    write(&(line + "\n"))
}

/// Writes what is safe to be shown already.
pub(super) fn write(text: &str) -> Result<(), Report> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| {
        // `llm-proxy logs | head` has seen what it wanted to see.
        if error.kind() == io::ErrorKind::BrokenPipe { Report::silent() } else { Report::failure(error) }
    })
}
