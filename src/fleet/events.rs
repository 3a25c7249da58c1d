//! What happened to the instances, numbered, for those who follow it: the last of it is kept, so that who was away for a
//! while misses nothing, and who was away for longer is told so.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::{Fleet, Roster};
use crate::api::{AllNow, EventGap, InstanceGone, InstanceState};
use crate::id::InstanceName;
use crate::instance::{Phase, Snapshot};

/// Events that are kept for those who come back: an engine's start and end are some ten of them.
const KEPT: usize = 4096;

/// The journal of all instances. Cloning it shares it.
#[derive(Clone, Debug)]
pub struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    journal: Mutex<Journal>,
    /// The number of the last event.
    grown: watch::Sender<u64>,
}

/// One thing that a reader is told, under an id with which he can ask for what comes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where in the journal it stands.
    pub id: EventId,
    /// What it is.
    pub what: What,
}

/// A place in the journal of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// Which run of the program.
    run: u32,
    /// Which event of it; 0: before the first.
    number: u64,
}

/// What a reader is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Where all stand at first.
    Now(AllNow),
    /// Something is missing.
    Gap(EventGap),
    /// One moved on.
    State(InstanceState),
    /// One is not there any more.
    Gone(InstanceGone),
}

/// The pure part: what is kept.
#[derive(Debug)]
struct Journal {
    run: u32,
    last: u64,
    bound: usize,
    kept: VecDeque<What>,
    now: BTreeMap<String, InstanceState>,
}

/// What a reader has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing, and he knows it.
    Nothing,
    /// All up to this one.
    UpTo(u64),
    /// Something else than what is kept here.
    Foreign,
}

/// Reads on in the journal, as slowly as he likes: nothing is kept for him alone.
#[derive(Debug)]
pub struct Reader {
    events: Events,
    grown: watch::Receiver<u64>,
    seen: Seen,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.run, self.number)
    }
}

impl EventId {
    fn from_text(text: &str) -> Option<Self> {
        let (run, number) = text.trim().split_once('-')?;
        Some(Self { run: u32::from_str_radix(run, 16).ok()?, number: number.parse().ok()? })
    }
}

impl Default for Events {
    /// An empty one.
    fn default() -> Self {
        // Without randomness an id of an earlier run may be taken for one of this: what it is told is right all the same.
        Self::new(getrandom::u32().unwrap_or_else(|_none| std::process::id()), KEPT)
    }
}

impl Events {
    fn new(run: u32, bound: usize) -> Self {
        let journal = Journal { run, last: 0, bound, kept: VecDeque::new(), now: BTreeMap::new() };
        Self(Arc::new(Shared { journal: Mutex::new(journal), grown: watch::Sender::new(0) }))
    }

    /// A reader, from the event after the one of this id on. Without an id he begins with where all stand.
    #[must_use]
    pub fn reader(&self, after: Option<&str>) -> Reader {
        let run = self.journal().run;
        let seen = match after.map(EventId::from_text) {
            None => Seen::Nothing,
            Some(Some(id)) if id.run == run => Seen::UpTo(id.number),
            Some(_) => Seen::Foreign,
        };
        Reader { events: self.clone(), grown: self.0.grown.subscribe(), seen }
    }

    /// Writes down what happens to the instances of `fleet`, for ever. What an instance is only between two looks of this
    /// future is passed over. One is followed to its end, also where no request finds it any more.
    pub async fn record(&self, fleet: &Fleet) {
        let mut roster = fleet.watch();
        let mut followed = BTreeMap::new();
        let mut moving = FuturesUnordered::new();
        loop {
            let now = roster.borrow_and_update().clone();
            let new = newcomers(&now, &mut followed);
            moving.extend(new.into_iter().map(|(name, seen)| self.look(name, seen)));
            loop {
                tokio::select! {
                    changed = roster.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    Some((name, seen, lives)) = moving.next() => {
                        if lives {
                            moving.push(self.look(name, seen));
                        } else if let Some(end) = followed.get_mut(&name).filter(|of| of.seen.same_channel(&seen)) {
                            end.lives = false;
                            self.change(|journal| journal.gone(name.as_str()));
                        }
                    }
                }
            }
        }
    }

    /// Notes where one stands, and waits until it stands elsewhere.
    async fn look(
        &self,
        name: InstanceName,
        mut seen: watch::Receiver<Snapshot>,
    ) -> (InstanceName, watch::Receiver<Snapshot>, bool) {
        let before = seen.borrow_and_update().clone();
        self.change(|journal| journal.note(told_of(&name, &before)));
        // Requests are not told of, and each of them is two changes.
        let lives = seen.wait_for(|now| !now.is_but_for_requests(&before)).await.is_ok();
        (name, seen, lives)
    }

