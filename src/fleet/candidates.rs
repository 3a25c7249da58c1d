//! Those that may serve one request, the best first.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::group::{Claim, Group};
use super::replicas::{By, Seen, Standing, nearness, order};
use super::roster::Member;
use crate::instance::{Hold, Party, Permit, Refusal, Snapshot};

/// Those that may serve one request, the best first. The first of them counts as chosen until this is dropped.
#[derive(Debug)]
pub struct Candidates {
    first: Arc<Member>,
    rest: Vec<Arc<Member>>,
    min: usize,
    claim: Option<Claim>,
}

impl Candidates {
    /// This one alone.
    #[must_use]
    pub fn one(member: &Arc<Member>) -> Self {
        Self { first: Arc::clone(member), rest: Vec::new(), min: 1, claim: None }
    }

    /// Replicas of one model; `beginning` is a hash of how the prompt begins.
    pub(super) fn of(group: &Group, mut members: Vec<Arc<Member>>, beginning: Option<u64>) -> Option<Self> {
        members.sort_by_key(|member| member.replica.as_ref().map(|replica| replica.number));
        let now = Instant::now();
        let beginning = beginning.filter(|_| group.by == By::Prefix);
        let look = |member: &Arc<Member>| Seen {
            standing: Standing::of(&member.handle.snapshot(), now),
            load: member.load(),
            nearness: beginning.map(|beginning| nearness(beginning, member.name())),
        };
        let seen: Vec<Seen> = members.iter().map(look).collect();
        let mut ordered = order(&seen).into_iter().filter_map(|at| members.get(at)).cloned();
        let first = ordered.next()?;
        let claim = Some(first.claim());
        Some(Self { rest: ordered.collect(), min: group.bounds.min, claim, first })
    }

    /// The best.
    #[must_use]
    pub fn first(&self) -> &Arc<Member> {
        &self.first
    }

    /// Whether there is more than one.
    #[must_use]
    pub fn are_several(&self) -> bool {
        !self.rest.is_empty()
    }

    /// All, the best first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Member>> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// The instance has heard of the request, and counts it itself.
    pub fn unclaim(&mut self) {
        self.claim = None;
    }

    /// Waits for whichever is ready first of those that run, are being started, or are to be; one that refuses is passed over.
    /// Dropping the future stops waiting.
    ///
    /// # Errors
    /// All refuse; told is what the first of them said.
    pub async fn acquire(&self, party: Party, hold: Hold) -> Result<(Arc<Member>, Permit), Refusal> {
        let [mut alive, away, mut down] = self.by_standing();
        let missing = self.min.saturating_sub(alive.len() + away.len());
        alive.extend(down.drain(..missing.min(down.len())));
        let others = away.into_iter().chain(down).collect();
        ask_in_turn(alive, others, party, hold).await.map_err(|first| first.unwrap_or(Refusal::ShuttingDown))
    }

    /// The same of those that run or are being started alone: none is started for it, now or after it has ended.
    ///
    /// # Errors
    /// All refuse; nothing where there is none, or none any more.
    pub async fn acquire_running(&self, party: Party, hold: Hold) -> Result<(Arc<Member>, Permit), Option<Refusal>> {
        let [alive, away, _down] = self.by_standing();
        let running: Vec<_> = alive.iter().chain(&away).cloned().collect();
        tokio::select! {
            biased;
            answer = ask_in_turn(alive, away, party, hold) => answer,
            // Who waits in line for one that ends waits for the next, and would have it started.
            () = none_runs(&running) => Err(None),
        }
    }

    /// Those that answer or are being started, those that cannot be reached just now, and the others; the best first.
    fn by_standing(&self) -> [Vec<Arc<Member>>; 3] {
        let now = Instant::now();
        let (mut alive, mut away, mut down) = (Vec::new(), Vec::new(), Vec::new());
        for member in self.all().cloned() {
            match Standing::of(&member.handle.snapshot(), now) {
                Standing::Ready | Standing::Coming => alive.push(member),
                // It would say yes, and then nothing for a long time.
                Standing::Away => away.push(member),
                Standing::Stopped | Standing::Leaving | Standing::Out => down.push(member),
            }
        }
        [alive, away, down]
    }
}

/// Waits until none of them answers or is being started.
async fn none_runs(members: &[Arc<Member>]) {
    let runs = |seen: &Snapshot| match Standing::of(seen, Instant::now()) {
        Standing::Ready | Standing::Away | Standing::Coming => true,
        Standing::Stopped | Standing::Leaving | Standing::Out => false,
    };
    while let Some(member) = members.iter().find(|member| runs(&member.handle.snapshot())) {
        // Where its owner has ended, so has it.
        if member.handle.watch().wait_for(|seen| !runs(seen)).await.is_err() {
            return;
        }
    }
}

/// Waits for whichever of `at_once` is ready first; where they all refuse, for the others one by one.
async fn ask_in_turn(
    at_once: Vec<Arc<Member>>,
    others: Vec<Arc<Member>>,
    party: Party,
    hold: Hold,
) -> Result<(Arc<Member>, Permit), Option<Refusal>> {
    let ask = |member: Arc<Member>| async move {
        let answer = member.handle.acquire_for(party, hold).await;
        (member, answer)
    };
    let mut asked: FuturesUnordered<_> = at_once.into_iter().map(ask).collect();
    let mut others = others.into_iter();
    let mut first = None;
    loop {
        match asked.next().await {
            Some((member, Ok(permit))) => return Ok((member, permit)),
            Some((_, Err(refusal))) => drop(first.get_or_insert(refusal)),
            None => match others.next() {
                Some(next) => asked.push(ask(next)),
                None => return Err(first),
            },
        }
    }
}
