//! How a server let us in.

/// How a server let us in: what it asked for, and what was right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entrance {
    /// The methods that it offered last, as it names them; none where it asked for nothing.
    pub offered: Vec<String>,
    /// What was right, each with where it came from; several where the server wanted more than one.
    pub by: Vec<String>,
}
