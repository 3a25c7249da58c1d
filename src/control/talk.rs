//! One JSON object a line, both ways, in bounds.

use std::io;

use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The longest line, in bytes: a line of an engine's log is the longest that there is, and shorter than this.
const LONGEST_LINE: usize = 64 * 1024;

/// What was said is not understood.
#[derive(Debug, thiserror::Error)]
pub enum TalkError {
    /// The socket broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line has no end.
    #[error("a line of the control socket is longer than {LONGEST_LINE} bytes")]
    TooLong,
    /// A line is not of the expected form.
    #[error("a line of the control socket is not understood: {0}")]
    Garbled(String),
}

/// A conversation. Passwords may pass, so what was read and written is wiped.
pub(super) struct Talk {
    stream: UnixStream,
    /// Never grows, or it would leave copies behind.
    read: Zeroizing<Box<[u8]>>,
    filled: usize,
    written: Zeroizing<Vec<u8>>,
}

impl Talk {
    pub(super) fn new(stream: UnixStream) -> Self {
        let read = Zeroizing::new(vec![0; LONGEST_LINE].into_boxed_slice());
        Self { stream, read, filled: 0, written: Zeroizing::new(Vec::with_capacity(LONGEST_LINE)) }
    }

    /// Says something.
    pub(super) async fn say(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.written.clear();
        serde_json::to_writer(&mut *self.written, message)?;
        self.written.push(b'\n');
        self.stream.write_all(&self.written).await
    }

    /// Hears something; nothing where the other one left. Cancelling loses nothing.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<T>, TalkError> {
        loop {
            let heard = self.read.get(..self.filled).unwrap_or_default();
            if let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
                let message = serde_json::from_slice(heard.get(..end).unwrap_or_default());
                self.forget(end + 1);
                return message.map(Some).map_err(|error| garbled(&error));
            }
            let Some(room) = self.read.get_mut(self.filled..).filter(|room| !room.is_empty()) else {
                return Err(TalkError::TooLong);
            };
            match self.stream.read(room).await? {
                0 => return Ok(None),
                more => self.filled += more,
            }
        }
    }

    /// Wipes what was read up to there, and moves the rest to the front.
    fn forget(&mut self, length: usize) {
        self.read.copy_within(length..self.filled, 0);
        self.filled -= length;
        if let Some(rest) = self.read.get_mut(self.filled..) {
            rest.fill(0);
        }
    }
}

/// Says where, and not what: an error of the reader's repeats what it met, which may be a password.
fn garbled(error: &serde_json::Error) -> TalkError {
    TalkError::Garbled(format!("byte {}", error.column()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[tokio::test]
    async fn lines_come_whole_in_pieces_and_in_bounds() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let mut talk = Talk::new(near);
        far.write_all(b"[1]\n[2,3]\n[4").await.unwrap();
        assert_eq!(talk.hear::<Vec<u32>>().await.unwrap(), Some(vec![1]));
        assert_eq!(talk.hear::<Vec<u32>>().await.unwrap(), Some(vec![2, 3]));
        far.write_all(b"]\nnonsense\n").await.unwrap();
        assert_eq!(talk.hear::<Vec<u32>>().await.unwrap(), Some(vec![4]));
        assert!(matches!(talk.hear::<Vec<u32>>().await, Err(TalkError::Garbled(_))));
        talk.say(&"x").await.unwrap();
        let mut said = [0; 4];
        far.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"\"x\"\n");
        far.write_all(&vec![b' '; LONGEST_LINE]).await.unwrap();
        assert!(matches!(talk.hear::<Vec<u32>>().await, Err(TalkError::TooLong)));
    }

    #[tokio::test]
    async fn what_was_heard_is_wiped() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let mut talk = Talk::new(near);
        far.write_all(b"[115]\n").await.unwrap();
        talk.hear::<Vec<u8>>().await.unwrap();
        assert!(talk.read.iter().all(|byte| *byte == 0));
        drop(far);
        assert_eq!(talk.hear::<Vec<u8>>().await.unwrap(), None);
    }
}
