//! The way into a ready engine that does not ask the task that owns it, so that this task is on no request's path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Command, Hold};
use crate::route::Upstream;

/// Set while requests may enter by themselves.
const OPEN: u64 = 1 << 63;
/// What one inference adds, and the bits of all of them; below are the others.
const INFERENCE: u64 = 1 << 32;

/// Where requests enter and leave one life. It is opened and shut by the owner, who decides nothing while it is open.
#[derive(Debug)]
pub struct Entrance {
    upstream: Arc<Upstream>,
    life: u64,
    /// Whether it is open, and how many are in: one word, so that nobody enters behind a decision.
    word: AtomicU64,
    /// When the last inference left, in ns after `began`; 0: none has.
    left: AtomicU64,
    began: Instant,
    /// Whether the owner was told that somebody came or went, and has not looked since.
    told: AtomicBool,
    commands: mpsc::UnboundedSender<Command>,
}

/// What holds a life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Requests that are inference.
    pub inference: usize,
    /// Others.
    pub helpers: usize,
    /// When the last inference of this life left, if one has.
    pub left: Option<Instant>,
}

/// One in-flight request's hold on the instance; dropped when the response body ends.
#[derive(Debug)]
pub struct Permit {
    entrance: Arc<Entrance>,
    hold: Hold,
}

impl Entrance {
    /// Of the numbered life, whose owner hears of what happens by `commands`. It is shut.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>, life: u64, commands: mpsc::UnboundedSender<Command>) -> Arc<Self> {
        let (word, left, told) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Self { upstream, life, word, left, began: Instant::now(), told, commands })
    }

    /// Lets a request in if it is open.
    #[must_use]
    pub fn enter(self: &Arc<Self>, hold: Hold) -> Option<Permit> {
        let one_more = |word| if word & OPEN == 0 { None } else { Some(word + weight(hold)) };
        self.word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        self.tell();
        Some(Permit { entrance: Arc::clone(self), hold })
    }

    /// Lets a request in, as the owner decided.
    #[must_use]
    pub fn admit(self: &Arc<Self>, hold: Hold) -> Permit {
        self.word.fetch_add(weight(hold), Ordering::SeqCst);
        Permit { entrance: Arc::clone(self), hold }
    }

    /// What holds the life now.
    #[must_use]
    pub fn held(&self) -> Held {
        self.read(self.word.load(Ordering::SeqCst))
    }

    /// From now on requests enter by themselves.
    pub(super) fn open(&self) {
        self.word.fetch_or(OPEN, Ordering::SeqCst);
    }

    /// From now on nobody enters by himself, and each who leaves tells the owner.
    pub(super) fn shut(&self) -> Held {
        self.read(self.word.fetch_and(!OPEN, Ordering::SeqCst))
    }

    /// The owner is about to look, and is to be told of what comes after.
    pub(super) fn is_looked_at(&self) {
        self.told.store(false, Ordering::SeqCst);
    }

    fn read(&self, word: u64) -> Held {
        let left = self.left.load(Ordering::SeqCst);
        Held {
            inference: usize::try_from((word & !OPEN) / INFERENCE).unwrap_or(usize::MAX),
            helpers: usize::try_from(word % INFERENCE).unwrap_or(usize::MAX),
            left: (left > 0).then(|| self.began + Duration::from_nanos(left)),
        }
    }

    fn leave(&self, hold: Hold) {
        if hold == Hold::Inference {
            let after = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.left.fetch_max(after.max(1), Ordering::SeqCst);
        }
        let before = self.word.fetch_sub(weight(hold), Ordering::SeqCst);
        if before & OPEN == 0 {
            // It may be what the owner waits for.
            drop(self.commands.send(Command::Release(self.life, hold)));
        } else {
            self.tell();
        }
    }

    /// Once until the owner looks.
    fn tell(&self) {
        if !self.told.load(Ordering::SeqCst) && !self.told.swap(true, Ordering::SeqCst) {
            drop(self.commands.send(Command::Moved));
        }
    }
}

fn weight(hold: Hold) -> u64 {
    match hold {
        Hold::Inference => INFERENCE,
        Hold::Helper => 1,
    }
}

impl Permit {
    /// What it is to the idle clock.
    #[must_use]
    pub fn hold(&self) -> Hold {
        self.hold
    }

    /// The way to the engine that this permit holds.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.entrance.upstream
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.entrance.leave(self.hold);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::host::{Address, Host, LocalHost};
    use crate::route::{EngineAuth, Way};

    fn entrance() -> (Arc<Entrance>, mpsc::UnboundedReceiver<Command>) {
        let endpoint = Address { host: "127.0.0.1".into(), port: 9 }.into();
        let upstream = Upstream::new(Way::Dial { host: Host::Local(LocalHost), endpoint }, EngineAuth::Client);
        let (commands, told) = mpsc::unbounded_channel();
        (Entrance::new(upstream, 7, commands), told)
    }

    #[tokio::test(start_paused = true)]
    async fn the_owner_is_told_once_until_he_looks_and_of_each_who_leaves_a_shut_one() {
        let (entrance, mut told) = entrance();
        assert!(entrance.enter(Hold::Helper).is_none(), "it is shut at first");
        entrance.open();
        let inference = entrance.enter(Hold::Inference);
        let (helper, other) = (entrance.enter(Hold::Helper), entrance.enter(Hold::Helper));
        assert!(matches!(told.try_recv(), Ok(Command::Moved)) && told.try_recv().is_err());
        assert_eq!(entrance.shut(), Held { inference: 1, helpers: 2, left: None });
        tokio::time::advance(Duration::from_secs(3)).await;
        drop((inference, helper));
        assert!(matches!(told.try_recv(), Ok(Command::Release(7, Hold::Inference))));
        assert!(matches!(told.try_recv(), Ok(Command::Release(7, Hold::Helper))));
        let left = Some(Instant::now());
        assert_eq!(entrance.held(), Held { inference: 0, helpers: 1, left });
        entrance.is_looked_at();
        entrance.open();
        tokio::time::advance(Duration::from_secs(3)).await;
        drop(other);
        assert!(matches!(told.try_recv(), Ok(Command::Moved)));
        assert_eq!(entrance.held(), Held { inference: 0, helpers: 0, left }, "what is no inference moves no clock");
    }

    #[tokio::test]
    async fn nobody_enters_behind_the_owners_back() {
        let (entrance, mut told) = entrance();
        let (entered, passed) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|threads| {
            for hold in [Hold::Inference, Hold::Helper, Hold::Inference] {
                let (entrance, entered, passed) = (&entrance, &entered, &passed);
                threads.spawn(move || {
                    while passed.load(Ordering::SeqCst) < 20_000 {
                        if let Some(permit) = entrance.enter(hold) {
                            entered.fetch_add(1, Ordering::SeqCst);
                            drop(permit);
                        }
                    }
                });
            }
            for _ in 0..20_000 {
                entrance.open();
                thread::yield_now();
                let held = entrance.shut();
                let later = entrance.held();
                assert!(later.inference <= held.inference && later.helpers <= held.helpers, "{held:?}, then {later:?}");
                passed.fetch_add(1, Ordering::SeqCst);
            }
        });
        let held = entrance.held();
        assert_eq!((held.inference, held.helpers), (0, 0), "each who entered has left");
        assert!(entered.load(Ordering::SeqCst) > 0 && held.left.is_some(), "somebody entered");
        assert!(std::iter::from_fn(|| told.try_recv().ok()).count() > 0, "the owner was told");
    }
}
