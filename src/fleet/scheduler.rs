//! Who of those that wait for GPUs or for room may start, and who yields to them: decided by one pure function, with no clock
//! and no I/O.
//!
//! Those who wait are served in their order. Nobody is let past somebody who came before and needs one of the same GPUs. Who
//! has something to do is never ended for another: at most nobody else is let in to it, once it had its turn.

use std::collections::BTreeSet;

use crate::id::GpuIndex;

/// All claims to this machine's GPUs, and to room on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// How many may hold something at once; none: as many as the GPUs allow.
    pub most: Option<usize>,
    /// Each claim.
    pub claims: Vec<Claim>,
}

/// What one life holds, or waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which claim it is; smaller numbers came first.
    pub number: u64,
    /// The GPUs, for itself alone.
    pub gpus: BTreeSet<GpuIndex>,
    /// How it stands.
    pub stands: Stands,
}

/// How a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It waits.
    Waits {
        /// Whether requests wait for it: only for them others yield.
        pressing: bool,
        /// Whether it has waited so long that the busy ones yield, too. It is reckoned from its coming, whoever left meanwhile.
        long: bool,
    },
    /// It holds what it wants.
    Holds(Holder),
}

/// What one who holds something does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Starts, or has requests.
    Busy {
        /// Whether it has been ready for so long that others may have a turn.
        turn_over: bool,
    },
    /// Has nothing to do.
    Idle {
        /// Since when: a smaller number is longer ago.
        since: u64,
        /// Whether it has been ready for so long that others may have a turn.
        turn_over: bool,
    },
    /// Is on its way out.
    Leaves,
    /// Never yields.
    Stays {
        /// Whether it is on its way out all the same, since a person or a failure ends it.
        leaves: bool,
    },
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The claim of this number gets what it wants.
    Grant(u64),
    /// The holder of this number is idle and ends.
    Yield(u64),
    /// The holder of this number had its turn: it lets nobody else in, and ends once it has nothing to do. To an idle one that is
    /// said where it may not be idle any more when it hears of it.
    Drain(u64),
}

/// Those who hold something, as the decisions up to now leave them.
struct Holding<'w> {
    claim: &'w Claim,
    holder: Holder,
}

impl Holding<'_> {
    fn leaves(&self) -> bool {
        matches!(self.holder, Holder::Leaves | Holder::Stays { leaves: true })
    }

    /// How it can be made to leave for somebody who has waited `long`, or not.
    fn way_out(&self, long: bool) -> Option<WayOut> {
        match self.holder {
            Holder::Leaves | Holder::Stays { leaves: true } => Some(WayOut::Leaves),
            Holder::Idle { turn_over: true, .. } | Holder::Busy { turn_over: true } if long => {
                Some(WayOut::Decided(Decision::Drain(self.claim.number)))
            }
            Holder::Idle { .. } => Some(WayOut::Decided(Decision::Yield(self.claim.number))),
            Holder::Busy { .. } | Holder::Stays { leaves: false } => None,
        }
    }
}

enum WayOut {
    /// By itself.
    Leaves,
    Decided(Decision),
}

