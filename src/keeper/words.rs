//! What the keeper is told, one line each.

use std::fmt;

/// A word to a script of ours on the host. To the keeper it is sent only after the keeper's `hello` was seen: before that a shell may still be reading its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlWord {
    /// Starts the life: to a runner that is to launch, once it said on which machine it runs.
    Go,
    /// Renews the lease, if the number is greater than every earlier one of this life. At most 14 digits count.
    Alive(u64),
    /// Ends the engine in order.
    Stop,
    /// Ends the engine at once.
    StopNow,
}

impl ControlWord {
    /// The line to write, with its end: a line without its end is not obeyed.
    #[must_use]
    pub fn line(self) -> String {
        format!("{self}\n")
    }
}

impl fmt::Display for ControlWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Go => f.write_str("go"),
            Self::Alive(number) => write!(f, "alive {number}"),
            Self::Stop => f.write_str("stop"),
            Self::StopNow => f.write_str("stop-now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_one_line() {
        assert_eq!(ControlWord::Go.line(), "go\n");
        assert_eq!(ControlWord::Alive(7).line(), "alive 7\n");
        assert_eq!(ControlWord::Stop.line(), "stop\n");
        assert_eq!(ControlWord::StopNow.line(), "stop-now\n");
    }
}
