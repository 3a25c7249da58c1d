//! Which replica of a model a request goes to, and whether there are to be more of them: decided without a clock, and
//! without a look at anything but what is given.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::time::Instant;

use crate::id::{InstanceName, fnv1a};
use crate::instance::{Phase, Snapshot};

/// How much more than the mean a replica may have to do before a request goes to another than the one whose cache is warm, in
/// percent of the mean. Consistent hashing with bounded loads keeps nearly all requests where they belong at this factor.
const LOAD_FACTOR: usize = 125;

/// After this long, one that could not be started may be tried again although others run: longer than the longest pause after
/// failures, in which it would be refused.
const FORGIVEN_AFTER: Duration = Duration::from_mins(11);

/// How long nobody may have asked for any replica until those that still wait to be started are no longer wanted.
const LULL: Duration = Duration::from_mins(2);

/// By what one of several is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The fewest requests in flight and waiting.
    LeastOutstanding,
    /// The beginning of the prompt.
    Prefix,
}

/// How many there may be, and when there are to be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// So many are kept while any is used; never 0.
    pub min: usize,
    /// A replica with so many requests in flight is busy.
    pub busy_at: usize,
    /// All that run must be busy for so long until one more is started.
    pub scale_after: Duration,
}

/// What can be had of a replica, from the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It answers.
    Ready,
    /// It runs, and cannot be reached just now.
    Away,
    /// It is being started.
    Coming,
    /// It can be started.
    Stopped,
    /// It is being ended, and can be started then.
    Leaving,
    /// It failed, or needs a person.
    Out,
}

impl Standing {
    /// Of an instance that stands so.
    #[must_use]
    pub fn of(seen: &Snapshot, now: Instant) -> Self {
        match &seen.phase {
            Phase::Ready if seen.link.is_up() && !seen.paused => Self::Ready,
            Phase::Ready => Self::Away,
            Phase::Recovering | Phase::Submitting | Phase::Queued { .. } | Phase::Starting => Self::Coming,
            Phase::Stopped => Self::Stopped,
            Phase::Failed(_) if now >= seen.since + FORGIVEN_AFTER => Self::Stopped,
            Phase::Draining | Phase::Stopping(None) => Self::Leaving,
            Phase::Stopping(Some(_)) | Phase::Failed(_) | Phase::Unreachable(_) => Self::Out,
        }
    }
}

/// One replica, as a request sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What can be had of it.
    pub standing: Standing,
    /// Requests in flight and waiting.
    pub load: usize,
    /// How near the request's beginning is to it, by [`nearness`]; nothing where that does not count.
    pub nearness: Option<u64>,
}

/// How near what begins with this hash is to the replica of that name. The order of all by nearness is the same for the same
/// beginning, and one that comes or goes moves only what is nearest to it (rendezvous hashing).
#[must_use]
pub fn nearness(beginning: u64, name: &InstanceName) -> u64 {
    mix(beginning ^ mix(fnv1a(name.as_str().as_bytes())))
}

/// Spreads each bit over all (the finalizer of SplitMix64): what differs in the last letter alone must differ everywhere.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// In which order they are asked, by their places in `seen`: those that answer first; among these the nearest that has not too
/// much to do, or the one with the least to do.
#[must_use]
pub fn order(seen: &[Seen]) -> Vec<usize> {
    let mut order: Vec<(usize, &Seen)> = seen.iter().enumerate().collect();
    let nearest = |seen: &Seen| seen.nearness.filter(|_| seen.standing == Standing::Ready).map(Reverse);
    order.sort_by_key(|(at, seen)| (seen.standing, nearest(seen), seen.load, *at));
    let ready: Vec<&Seen> = seen.iter().filter(|one| one.standing == Standing::Ready).collect();
    let total: usize = ready.iter().map(|one| one.load).sum();
    let bound = ((total + 1) * LOAD_FACTOR).div_ceil(100 * ready.len().max(1));
    let fits = |(_, one): &(usize, &Seen)| one.standing == Standing::Ready && one.load < bound;
    if let Some(first) = order.iter().position(fits)
        && let Some(ahead) = order.get_mut(..=first)
    {
        ahead.rotate_right(1);
    }
    order.into_iter().map(|(at, _)| at).collect()
}

/// One replica, as it counts for how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// What can be had of it.
    pub standing: Standing,
    /// Inference requests in flight.
    pub in_flight: usize,
    /// Requests that wait for it.
    pub waiting: usize,
}

/// What is wanted of all replicas of a model, from one look to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Whether a request that may start engines has come since all was quiet.
    asked: bool,
    /// Since when all that run are busy.
    busy_since: Option<Instant>,
    /// Since when nothing is in flight.
    quiet_since: Option<Instant>,
}

/// What is to be done with a replica, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is to be started.
    Start(usize),
    /// Its idle clock starts anew, because its neighbours are used.
    Keep(usize),
}

impl Demand {
    /// Whether any is used, or was a moment ago.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.asked
    }
}

/// Takes in how all replicas stand, in the order of their numbers, and whether somebody `asked` since the last look; and says
/// what is to be done.
#[must_use]
pub fn scale(bounds: Bounds, mut demand: Demand, looks: &[Look], asked: bool, now: Instant) -> (Demand, Vec<Step>) {
    let used = asked || looks.iter().any(|look| look.in_flight + look.waiting > 0);
    demand.asked |= asked;
    if !used {
        let since = *demand.quiet_since.get_or_insert(now);
        demand.busy_since = None;
        demand.asked &= now < since + LULL;
        return (demand, Vec::new());
    }
    demand.quiet_since = None;
    let is_alive = |look: &Look| matches!(look.standing, Standing::Ready | Standing::Away | Standing::Coming);
    let alive = looks.iter().filter(|look| is_alive(look)).count();
    let kept = looks.iter().enumerate().filter(|(_, look)| is_alive(look)).take(bounds.min);
    let rests = |look: &Look| look.standing == Standing::Ready && look.in_flight == 0;
    let mut steps: Vec<Step> = kept.filter(|(_, look)| rests(look)).map(|(at, _)| Step::Keep(at)).collect();
    if !demand.asked {
        return (demand, steps);
    }
    let mut startable =
        looks.iter().enumerate().filter(|(_, look)| look.standing == Standing::Stopped).map(|(at, _)| at);
    let missing = bounds.min.saturating_sub(alive);
    steps.extend(startable.by_ref().take(missing).map(Step::Start));
    let mut ready = looks.iter().filter(|look| look.standing == Standing::Ready).peekable();
    let one_comes = missing > 0 || looks.iter().any(|look| look.standing == Standing::Coming);
    let is_busy = |look: &Look| look.in_flight >= bounds.busy_at || look.waiting > 0;
    let all_busy = ready.peek().is_some() && ready.all(is_busy);
    if one_comes || !all_busy {
        demand.busy_since = None;
    } else if now >= *demand.busy_since.get_or_insert(now) + bounds.scale_after {
        demand.busy_since = None;
        steps.extend(startable.next().map(Step::Start));
    }
    (demand, steps)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
#[path = "replicas_tests.rs"]
mod tests;
