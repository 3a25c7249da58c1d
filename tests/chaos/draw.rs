//! What each round is, drawn from a seed before the first begins.

use std::time::Duration;

use crate::fault::{ALL, Fault};
use crate::support::draw::Draw;

/// What is going on when the fault comes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// Requests are answered.
    Serving,
    /// The first request after an idle stop has come, and an engine is asked for.
    Starting,
    /// Nobody asks, and the engine is about to be stopped, or is.
    Stopping,
}

/// What happens to the proxy in the midst of another fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Midst {
    Lives,
    /// It is killed, and the next is started at once.
    KilledAndStarted,
    /// It is killed, and the next is started when the fault is over.
    Killed,
    /// It is told to end.
    Told,
}

/// What is looked at after the round.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rest {
    /// Nothing more: the next round follows.
    None,
    /// Nobody asks until the engine was stopped.
    Idle,
    /// The proxy is told to end.
    Told,
}

/// One round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) number: usize,
    pub(crate) fault: Fault,
    pub(crate) moment: Moment,
    /// From that moment's beginning to the fault.
    pub(crate) delay: Duration,
    /// From the fault's beginning to its end.
    pub(crate) length: Duration,
    pub(crate) midst: Midst,
    pub(crate) rest: Rest,
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// All rounds: each fault as often as each other, in an order of its own.
pub(crate) fn rounds(count: usize, seed: u64) -> Vec<Round> {
    let mut draw = Draw::new(seed);
    let mut deck = Vec::new();
    let mut draw_one = |number| {
        if deck.is_empty() {
            deck = ALL.to_vec();
        }
        let at = usize::try_from(draw.below(deck.len() as u64)).unwrap_or(0);
        let fault: Fault = deck.swap_remove(at);
        let (moment, delay) = match draw.below(4) {
            0 | 1 => (Moment::Serving, draw.between((millis(0), millis(2500)))),
            2 => (Moment::Starting, draw.between((millis(0), millis(2000)))),
            _ => (Moment::Stopping, draw.between((millis(4000), millis(7000)))),
        };
        let length = draw.between(fault.lengths());
        let midst = match (draw.below(8), fault.midst()) {
            (0, (true, true)) => Midst::KilledAndStarted,
            (0 | 1, (true, _)) => Midst::Killed,
            (2, _) if fault != Fault::ProxyKilled => Midst::Told,
            _ => Midst::Lives,
        };
        let rest = match draw.below(6) {
            0 => Rest::Idle,
            1 => Rest::Told,
            _ => Rest::None,
        };
        Round { number, fault, moment, delay, length, midst, rest }
    };
    (1..=count).map(&mut draw_one).collect()
}
