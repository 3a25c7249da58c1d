//! The bodies of the engine's answers.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::machine::now_ns;

/// A token, as vLLM writes one, up to the moment it was written.
const BEFORE: &[u8] = br#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench","choices":[{"index":0,"delta":{"content":" everything"},"logprobs":null,"finish_reason":null}],"at":"#;
const AFTER: &[u8] = b"}\n\n";
const DONE: &[u8] = b"data: [DONE]\n\n";
/// Room for some dozens of tokens at once.
const ROOM: usize = 16 * 1024;
/// The most that one token takes.
const TOKEN: usize = BEFORE.len() + AFTER.len() + 20;
static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];

/// A body, and nothing that need be allocated for each piece of it.
#[derive(Debug)]
pub(crate) enum Answer {
    Whole(Option<Bytes>),
    Tokens(Box<Tokens>),
    Zeros { left: u64 },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match self.get_mut() {
            Self::Whole(body) => body.take().map(Ok),
            Self::Tokens(tokens) => ready!(tokens.poll_next(cx)),
            Self::Zeros { left: 0 } => None,
            Self::Zeros { left } => {
                let most = usize::try_from(*left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
                *left -= most as u64;
                Some(Ok(Bytes::from_static(ZEROS.get(..most).unwrap_or_default())))
            }
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Zeros { left: 0 })
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Self::Tokens(_) => SizeHint::default(),
            Self::Zeros { left } => SizeHint::with_exact(*left),
        }
    }
}

/// The streams are opened in one moment, and would all write in one: what is timed then is the driver that reads them.
static STREAMS: AtomicU64 = AtomicU64::new(0);

/// Between half a pause and one and a half, another for each stream, and evenly.
fn out_of_step(pause: Duration) -> Option<Duration> {
    // By the golden ratio, the next one always falls into the largest gap.
    let turn = STREAMS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
    Some(pause / 2 + pause * u32::try_from(turn).ok()? / 1024)
}

/// A stream of tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    left: u64,
    pause: Duration,
    /// The one after the first token.
    first_pause: Option<Duration>,
    /// Tokens until the connection breaks.
    break_in: Option<u64>,
    next: Pin<Box<Sleep>>,
    room: BytesMut,
    over: bool,
}

impl Tokens {
    /// The first token comes at once.
    pub(crate) fn new(left: u64, pause_us: u64, break_in: Option<u64>) -> Self {
        let next = Box::pin(sleep(Duration::ZERO));
        let room = BytesMut::with_capacity(ROOM);
        let pause = Duration::from_micros(pause_us);
        Self { left, pause, first_pause: out_of_step(pause), break_in, next, room, over: false }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            let over = std::mem::replace(&mut self.over, true);
            return Poll::Ready((!over).then(|| Ok(Bytes::from_static(DONE))));
        }
        if self.break_in == Some(0) {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
        }
        ready!(self.next.as_mut().poll(cx));
        if !self.pause.is_zero() {
            // Whoever is late does not catch up: that would be a burst that nobody asked for.
            let pause = self.first_pause.take().unwrap_or(self.pause);
            self.next.as_mut().reset(Instant::now() + pause);
        }
        self.left -= 1;
        self.break_in = self.break_in.map(|left| left - 1);
        Poll::Ready(Some(self.write()))
    }

    fn write(&mut self) -> io::Result<Bytes> {
        if self.room.capacity() < TOKEN {
            self.room.reserve(ROOM);
        }
        self.room.put_slice(BEFORE);
        write!((&mut self.room).writer(), "{}", now_ns())?;
        self.room.put_slice(AFTER);
        Ok(self.room.split().freeze())
    }
}
