//! The scheduler, model-checked: every state that three instances on two GPUs can come to is visited, whatever requests,
//! clients that leave, crashes and late words do. In none may a GPU have two owners, one with something to do be ended, or one
//! yield that stays; and from none may there be a way to go on, fair to all, on which somebody waits for ever.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::{Claim, Decision, Holder, Stands, World, decide};
use crate::id::GpuIndex;

/// As many requests as one instance has at once: with two, one can end while another goes on.
const REQUESTS: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    Down,
    Waits { long: bool },
    Starts,
    Ready { in_flight: u8, turn_over: bool },
    Drains { in_flight: u8 },
    Stops,
}

/// One instance. What the scheduler decided reaches it later, as any word does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct One {
    phase: Phase,
    /// Whether a client waits for it.
    wanted: bool,
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Told {
    Yield,
    Drain,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    all: Vec<One>,
    /// Those that wait, the first first; and those that are idle, the longest first.
    line: Vec<usize>,
    idle: Vec<usize>,
}

/// What may happen. The first three, and only they, may never happen: all else does at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    Request(usize),
    ClientLeaves(usize),
    Crash(usize),
    Ready(usize),
    Finish(usize),
    Gone(usize),
    Told(usize),
    TurnOver(usize),
    Long(usize),
}

impl Event {
    fn is_due(self) -> bool {
        !matches!(self, Self::Request(_) | Self::ClientLeaves(_) | Self::Crash(_))
    }
}

/// What there is, and who is to have it.
struct Setting {
    needs: &'static [&'static [u32]],
    most: Option<usize>,
    /// Those that never yield.
    stay: &'static [usize],
}

type Scheduler = dyn Fn(&World) -> Vec<Decision>;

impl Setting {
    fn gpus(&self, one: usize) -> BTreeSet<GpuIndex> {
        self.needs[one].iter().copied().map(GpuIndex).collect()
    }

    fn holders(state: &State) -> impl Iterator<Item = usize> {
        let holds = |one: &One| !matches!(one.phase, Phase::Down | Phase::Waits { .. });
        state.all.iter().enumerate().filter(move |(_, one)| holds(one)).map(|(at, _)| at)
    }

    fn world(&self, state: &State) -> World {
        let place = |list: &[usize], one| list.iter().position(|other| *other == one).unwrap_or_default() as u64;
        let claim = |(one, now): (usize, &One)| {
            let leaves = matches!(now.phase, Phase::Drains { .. } | Phase::Stops);
            let stands = match now.phase {
                Phase::Down => return None,
                Phase::Waits { long } => Stands::Waits { pressing: now.wanted, long },
                _ if self.stay.contains(&one) => Stands::Holds(Holder::Stays { leaves }),
                Phase::Starts => Stands::Holds(Holder::Busy { turn_over: false }),
                Phase::Ready { in_flight: 0, turn_over } => {
                    Stands::Holds(Holder::Idle { since: place(&state.idle, one), turn_over })
                }
                Phase::Ready { turn_over, .. } => Stands::Holds(Holder::Busy { turn_over }),
                Phase::Drains { .. } | Phase::Stops => Stands::Holds(Holder::Leaves),
            };
            let waits = matches!(now.phase, Phase::Waits { .. });
            let number = if waits { 10 + place(&state.line, one) } else { one as u64 };
            Some((one, Claim { number, gpus: self.gpus(one), stands }))
        };
        World {
            most: self.most,
            claims: state.all.iter().enumerate().filter_map(claim).map(|(_, claim)| claim).collect(),
        }
    }

    /// Asks the scheduler, and does what it says; which must be right.
    fn settle(&self, scheduler: &Scheduler, state: &mut State) -> Result<(), String> {
        let (line, world) = (state.line.clone(), self.world(state));
        for decision in scheduler(&world) {
            match decision {
                Decision::Grant(number) => {
                    let one = line[usize::try_from(number).unwrap_or(0) - 10];
                    if let Some(owner) =
                        Self::holders(state).find(|other| !self.gpus(*other).is_disjoint(&self.gpus(one)))
                    {
                        return Err(format!("{one} is given a GPU of {owner}: {state:?}"));
                    }
                    state.all[one].phase = Phase::Starts;
                    state.line.retain(|other| *other != one);
                }
                Decision::Yield(number) | Decision::Drain(number) => {
                    let one = usize::try_from(number).unwrap_or(usize::MAX);
                    let drains = matches!(decision, Decision::Drain(_));
                    match state.all[one].phase {
                        _ if self.stay.contains(&one) => {
                            return Err(format!("{one} stays, and is to yield: {state:?}"));
                        }
                        // What was said before is still heard.
                        Phase::Ready { in_flight: 0, .. } if !drains => {
                            state.all[one].told = state.all[one].told.max(Some(Told::Yield));
                        }
                        Phase::Ready { turn_over: true, .. } if drains => state.all[one].told = Some(Told::Drain),
                        _ => return Err(format!("{one} has something to do, and {decision:?}: {state:?}")),
                    }
                }
            }
        }
        if self.most.is_some_and(|most| Self::holders(state).count() > most) {
            return Err(format!("more run than may: {state:?}"));
        }
        Ok(())
    }

