//! Who is at the other end of a socket, as the system knows it.

use std::io;

use nix::unistd::geteuid;
use tokio::net::UnixStream;

/// The other end is not ours.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It belongs to somebody else.
    #[error("the other end of the control socket belongs to another user (uid {uid})")]
    Foreign {
        /// To whom.
        uid: u32,
    },
    /// The system does not say.
    #[error("who is at the other end of the control socket is not known: {0}")]
    Unknown(#[from] io::Error),
}

/// Goes on only with the same user: not even with root, who has no business there.
pub(super) fn check(stream: &UnixStream) -> Result<(), PeerError> {
    let uid = stream.peer_cred()?.uid();
    if uid == geteuid().as_raw() { Ok(()) } else { Err(PeerError::Foreign { uid }) }
}
