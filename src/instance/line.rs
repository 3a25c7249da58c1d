//! Who waits for an engine, and whose turn is next: one of each party after the other, so that a party of five hundred
//! requests and one of a single request both get every other turn.

use std::collections::VecDeque;

use super::{Hold, Waiter};

/// Whom a request is from, as far as turns go: all requests with one access key are one party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Party(pub u64);

/// All who wait. In order of turns by party, and of coming within one; no party here is empty.
#[derive(Clone, Debug, Default)]
pub struct Line {
    parties: VecDeque<(Party, VecDeque<(Waiter, Hold)>)>,
    len: usize,
}

/// What came of joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// There was room.
    Yes,
    /// The line was full, and this one, the last of the largest party, had to leave it.
    InsteadOf(Waiter),
    /// The line is full, and no party has more in it.
    No,
}

impl Line {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts one at the end of its party, in a line of at most `limit`. A party that is new here has its turn after all others.
    pub fn join(&mut self, waiter: Waiter, party: Party, hold: Hold, limit: usize) -> Joined {
        let mut joined = Joined::Yes;
        if self.len >= limit {
            let own = self.parties.iter().find(|(of, _)| *of == party).map_or(0, |(_, waiting)| waiting.len());
            let largest = self.parties.iter().enumerate().max_by_key(|(_, (_, waiting))| waiting.len());
            let last = largest.filter(|(_, (_, waiting))| waiting.len() > own + 1);
            let Some(&(last, _)) = last.and_then(|(_, (_, waiting))| waiting.back()) else { return Joined::No };
            self.leave(last);
            joined = Joined::InsteadOf(last);
        }
        match self.parties.iter_mut().find(|(of, _)| *of == party) {
            Some((_, waiting)) => waiting.push_back((waiter, hold)),
            None => self.parties.push_back((party, VecDeque::from([(waiter, hold)]))),
        }
        self.len += 1;
        joined
    }

    /// Takes out whose turn it is. His party's next turn comes after one of every other.
    pub fn next_turn(&mut self) -> Option<(Waiter, Hold)> {
        let (party, mut waiting) = self.parties.pop_front()?;
        let first = waiting.pop_front();
        if !waiting.is_empty() {
            self.parties.push_back((party, waiting));
        }
        self.len -= usize::from(first.is_some());
        first
    }

    /// Takes one out, whoever's turn it is; says whether he was there.
    pub fn leave(&mut self, waiter: Waiter) -> bool {
        let mut was_there = false;
        for (_, waiting) in &mut self.parties {
            if let Some(at) = waiting.iter().position(|(of, _)| *of == waiter) {
                waiting.remove(at);
                was_there = true;
                break;
            }
        }
        self.parties.retain(|(_, waiting)| !waiting.is_empty());
        self.len -= usize::from(was_there);
        was_there
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn join(line: &mut Line, waiter: u64, party: u64, limit: usize) -> Joined {
        line.join(Waiter(waiter), Party(party), Hold::Inference, limit)
    }

    #[test]
    fn one_script_of_five_hundred_lets_a_class_of_sixty_pass() {
        let mut line = Line::default();
        (0..500).for_each(|waiter| assert_eq!(join(&mut line, waiter, 1, 1024), Joined::Yes));
        (500..560).for_each(|waiter| assert_eq!(join(&mut line, waiter, 2, 1024), Joined::Yes));
        let turns: Vec<u64> = (0..120).filter_map(|_| line.next_turn()).map(|(waiter, _)| waiter.0).collect();
        let class: Vec<u64> = turns.iter().copied().filter(|waiter| *waiter >= 500).collect();
        assert_eq!(class, (500..560).collect::<Vec<_>>(), "all of them, each in the order of coming");
        assert_eq!(line.len(), 440);
    }

    #[test]
    fn in_a_full_line_the_largest_party_gives_way_and_no_other() {
        let mut line = Line::default();
        (0..4).for_each(|waiter| assert_eq!(join(&mut line, waiter, 1, 4), Joined::Yes));
        assert_eq!(join(&mut line, 4, 1, 4), Joined::No, "it is its own");
        assert_eq!(join(&mut line, 5, 2, 4), Joined::InsteadOf(Waiter(3)));
        assert_eq!(join(&mut line, 6, 2, 4), Joined::InsteadOf(Waiter(2)));
        assert_eq!(join(&mut line, 7, 2, 4), Joined::No, "each has a half");
        assert_eq!(join(&mut line, 8, 3, 4), Joined::InsteadOf(Waiter(6)));
        assert_eq!(line.len(), 4);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Join(u64),
        Turn,
        Leave(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..5_u64).prop_map(Op::Join),
            3 => Just(Op::Turn),
            1 => any::<usize>().prop_map(Op::Leave),
        ]
    }

    proptest! {
        /// Nobody is lost or served twice; and between two turns of one party, every other that waits has one.
        #[test]
        fn nobody_is_starved_or_lost(ops in prop::collection::vec(op(), 0..200), limit in 1..40_usize) {
            let mut line = Line::default();
            let mut waiting: BTreeMap<u64, u64> = BTreeMap::new();
            // For each party that waits: the turns that each other had since its own last one, or since it came.
            let mut passed_by: BTreeMap<u64, BTreeMap<u64, u32>> = BTreeMap::new();
            for (number, op) in (0_u64..).zip(ops) {
                match op {
                    Op::Join(party) => match join(&mut line, number, party, limit) {
                        Joined::Yes => drop(waiting.insert(number, party)),
                        Joined::InsteadOf(Waiter(other)) => {
                            let of = waiting.remove(&other);
                            prop_assert!(of.is_some_and(|of| of != party));
                            waiting.insert(number, party);
                        }
                        Joined::No => prop_assert_eq!(waiting.len(), limit),
                    },
                    Op::Turn => {
                        let turn = line.next_turn().map(|(waiter, _)| waiter.0);
                        prop_assert_eq!(turn.is_none(), waiting.is_empty());
                        let Some(turn) = turn else { continue };
                        let party = waiting.remove(&turn);
                        prop_assert!(party.is_some(), "{turn} does not wait");
                        let party = party.unwrap_or_default();
                        let earlier = waiting.iter().find(|(number, of)| **of == party && **number < turn);
                        prop_assert_eq!(earlier, None, "out of turn within a party");
                        passed_by.remove(&party);
                        let others: BTreeSet<u64> = waiting.values().copied().filter(|other| *other != party).collect();
                        for other in others {
                            let turns = passed_by.entry(other).or_default().entry(party).or_default();
                            *turns += 1;
                            prop_assert!(*turns <= 1, "{party} has {turns} turns while {other} waits");
                        }
                    }
                    Op::Leave(at) => {
                        let number = waiting.keys().copied().nth(at % waiting.len().max(1));
                        if let Some(number) = number {
                            waiting.remove(&number);
                            prop_assert!(line.leave(Waiter(number)));
                        }
                        prop_assert!(!line.leave(Waiter(u64::MAX)));
                    }
                }
                passed_by.retain(|party, _| waiting.values().any(|of| of == party));
                prop_assert_eq!(line.len(), waiting.len());
                prop_assert!(line.len() <= limit);
            }
        }
    }
}
