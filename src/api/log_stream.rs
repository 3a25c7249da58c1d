//! Which of its two streams an engine wrote a line to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the two streams that every program has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Between a line and the stream that it came from, where the log is kept.
const BETWEEN: &str = " | ";

impl LogStream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// A line as it is kept: with its stream before it.
    #[must_use]
    pub fn mark(self, line: &str) -> String {
        format!("{self}{BETWEEN}{line}")
    }

    /// A kept line, and where it came from; none: the engine did not write it.
    #[must_use]
    pub fn split(kept: &str) -> (Option<Self>, &str) {
        let of = |stream: Self| Some((stream, kept.strip_prefix(&stream.to_string())?.strip_prefix(BETWEEN)?));
        Self::ALL.into_iter().find_map(of).map_or((None, kept), |(stream, line)| (Some(stream), line))
    }
}

impl fmt::Display for LogStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_line_is_found_again() {
        for stream in LogStream::ALL {
            for line in ["", "stdout | x", "INFO"] {
                assert_eq!(LogStream::split(&stream.mark(line)), (Some(stream), line));
            }
        }
        for own in ["--- asked for ---", "stdout: x", "", "stderr"] {
            assert_eq!(LogStream::split(own), (None, own));
        }
    }
}