    /// The state after this, if it can happen now.
    fn after(&self, scheduler: &Scheduler, state: &State, event: Event) -> Option<Result<State, String>> {
        let mut next = state.clone();
        next.apply(event)?;
        Some(self.settle(scheduler, &mut next).map(|()| next))
    }

    /// Whether one waits that will get its turn, if all others do what they are told.
    fn has_a_claim(&self, state: &State, one: usize) -> bool {
        let now = &state.all[one];
        let stays = |other: &usize| self.stay.contains(other) && !matches!(state.all[*other].phase, Phase::Stops);
        let staying: Vec<usize> = Self::holders(state).filter(stays).collect();
        let no_room = self.most.is_some_and(|most| staying.len() >= most);
        let blocked = staying.iter().any(|other| !self.gpus(*other).is_disjoint(&self.gpus(one)));
        matches!(now.phase, Phase::Waits { .. }) && now.wanted && !blocked && !no_room
    }
}

impl State {
    fn new(count: usize) -> Self {
        let one = One { phase: Phase::Down, wanted: false, told: None };
        Self { all: vec![one; count], line: Vec::new(), idle: Vec::new() }
    }

    fn is_idle(&self, one: usize) -> bool {
        matches!(self.all[one].phase, Phase::Ready { in_flight: 0, .. })
    }

    /// Nothing where it cannot happen.
    fn apply(&mut self, event: Event) -> Option<()> {
        let (Event::Request(at)
        | Event::ClientLeaves(at)
        | Event::Crash(at)
        | Event::Ready(at)
        | Event::Finish(at)
        | Event::Gone(at)
        | Event::Told(at)
        | Event::TurnOver(at)
        | Event::Long(at)) = event;
        let now = &mut self.all[at];
        match (event, now.phase) {
            (Event::Request(_), Phase::Down) => {
                (now.phase, now.wanted) = (Phase::Waits { long: false }, true);
                self.line.push(at);
            }
            (Event::Request(_), Phase::Ready { in_flight, turn_over }) if in_flight < REQUESTS => {
                now.phase = Phase::Ready { in_flight: in_flight + 1, turn_over };
            }
            (Event::Request(_), Phase::Waits { .. } | Phase::Starts | Phase::Drains { .. } | Phase::Stops)
                if !now.wanted =>
            {
                now.wanted = true;
            }
            (Event::ClientLeaves(_), _) if now.wanted => {
                now.wanted = false;
            }
            (Event::Crash(_), Phase::Starts | Phase::Ready { .. } | Phase::Drains { .. }) => {
                (now.phase, now.wanted) = (Phase::Stops, false);
            }
            (Event::Ready(_), Phase::Starts) => {
                now.phase = Phase::Ready { in_flight: u8::from(std::mem::take(&mut now.wanted)), turn_over: false };
            }
            (Event::Finish(_), Phase::Ready { in_flight, turn_over }) if in_flight > 0 => {
                now.phase = Phase::Ready { in_flight: in_flight - 1, turn_over };
            }
            (Event::Finish(_), Phase::Drains { in_flight }) => {
                now.phase = if in_flight > 1 { Phase::Drains { in_flight: in_flight - 1 } } else { Phase::Stops };
            }
            (Event::Gone(_), Phase::Stops) => {
                (now.phase, now.told) = (Phase::Down, None);
                if now.wanted {
                    now.phase = Phase::Waits { long: false };
                    self.line.push(at);
                }
            }
            // What comes too late is not obeyed, but for one that had its turn.
            (Event::Told(_), phase) => match (now.told.take()?, phase) {
                (_, Phase::Ready { in_flight: 0, .. }) => now.phase = Phase::Stops,
                (Told::Drain, Phase::Ready { in_flight, .. }) => now.phase = Phase::Drains { in_flight },
                (_, _) => {}
            },
            (Event::TurnOver(_), Phase::Ready { in_flight, turn_over: false }) => {
                now.phase = Phase::Ready { in_flight, turn_over: true };
            }
            (Event::Long(_), Phase::Waits { long: false }) => now.phase = Phase::Waits { long: true },
            (_, _) => return None,
        }
        let is_idle = self.is_idle(at);
        if is_idle && !self.idle.contains(&at) {
            self.idle.push(at);
        } else if !is_idle {
            self.idle.retain(|other| *other != at);
        }
        Some(())
    }
}