    fn change(&self, change: impl FnOnce(&mut Journal)) {
        let last = {
            let mut journal = self.journal();
            change(&mut journal);
            journal.last
        };
        self.0.grown.send_if_modified(|grown| std::mem::replace(grown, last) != last);
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        // Nobody panics while he holds it; and what is kept would still be true.
        self.0.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One whose moves are written down.
struct Followed {
    seen: watch::Receiver<Snapshot>,
    lives: bool,
}

/// Those of the roster that nobody follows yet, which are followed from now on.
fn newcomers(
    roster: &Roster,
    followed: &mut BTreeMap<InstanceName, Followed>,
) -> Vec<(InstanceName, watch::Receiver<Snapshot>)> {
    followed.retain(|name, of| of.lives || roster.named(name.as_str()).is_some());
    let mut new = Vec::new();
    for member in roster.members() {
        let (name, seen) = (member.name().clone(), member.handle.watch());
        // One that has other settings now is the same.
        if followed.get(&name).is_none_or(|of| !of.seen.same_channel(&seen)) {
            followed.insert(name.clone(), Followed { seen: seen.clone(), lives: true });
            new.push((name, seen));
        }
    }
    new
}

fn told_of(name: &InstanceName, now: &Snapshot) -> InstanceState {
    let words = match &now.phase {
        Phase::Stopped => "no engine runs".to_owned(),
        Phase::Failed(diagnosis) => diagnosis.summary.clone(),
        Phase::Recovering
        | Phase::Submitting
        | Phase::Queued { .. }
        | Phase::Starting
        | Phase::Ready
        | Phase::Unreachable(_)
        | Phase::Draining
        | Phase::Stopping(_) => now.progress(),
    };
    InstanceState {
        name: name.to_string(),
        state: now.phase.state(),
        phase: now.phase.word(),
        words,
        link: if now.login_needed().is_some() { "needs-login" } else { now.link.word() },
    }
}

impl Journal {
    /// Notes where one stands, if that is news.
    fn note(&mut self, now: InstanceState) {
        if self.now.get(&now.name) != Some(&now) {
            self.now.insert(now.name.clone(), now.clone());
            self.push(What::State(now));
        }
    }

    /// Notes that one is not there any more.
    fn gone(&mut self, name: &str) {
        if self.now.remove(name).is_some() {
            self.push(What::Gone(InstanceGone { name: name.to_owned() }));
        }
    }

    fn push(&mut self, what: What) {
        if self.kept.len() == self.bound {
            self.kept.pop_front();
        }
        self.kept.push_back(what);
        self.last += 1;
    }

    /// What comes next for one who has seen this much, and what he has seen then; nothing: he has seen it all.
    fn next(&self, seen: Seen) -> Option<Told> {
        let first = self.last - self.kept.len() as u64 + 1;
        let at = |number, what| Some(Told { id: EventId { run: self.run, number }, what });
        let gap = |missing| at(self.last, What::Gap(EventGap { missing, instances: self.all() }));
        match seen {
            Seen::Nothing => at(self.last, What::Now(AllNow { instances: self.all() })),
            Seen::Foreign => gap("what came after that id: it is none of this run of the proxy".to_owned()),
            Seen::UpTo(number) if number == self.last => None,
            Seen::UpTo(number) if number > self.last => {
                gap(format!("what came after {number}: this run of the proxy is at {}", self.last))
            }
            Seen::UpTo(number) if number + 1 < first => gap(format!(
                "the events {} to {}, which are not kept, and those up to {}",
                number + 1,
                first - 1,
                self.last
            )),
            Seen::UpTo(number) => {
                let index = usize::try_from(number + 1 - first).ok()?;
                at(number + 1, self.kept.get(index)?.clone())
            }
        }
    }

    fn all(&self) -> Vec<InstanceState> {
        self.now.values().cloned().collect()
    }
}

impl Reader {
    /// Waits for what comes next. May be dropped and asked again: nothing is lost.
    pub async fn next(&mut self) -> Told {
        loop {
            self.grown.borrow_and_update();
            let told = self.events.journal().next(self.seen);
            if let Some(told) = told {
                self.seen = Seen::UpTo(told.id.number);
                return told;
            }
            if self.grown.changed().await.is_err() {
                // Never: we hold the journal.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
#[path = "events_test.rs"]
mod tests;
