//! Requests all the time, while the proxy that they are meant for comes and goes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::history::History;
use crate::support::judge::{End, judged};
use crate::support::{Client, Deadline, eventually};

/// Longer than the proxy lets anybody wait for anything here.
const LIMIT: Duration = Duration::from_secs(200);

/// Between two requests of one who asks.
const BREATH: Duration = Duration::from_millis(150);

/// A door to the proxy that runs now.
#[derive(Clone)]
struct Door {
    client: Arc<Client>,
    /// Whether its proxy was killed, or told to end.
    closed: Arc<AtomicBool>,
}

/// How many requests came to what.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) sent: u64,
    pub(crate) whole: u64,
    /// Told by a status or an event.
    pub(crate) told: u64,
    /// Broken off in a way that every client sees.
    pub(crate) broken_off: u64,
    /// Gone with the proxy that was killed.
    pub(crate) gone: u64,
}

/// Asks until it is told to stop.
pub(crate) struct Load {
    door: Mutex<Option<Door>>,
    on: AtomicBool,
    stop: AtomicBool,
    under_way: AtomicU64,
    /// When the youngest request was sent that was answered whole.
    whole_of: Mutex<Option<Instant>>,
    count: Mutex<Count>,
    history: Arc<History>,
}

impl Load {
    /// Begins: two streams, a plain request and a second one every now and then.
    pub(crate) fn start(history: Arc<History>) -> (Arc<Self>, Vec<JoinHandle<()>>) {
        let load = Arc::new(Self {
            door: Mutex::default(),
            on: AtomicBool::new(true),
            stop: AtomicBool::default(),
            under_way: AtomicU64::default(),
            whole_of: Mutex::default(),
            count: Mutex::default(),
            history,
        });
        let who = [("stream a", true, 1), ("stream b", true, 1), ("plain a", false, 1), ("plain b", false, 15)];
        let tasks = who.map(|(name, stream, pause)| tokio::spawn(Arc::clone(&load).ask(name, stream, BREATH * pause)));
        (load, tasks.into())
    }

    pub(crate) fn open(&self, client: Client) {
        let door = Door { client: Arc::new(client), closed: Arc::default() };
        *self.door.lock().expect("no one panics with it") = Some(door);
    }

    /// The proxy is about to be gone.
    pub(crate) fn close(&self) {
        if let Some(door) = self.door.lock().expect("no one panics with it").take() {
            door.closed.store(true, Ordering::SeqCst);
        }
    }

    pub(crate) fn set_on(&self, on: bool) {
        if self.on.swap(on, Ordering::SeqCst) != on {
            self.history.note("load", if on { "on" } else { "off" });
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(crate) fn count(&self) -> Count {
        *self.count.lock().expect("no one panics with it")
    }

    pub(crate) async fn until_all_answered(&self) {
        let none = async || (self.under_way.load(Ordering::SeqCst) == 0).then_some(());
        eventually(Deadline::from(LIMIT * 2), "every request has its end", none).await;
    }

    /// Whether one that was sent after `moment` was answered whole.
    pub(crate) fn answered_since(&self, moment: Instant) -> bool {
        self.whole_of.lock().expect("no one panics with it").is_some_and(|sent| sent > moment)
    }

    async fn ask(self: Arc<Self>, name: &'static str, stream: bool, pause: Duration) {
        while !self.stop.load(Ordering::SeqCst) {
            let door = self.door.lock().expect("no one panics with it").clone();
            if let Some(door) = door.filter(|_| self.on.load(Ordering::SeqCst)) {
                self.under_way.fetch_add(1, Ordering::SeqCst);
                self.once(&door, name, stream).await;
                self.under_way.fetch_sub(1, Ordering::SeqCst);
            }
            sleep(pause).await;
        }
    }

    async fn once(&self, door: &Door, name: &str, stream: bool) {
        let sent = Instant::now();
        let end = timeout(LIMIT, judged(&door.client, stream)).await;
        let (took, closed) = (sent.elapsed().as_secs_f32(), door.closed.load(Ordering::SeqCst));
        let mut count = self.count.lock().expect("no one panics with it");
        count.sent += 1;
        let fault = match &end {
            Err(_) => Some("it has no end"),
            Ok(End::Whole) => {
                count.whole += 1;
                let mut whole_of = self.whole_of.lock().expect("no one panics with it");
                *whole_of = (*whole_of).max(Some(sent));
                None
            }
            Ok(End::False(_)) => Some("it looks whole, or like an answer, and is none"),
            Ok(End::Unanswered(_)) if !closed => Some("a living proxy gave no answer"),
            Ok(End::Refused(why)) if why == "broken off" && !closed => {
                count.broken_off += 1;
                None
            }
            Ok(End::Unanswered(_) | End::Refused(_)) if closed => {
                count.gone += 1;
                None
            }
            Ok(End::Refused(_) | End::CutWithEvent(_) | End::Unanswered(_)) => {
                count.told += 1;
                None
            }
        };
        drop(count);
        let end = end.map_or_else(|_| "no end".to_owned(), |end| format!("{end:?}"));
        self.history.note(name, &format!("after {took:.1} s: {end}"));
        if let Some(fault) = fault {
            self.history.violation(&format!("a request of {name}, {took:.1} s ago: {fault}: {end}"));
        }
    }
}