fn events(count: usize) -> impl Iterator<Item = Event> {
    let kinds: [fn(usize) -> Event; 9] = [
        Event::Request,
        Event::ClientLeaves,
        Event::Crash,
        Event::Ready,
        Event::Finish,
        Event::Gone,
        Event::Told,
        Event::TurnOver,
        Event::Long,
    ];
    (0..count).flat_map(move |one| kinds.into_iter().map(move |kind| kind(one)))
}

/// All states that can come to be, and what leads from each to which.
struct Graph {
    states: Vec<State>,
    edges: Vec<Vec<(Event, usize)>>,
}

impl Graph {
    fn of(setting: &Setting, scheduler: &Scheduler) -> Result<Self, String> {
        let count = setting.needs.len();
        let mut graph = Self { states: vec![State::new(count)], edges: Vec::new() };
        let mut known = HashMap::from([(State::new(count), 0)]);
        let mut open = VecDeque::from([0]);
        while let Some(at) = open.pop_front() {
            let mut edges = Vec::new();
            for event in events(count) {
                let Some(next) = setting.after(scheduler, &graph.states[at].clone(), event) else { continue };
                let next = next?;
                let to = *known.entry(next.clone()).or_insert_with(|| {
                    graph.states.push(next);
                    open.push_back(graph.states.len() - 1);
                    graph.states.len() - 1
                });
                edges.push((event, to));
            }
            graph.edges.push(edges);
        }
        Ok(graph)
    }

    /// A part of the graph in which this one waits for ever although all that is due happens, if there is one.
    fn starves(&self, setting: &Setting, one: usize) -> Option<&State> {
        let inside: Vec<bool> = self.states.iter().map(|state| setting.has_a_claim(state, one)).collect();
        self.parts(&inside).into_iter().find_map(|part| {
            let members: BTreeSet<usize> = part.iter().copied().collect();
            let is_fair = events(setting.needs.len()).filter(|event| event.is_due()).all(|event| {
                // Either it happens now and then, or now and then it cannot.
                part.iter().any(|state| {
                    let leads = self.edges[*state].iter().find(|(other, _)| *other == event);
                    leads.is_none_or(|(_, to)| members.contains(to))
                })
            });
            is_fair.then(|| &self.states[part[0]])
        })
    }

    /// The strongly connected parts of those states (Tarjan's, without recursion). In each, one may stay for ever.
    fn parts(&self, inside: &[bool]) -> Vec<Vec<usize>> {
        let (mut order, mut low) = (vec![usize::MAX; inside.len()], vec![0; inside.len()]);
        let (mut stacked, mut stack, mut parts, mut next) = (vec![false; inside.len()], Vec::new(), Vec::new(), 0);
        for root in (0..inside.len()).filter(|at| inside[*at]) {
            if order[root] != usize::MAX {
                continue;
            }
            let mut work = vec![(root, 0)];
            while let Some((at, edge)) = work.pop() {
                if edge == 0 {
                    (order[at], low[at], stacked[at]) = (next, next, true);
                    stack.push(at);
                    next += 1;
                }
                let rest = self.edges[at].iter().enumerate().skip(edge).map(|(edge, (_, to))| (edge, *to));
                let rest = rest.filter(|(_, to)| inside[*to]);
                let mut deeper = None;
                for (edge, to) in rest {
                    if order[to] == usize::MAX {
                        deeper = Some((edge, to));
                        break;
                    } else if stacked[to] {
                        low[at] = low[at].min(order[to]);
                    }
                }
                if let Some((edge, to)) = deeper {
                    // The edge is looked at again when that is done: then `to` has its number.
                    work.push((at, edge.max(1)));
                    work.push((to, 0));
                    continue;
                }
                if low[at] == order[at] {
                    let mut part = Vec::new();
                    while let Some(member) = stack.pop() {
                        stacked[member] = false;
                        part.push(member);
                        if member == at {
                            break;
                        }
                    }
                    parts.push(part);
                }
                if let Some((above, _)) = work.last() {
                    low[*above] = low[*above].min(low[at]);
                }
            }
        }
        parts
    }
}

/// What is wrong with this scheduler in this setting, if anything is; else how many states there are.
fn check(setting: &Setting, scheduler: &Scheduler) -> Result<usize, String> {
    let graph = Graph::of(setting, scheduler)?;
    match (0..setting.needs.len()).find_map(|one| Some((one, graph.starves(setting, one)?))) {
        Some((one, state)) => Err(format!("{one} waits for ever: {state:?}")),
        None => Ok(graph.states.len()),
    }
}

