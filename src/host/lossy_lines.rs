//! What a program says, in lines that can be shown: whatever it says, and however much.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// The longest line that is kept, in bytes; what is beyond it is left out.
const LINE_LIMIT: usize = 4 * 1024;

/// The lines of a stream of any bytes.
#[derive(Debug)]
pub(super) struct LossyLines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> LossyLines<R> {
    /// Of all that comes on `stream`.
    pub(super) fn new(stream: R) -> Self {
        Self { reader: BufReader::new(stream), line: Vec::new() }
    }

    /// The next line, without its end; none at the stream's. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The stream breaks off.
    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            let piece = self.reader.fill_buf().await?;
            let end = piece.iter().position(|byte| *byte == b'\n');
            let over = piece.is_empty();
            let text = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
            let read = text.len() + usize::from(end.is_some());
            let room = LINE_LIMIT.saturating_sub(self.line.len());
            self.line.extend(text.iter().take(room));
            self.reader.consume(read);
            if end.is_some() || (over && !self.line.is_empty()) {
                let line = std::mem::take(&mut self.line);
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            if over {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

    use super::*;

    #[tokio::test]
    async fn any_bytes_are_lines() {
        let long = [b"x".repeat(3 * LINE_LIMIT).as_slice(), b"\n"].concat();
        let said = [b"plain\n".as_slice(), b"caf\xe9\n", &long, b"\nno end"].concat();
        let mut lines = LossyLines::new(said.as_slice());
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push(line);
        }
        assert_eq!(seen, ["plain", "caf\u{fffd}", &"x".repeat(LINE_LIMIT), "", "no end"]);
    }

    #[tokio::test]
    async fn a_line_that_is_not_waited_for_is_not_lost() {
        let (mut writer, reader) = tokio::io::duplex(64);
        let mut lines = LossyLines::new(reader);
        tokio::io::AsyncWriteExt::write_all(&mut writer, b"half").await.unwrap();
        tokio::select! {
            biased;
            line = lines.next() => unreachable!("{line:?}"),
            () = tokio::task::yield_now() => {}
        }
        tokio::io::AsyncWriteExt::write_all(&mut writer, b" and half\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap().as_deref(), Some("half and half"));
    }
}
