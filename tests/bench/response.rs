//! HTTP/1.1 responses, piece by piece as they come, and with as little done to them as can be.

/// The longest head that is taken.
const HEAD_LIMIT: usize = 64 * 1024;

/// What comes next.
#[derive(Debug)]
enum Expected {
    /// Of the status line and the headers.
    Head,
    /// Of a chunk's length, in hexadecimal; whether its extension has begun.
    Size(u64, bool),
    /// Of a chunk.
    Chunk(u64),
    /// The line's end after a chunk.
    ChunkEnd,
    /// Of a line after the last chunk, so long up to now.
    Trailer(usize),
    /// Of a body whose length was told.
    Body(u64),
    /// Whatever comes until the connection closes.
    Rest,
    /// Nothing.
    End,
}

/// Takes responses apart.
#[derive(Debug)]
pub(crate) struct Response {
    head: Vec<u8>,
    expected: Expected,
    status: u16,
}

impl Response {
    pub(crate) fn new() -> Self {
        Self { head: Vec::new(), expected: Expected::Head, status: 0 }
    }

    /// Known once the head is there, else 0.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.expected, Expected::End)
    }

    /// Whether the response is whole now that its connection has closed.
    pub(crate) fn may_close(&self) -> bool {
        matches!(self.expected, Expected::End | Expected::Rest)
    }

    /// Takes all of `bytes`, and gives what of them is body to `sink`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<(), String> {
        while let Some((&first, after)) = bytes.split_first() {
            bytes = match &mut self.expected {
                Expected::Head => self.take_head(bytes)?,
                Expected::Chunk(left) | Expected::Body(left) => {
                    let most = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    let (piece, rest) = bytes.split_at(most);
                    sink(piece);
                    *left -= most as u64;
                    if *left == 0 {
                        let chunk = matches!(self.expected, Expected::Chunk(_));
                        self.expected = if chunk { Expected::ChunkEnd } else { Expected::End };
                    }
                    rest
                }
                Expected::Size(size, extension) => {
                    match (first, char::from(first).to_digit(16)) {
                        (b'\n', _) if *size == 0 => self.expected = Expected::Trailer(0),
                        (b'\n', _) => self.expected = Expected::Chunk(*size),
                        (_, Some(digit)) if !*extension => *size = *size * 16 + u64::from(digit),
                        _ => *extension = true,
                    }
                    after
                }
                Expected::ChunkEnd => {
                    if first == b'\n' {
                        self.expected = Expected::Size(0, false);
                    }
                    after
                }
                Expected::Trailer(length) => {
                    match first {
                        b'\n' if *length == 0 => self.expected = Expected::End,
                        b'\n' => *length = 0,
                        b'\r' => {}
                        _ => *length += 1,
                    }
                    after
                }
                Expected::Rest => {
                    sink(bytes);
                    &[]
                }
                Expected::End => return Err("bytes after the response's end".to_owned()),
            };
        }
        Ok(())
    }

    fn take_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = memchr::memmem::find(&self.head, b"\r\n\r\n").map(|at| at + 4) else {
            return if self.head.len() > HEAD_LIMIT { Err("an endless head".to_owned()) } else { Ok(&[]) };
        };
        let rest = bytes.get(end - before..).unwrap_or_default();
        self.head.truncate(end);
        let head = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
        self.head.clear();
        self.status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or("no status")?;
        let header =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        self.expected = if header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            Expected::Size(0, false)
        } else {
            match header("content-length").map(str::parse) {
                Some(Ok(0)) => Expected::End,
                Some(Ok(length)) => Expected::Body(length),
                Some(Err(_)) => return Err("a length that is none".to_owned()),
                None => Expected::Rest,
            }
        };
        Ok(rest)
    }
}