const SETTINGS: &[Setting] = &[
    Setting { needs: &[&[0], &[0], &[1]], most: None, stay: &[] },
    Setting { needs: &[&[0, 1], &[0], &[1]], most: None, stay: &[] },
    Setting { needs: &[&[0, 1], &[0, 1], &[0, 1]], most: None, stay: &[] },
    Setting { needs: &[&[0, 1], &[0], &[1]], most: None, stay: &[1] },
    Setting { needs: &[&[0, 1], &[0], &[1]], most: Some(1), stay: &[] },
    Setting { needs: &[&[], &[], &[]], most: Some(1), stay: &[] },
    Setting { needs: &[&[], &[0], &[0]], most: Some(2), stay: &[] },
    Setting { needs: &[&[], &[], &[]], most: Some(2), stay: &[0] },
];

#[test]
fn no_gpu_has_two_owners_and_nobody_waits_for_ever() {
    for setting in SETTINGS {
        let states = check(setting, &decide).unwrap_or_else(|what| panic!("{:?}: {what}", setting.needs));
        assert!(states > 1_000, "a model of {states} states shows nothing");
    }
}

/// Each of these schedulers has one fault, and the model finds it.
#[test]
fn the_model_finds_what_is_wrong_with_a_scheduler() {
    let without = |unwanted: fn(&Decision) -> bool| {
        move |world: &World| decide(world).into_iter().filter(|decision| !unwanted(decision)).collect::<Vec<_>>()
    };
    let told_otherwise = |change: fn(&mut Claim)| {
        move |world: &World| {
            let mut world = world.clone();
            world.claims.iter_mut().for_each(change);
            decide(&world)
        }
    };
    let faulty: [(&str, &str, Box<Scheduler>); 7] = [
        ("never makes one yield", "waits for ever", Box::new(without(|it| !matches!(it, Decision::Grant(_))))),
        ("never drains a busy one", "waits for ever", Box::new(without(|it| matches!(it, Decision::Drain(_))))),
        ("sees no GPUs", "is given a GPU", Box::new(told_otherwise(|claim| claim.gpus.clear()))),
        (
            "takes the busy for idle",
            "has something to do",
            Box::new(told_otherwise(|claim| {
                if let Stands::Holds(holder @ Holder::Busy { .. }) = &mut claim.stands {
                    *holder = Holder::Idle { since: 0, turn_over: false };
                }
            })),
        ),
        (
            "obeys no wish to stay",
            "stays",
            Box::new(told_otherwise(|claim| {
                if let Stands::Holds(holder @ Holder::Stays { leaves: false }) = &mut claim.stands {
                    *holder = Holder::Idle { since: 0, turn_over: false };
                }
            })),
        ),
        (
            "serves the last first",
            "waits for ever",
            Box::new(|world: &World| {
                let mut world = world.clone();
                world.claims.iter_mut().for_each(|claim| claim.number = turned(claim.number));
                let back = |decision| match decision {
                    Decision::Grant(number) => Decision::Grant(turned(number)),
                    other @ (Decision::Yield(_) | Decision::Drain(_)) => other,
                };
                decide(&world).into_iter().map(back).collect()
            }),
        ),
        (
            "knows no bound",
            "more run than may",
            Box::new(|world: &World| decide(&World { most: None, claims: world.claims.clone() })),
        ),
    ];
    for (fault, found, scheduler) in faulty {
        let wrong = SETTINGS.iter().find_map(|setting| check(setting, scheduler.as_ref()).err());
        assert!(wrong.as_ref().is_some_and(|what| what.contains(found)), "a scheduler that {fault}: {wrong:?}");
    }
}

#[test]
fn of_the_idle_the_one_idle_longest_makes_room_and_only_for_requests() {
    let holds = |number, holder| Claim { number, gpus: BTreeSet::new(), stands: Stands::Holds(holder) };
    let idle = |number, since| holds(number, Holder::Idle { since, turn_over: false });
    let waits =
        |number, pressing| Claim { number, gpus: BTreeSet::new(), stands: Stands::Waits { pressing, long: false } };
    let decided = |claims: &[Claim]| decide(&World { most: Some(4), claims: claims.to_vec() });
    let four = [idle(1, 30), idle(2, 10), holds(3, Holder::Stays { leaves: false }), idle(4, 20)];
    let with = |more: &[Claim]| decided(&[four.as_slice(), more].concat());
    assert_eq!(with(&[waits(5, true)]), [Decision::Yield(2)]);
    assert_eq!(with(&[waits(5, true), waits(6, true)]), [Decision::Yield(2), Decision::Yield(4)]);
    assert_eq!(with(&[waits(5, false)]), [], "nobody waits for it");
    let leaves = [idle(1, 30), idle(2, 10), holds(3, Holder::Leaves), idle(4, 20), waits(5, true)];
    assert_eq!(decided(&leaves), [], "one is on its way out already");
    assert_eq!(decided(&[idle(1, 30), waits(5, false), waits(6, true)]), [Decision::Grant(6), Decision::Grant(5)]);
}

/// The other way round, for those that wait.
fn turned(number: u64) -> u64 {
    if number >= 10 { 30 - number } else { number }
}
