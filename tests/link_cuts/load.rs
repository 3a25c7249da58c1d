//! Requests all the time: several streams and plain ones, each of whose ends is judged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep, timeout};

use crate::support::judge::{End, judged};
use crate::support::{Client, Deadline, eventually};

const STREAMS: usize = 4;
const PLAIN: usize = 3;

/// One more request each time this long is over, however long those before it take.
const NEWCOMER_EVERY: Duration = Duration::from_secs(2);

/// Between two requests of one who asks.
const BREATH: Duration = Duration::from_millis(100);

/// Longer than the proxy lets anybody wait for anything here.
const PATIENCE: Duration = Duration::from_mins(4);

/// Who took this much longer than the engine needs has waited.
const WAITED: Duration = Duration::from_secs(2);

/// One request, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) sent: Instant,
    pub(crate) done: Instant,
    pub(crate) end: End,
}

impl Told {
    pub(crate) fn has_waited(&self) -> bool {
        self.end == End::Whole && self.done - self.sent > WAITED + Duration::from_millis(50) * 30
    }
}

/// Asks until it is told to stop.
#[derive(Debug, Default)]
pub(crate) struct Load {
    told: std::sync::Mutex<Vec<Told>>,
    stop: AtomicBool,
}

impl Load {
    /// Runs until [`stop`](Self::stop), and then until everything that was asked has ended.
    pub(crate) async fn run(&self, client: &Client) {
        let streams = (0..STREAMS).map(|_| self.ask(client, true));
        let plain = (0..PLAIN).map(|_| self.ask(client, false));
        tokio::join!(join_all(streams), join_all(plain), self.newcomers(client));
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().expect("no one panics with it").clone()
    }

    /// When the first answer came that came whole, to the end, after `moment`.
    pub(crate) async fn answered_after(&self, moment: Instant, deadline: Deadline) -> Duration {
        let first = async || {
            let told = self.told();
            let whole = told.iter().filter(|told| told.end == End::Whole && told.done > moment);
            whole.map(|told| told.done - moment).min()
        };
        eventually(deadline, "a request is answered again", first).await
    }

    async fn ask(&self, client: &Client, stream: bool) {
        while !self.stop.load(Ordering::SeqCst) {
            self.once(client, stream).await;
            sleep(BREATH).await;
        }
    }

    /// Requests that come while others wait.
    async fn newcomers(&self, client: &Client) {
        let (mut asked, mut stream) = (FuturesUnordered::new(), false);
        let mut due = tokio::time::interval(NEWCOMER_EVERY);
        while !self.stop.load(Ordering::SeqCst) {
            tokio::select! {
                _ = due.tick() => {
                    asked.push(self.once(client, stream));
                    stream = !stream;
                }
                Some(()) = asked.next() => {}
            }
        }
        while asked.next().await.is_some() {}
    }

    async fn once(&self, client: &Client, stream: bool) {
        let sent = Instant::now();
        let end = timeout(PATIENCE, judged(client, stream)).await;
        let end = end.unwrap_or_else(|_| panic!("no end of an answer within {PATIENCE:?}"));
        self.told.lock().expect("no one panics with it").push(Told { sent, done: Instant::now(), end });
    }
}
