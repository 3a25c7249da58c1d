//! What there is to say about a server whose key has changed.

/// What else is known about a server whose key is another than the known one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedServer {
    /// What a user would type at a shell to come to it.
    pub by_hand: String,
    /// The user's file of known hosts, as a user would name it; empty where there is none.
    pub users_file: String,
    /// A line for a shell that prints the keys of the machines behind the name, as lines for a file of known hosts; `None`
    /// where there is no such line.
    pub key_scan: Option<String>,
    /// The host that vouches for it, and whose files are to be mended.
    pub vouched_by: Option<String>,
}
