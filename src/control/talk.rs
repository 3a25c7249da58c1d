//! One JSON object a line, both ways, in bounds.

use std::io;
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The longest line, in bytes: a line of an engine's log is the longest that there is, and shorter than this.
const LONGEST_LINE: usize = 64 * 1024;

/// How long the other end may take to read a line.
const READ_WITHIN: Duration = Duration::from_secs(30);

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
        self.say_within(READ_WITHIN, message).await
    }

    /// Says something that may be read late, as by a pager.
    pub(super) async fn say_within(&mut self, patience: Duration, message: &impl Serialize) -> io::Result<()> {
        self.written.clear();
        serde_json::to_writer(&mut *self.written, message)?;
        self.written.push(b'\n');
        if self.written.len() > LONGEST_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, TalkError::TooLong));
        }
        let read = timeout(patience, self.stream.write_all(&self.written)).await;
        read.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the other end does not read what is said"))?
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

    #[tokio::test(start_paused = true)]
    async fn an_end_that_does_not_read_is_given_up_and_what_no_end_could_read_is_not_said() {
        let (_far, near) = UnixStream::pair().unwrap();
        let mut talk = Talk::new(near);
        let began = tokio::time::Instant::now();
        let refused = talk.say(&"x".repeat(LONGEST_LINE - 2)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        let line = "x".repeat(LONGEST_LINE - 3);
        for (patience, expected) in [(None, READ_WITHIN), (Some(Duration::from_hours(1)), Duration::from_hours(1))] {
            let began = tokio::time::Instant::now();
            let error = loop {
                let said = match patience {
                    None => talk.say(&line).await,
                    Some(patience) => talk.say_within(patience, &line).await,
                };
                if let Err(error) = said {
                    break error;
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!((expected..expected * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
        }
        assert!(began.elapsed() > READ_WITHIN);
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
