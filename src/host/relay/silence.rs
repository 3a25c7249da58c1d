//! Whether a relay's far end still says anything. The frames' own pings go on while nothing else does, so that one which says
//! nothing for long is gone, or hangs, where the host itself answers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::sleep;

use crate::host::Host;

/// yamux asks for an answer 10 s after the last one came, if it is woken to do so: this often.
pub(super) const BEAT: Duration = Duration::from_secs(2);

/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);

/// Looks in a row that heard nothing, until it counts as silent.
const LOOKS: u32 = 3;

/// How often whoever waits for a word looks for it.
const LISTEN: Duration = Duration::from_millis(200);

/// What was heard of a far end.
#[derive(Clone, Debug, Default)]
pub(super) struct Ear(Arc<AtomicU64>);

/// What comes from a far end, and is noted.
pub(super) struct Heard<R> {
    stream: R,
    ear: Ear,
}

impl Ear {
    pub(super) fn at<R>(&self, stream: R) -> Heard<R> {
        Heard { stream, ear: self.clone() }
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns once anything comes: within some seconds, from a far end that is well.
    pub(super) async fn next(&self) {
        let before = self.count();
        while self.count() == before {
            sleep(LISTEN).await;
        }
    }

    /// Returns once nothing came for long, while the host answered.
    pub(super) async fn until_silent(&self, host: &Host) {
        let mut silent = 0;
        while silent < LOOKS {
            let before = self.count();
            sleep(LOOK).await;
            silent = if self.count() == before && host.ping().await { silent + 1 } else { 0 };
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Heard<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.ear.0.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}