/// Decides. What is not changed by its decisions stays as it is until the world is another.
#[must_use]
pub fn decide(world: &World) -> Vec<Decision> {
    let mut decisions = Vec::new();
    let mut holding: Vec<Holding<'_>> = world
        .claims
        .iter()
        .filter_map(|claim| match claim.stands {
            Stands::Holds(holder) => Some(Holding { claim, holder }),
            Stands::Waits { .. } => None,
        })
        .collect();
    // What somebody who comes first is going to have.
    let mut promised: BTreeSet<GpuIndex> = BTreeSet::new();
    let mut before_in_line = 0;
    for (claim, pressing, long) in in_line(world) {
        if claim.gpus.intersection(&promised).next().is_some() {
            promised.extend(&claim.gpus);
            continue;
        }
        let blockers: Vec<usize> = (0..holding.len()).filter(|at| overlaps(&holding, *at, claim)).collect();
        let (room, lacking) = room(world.most, holding.len() + before_in_line);
        if blockers.is_empty() && room {
            decisions.push(Decision::Grant(claim.number));
            holding.push(Holding { claim, holder: Holder::Busy { turn_over: false } });
            continue;
        }
        if blockers.is_empty() {
            before_in_line += 1;
            let leaving = holding.iter().filter(|held| held.leaves()).count();
            if pressing && leaving < lacking {
                decisions.extend(make_room(&mut holding, long));
            }
        } else if !make_way(&mut holding, &blockers, pressing, long, &mut decisions) {
            // Nobody knows when it ends, if ever: those behind are not to wait for it.
            continue;
        }
        promised.extend(&claim.gpus);
    }
    decisions
}

/// Those who wait, in the order in which they are served: first those for whom requests wait.
fn in_line(world: &World) -> Vec<(&Claim, bool, bool)> {
    let waits = |claim: &Claim| match claim.stands {
        Stands::Waits { pressing, long } => Some((pressing, long)),
        Stands::Holds(_) => None,
    };
    let each = world.claims.iter().filter_map(|claim| waits(claim).map(|(pressing, long)| (claim, pressing, long)));
    let mut line: Vec<_> = each.collect();
    line.sort_by_key(|(claim, pressing, _)| (!pressing, claim.number));
    line
}

fn overlaps(holding: &[Holding<'_>], at: usize, claim: &Claim) -> bool {
    holding.get(at).is_some_and(|held| held.claim.gpus.intersection(&claim.gpus).next().is_some())
}

/// Whether there is room for one more beside so many, and if not, how many must leave.
fn room(most: Option<usize>, taken: usize) -> (bool, usize) {
    let lacking = most.map_or(0, |most| (taken + 1).saturating_sub(most));
    (lacking == 0, lacking)
}

/// Has all that are in the way leave, if all can be made to: to end one of two would help nobody. Says whether they ever will.
fn make_way(
    holding: &mut [Holding<'_>],
    blockers: &[usize],
    pressing: bool,
    long: bool,
    decisions: &mut Vec<Decision>,
) -> bool {
    let ways: Option<Vec<WayOut>> =
        blockers.iter().filter_map(|at| holding.get(*at)).map(|held| held.way_out(long)).collect();
    if let Some(ways) = ways.filter(|_| pressing) {
        decisions.extend(ways.into_iter().filter_map(|way| match way {
            WayOut::Leaves => None,
            WayOut::Decided(decision) => Some(decision),
        }));
        for at in blockers {
            if let Some(held) = holding.get_mut(*at) {
                held.holder = Holder::Leaves;
            }
        }
    }
    let stays = |held: &Holding<'_>| matches!(held.holder, Holder::Stays { leaves: false });
    !blockers.iter().filter_map(|at| holding.get(*at)).any(stays)
}

/// Has one leave: of the idle ones the one that has been idle longest; of the others the one that came first.
fn make_room(holding: &mut [Holding<'_>], long: bool) -> Option<Decision> {
    let rank = |held: &Holding<'_>| match held.holder {
        Holder::Idle { since, .. } => Some((false, since)),
        Holder::Busy { turn_over: true } if long => Some((true, held.claim.number)),
        Holder::Busy { .. } | Holder::Leaves | Holder::Stays { .. } => None,
    };
    let (_, one) = holding.iter_mut().filter_map(|held| Some((rank(held)?, held))).min_by_key(|(rank, _)| *rank)?;
    let way = one.way_out(long)?;
    one.holder = Holder::Leaves;
    match way {
        WayOut::Decided(decision) => Some(decision),
        WayOut::Leaves => None,
    }
}

#[cfg(test)]
#[path = "scheduler_model.rs"]
mod model;
