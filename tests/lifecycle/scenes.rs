//! One way through a life each, step by step.

use std::num::NonZeroUsize;
use std::time::Duration;

use llm_proxy::instance::{Event, Hold, Life, Party, Waiter};
use llm_proxy::launch::LeftBehind;

use crate::world::{Op, Stage, World, acquire};

#[test]
fn a_hundred_requests_start_one_life() {
    let mut world = World::new();
    world.policy.max_waiting = 100;
    (0..100).for_each(|_| acquire(&mut world));
    assert_eq!(world.life, Some((1, Stage::Submitted)));
    assert_eq!(world.waiting.len(), 100);
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    assert_eq!(world.permits.len(), 100);
}

#[test]
fn a_failure_is_told_to_all_and_the_next_start_waits_a_little() {
    let mut world = World::new();
    acquire(&mut world);
    acquire(&mut world);
    world.apply(&Op::Ended);
    assert_eq!(world.answered.len(), 2);
    acquire(&mut world);
    assert!(world.waiting.is_empty(), "refused while the remains are being ended");
    world.apply(&Op::Gone);
    acquire(&mut world);
    assert!(world.waiting.is_empty(), "refused before the time");
    world.apply(&Op::Advance(5_000));
    acquire(&mut world);
    assert_eq!(world.life, Some((2, Stage::Submitted)));
}

#[test]
fn a_request_while_stopping_starts_the_next_life() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    world.apply(&Op::Release(0));
    world.apply(&Op::Stop);
    acquire(&mut world);
    assert_eq!(world.waiting.len(), 1);
    world.apply(&Op::Gone);
    assert_eq!(world.life, Some((2, Stage::Submitted)));
}

#[test]
fn what_was_left_behind_and_ended_meanwhile_is_no_failure() {
    for left_behind in [LeftBehind::GoesOn, LeftBehind::WasEnding, LeftBehind::OtherPlan] {
        let mut world = World::new();
        world.apply(&Op::Resume(left_behind));
        acquire(&mut world);
        world.apply(&Op::Starting);
        world.apply(&Op::Ended);
        assert_eq!(world.waiting.len(), 1, "it is not refused");
        world.apply(&Op::Gone);
        assert_eq!(world.life, Some((2, Stage::Submitted)), "and gets an engine of its own");
    }
}

#[test]
fn what_was_left_behind_and_nobody_wants_is_withdrawn_from_the_queue() {
    let mut world = World::new();
    world.apply(&Op::Resume(LeftBehind::GoesOn));
    world.apply(&Op::Advance(600_000));
    assert!(!world.end_asked, "not before it is found: it may be running");
    world.apply(&Op::Queued);
    world.apply(&Op::Advance(120_000));
    assert!(world.end_asked);
}

#[test]
fn a_queued_start_that_nobody_waits_for_is_withdrawn_after_two_minutes() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Queued);
    world.apply(&Op::Abandon(0));
    world.apply(&Op::Advance(119_000));
    assert!(!world.end_asked, "an SDK that tries again keeps its place");
    acquire(&mut world);
    world.apply(&Op::Advance(3_600_000));
    assert!(!world.end_asked, "somebody waits again");
    world.apply(&Op::Abandon(0));
    world.apply(&Op::Advance(120_000));
    assert!(world.end_asked);
}

#[test]
fn a_look_at_the_models_does_not_follow_a_life_that_served_nothing() {
    let mut world = World::new();
    world.apply(&Op::Nudge);
    assert!(world.life.is_some(), "the first look starts the engine");
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    world.apply(&Op::Stop);
    world.apply(&Op::Gone);
    world.apply(&Op::Nudge);
    assert!(world.life.is_none(), "a poller must not hold a GPU");
    acquire(&mut world);
    assert!(world.life.is_some(), "a request does start it");
}

#[test]
fn a_person_starts_what_failed_and_what_nobody_waits_for() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Ended);
    world.apply(&Op::Start);
    assert_eq!(world.life, Some((1, Stage::Ended)), "what is left is verified gone first");
    world.apply(&Op::Gone);
    assert_eq!(world.life, Some((2, Stage::Submitted)), "and no back-off is waited for");
    world.apply(&Op::Queued);
    acquire(&mut world);
    world.apply(&Op::Abandon(0));
    world.apply(&Op::Advance(3_600_000));
    assert!(!world.end_asked, "a person wanted it");
    world.apply(&Op::Stop);
    world.apply(&Op::Gone);
    assert!(world.life.is_none(), "until a person does not");
}

#[test]
fn a_persons_stop_is_told_to_those_who_wait_and_no_life_follows() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Queued);
    world.apply(&Op::Stop);
    assert_eq!(world.answered.len(), 1);
    world.apply(&Op::Gone);
    assert_eq!(world.state.life(), &Life::Stopped);
}

#[test]
fn while_a_person_is_needed_all_are_told_and_afterwards_requests_flow_at_once() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Login(true));
    assert_eq!(world.answered.len(), 1, "who waits is told");
    world.apply(&Op::Ready);
    acquire(&mut world);
    assert_eq!((world.answered.len(), world.permits.len()), (2, 0), "who comes is told");
    world.apply(&Op::Login(false));
    acquire(&mut world);
    assert_eq!(world.permits.len(), 1);
}

/// The engine is not given up for it, and those who come meanwhile are told.
#[test]
fn an_engine_that_nothing_leads_to_is_granted_to_nobody_until_something_does() {
    let mut world = World::new();
    acquire(&mut world);
    for op in [Op::Starting, Op::Unreachable(true)] {
        world.apply(&op);
    }
    assert_eq!(world.answered.len(), 0, "who waits for the start waits for the way, too");
    world.apply(&Op::Ready);
    assert_eq!(world.permits.len(), 1, "it has answered");
    world.apply(&Op::Unreachable(true));
    acquire(&mut world);
    assert_eq!((world.answered.len(), world.permits.len()), (2, 1), "who comes is told");
    world.apply(&Op::Unreachable(false));
    acquire(&mut world);
    assert_eq!((world.life, world.permits.len()), (Some((1, Stage::Ready)), 2));
}

#[test]
fn what_failed_for_want_of_a_person_starts_at_once_after_the_login() {
    for gone_first in [true, false] {
        let mut world = World::new();
        acquire(&mut world);
        world.apply(&Op::Ended);
        let order = if gone_first { [Op::Gone, Op::Reset] } else { [Op::Reset, Op::Gone] };
        for op in &order {
            world.apply(op);
        }
        acquire(&mut world);
        assert_eq!(world.life, Some((2, Stage::Submitted)));
    }
}

#[test]
fn queue_time_and_load_time_have_their_own_limits() {
    let mut world = World::new();
    world.policy.queue_timeout = Duration::from_secs(10);
    world.policy.startup_timeout = Duration::from_secs(100);
    acquire(&mut world);
    world.apply(&Op::Advance(9_000));
    world.apply(&Op::Starting);
    world.apply(&Op::Advance(99_000));
    assert!(!world.end_asked);
    world.apply(&Op::Advance(1_000));
    assert!(world.end_asked);
    let Life::Stopping { failure: Some(diagnosis), .. } = world.state.life() else { panic!("{:?}", world.state) };
    assert_eq!(diagnosis.code, "startup_timeout");
}

#[test]
fn a_start_that_slurm_pauses_has_its_time_when_it_goes_on() {
    let mut world = World::new();
    world.policy.startup_timeout = Duration::from_secs(100);
    world.policy.queue_timeout = Duration::from_secs(1_000);
    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Advance(60_000));
    world.apply(&Op::Paused(true));
    assert!(world.state.is_paused());
    world.apply(&Op::Advance(500_000));
    world.apply(&Op::Paused(false));
    world.apply(&Op::Advance(39_999));
    assert!(!world.end_asked && !world.state.is_paused());
    world.apply(&Op::Advance(1));
    assert!(world.end_asked, "and no more than that");
}

#[test]
fn a_start_that_slurm_pauses_for_ever_is_given_up() {
    let mut world = World::new();
    world.policy.queue_timeout = Duration::from_secs(10);
    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Paused(true));
    world.apply(&Op::Advance(9_999));
    assert!(!world.end_asked);
    world.apply(&Op::Advance(1));
    let Life::Stopping { failure: Some(diagnosis), .. } = world.state.life() else { panic!("{:?}", world.state) };
    assert_eq!(diagnosis.code, "paused_too_long");
}

#[test]
fn nobody_waits_for_ever_for_an_end_that_cannot_be_verified() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    world.apply(&Op::Release(0));
    world.apply(&Op::Stop);
    acquire(&mut world);
    assert_eq!(world.waiting.len(), 1);
    world.apply(&Op::Advance(5 * 60 * 1000));
    assert!(world.waiting.is_empty(), "told that it cannot be verified");
    acquire(&mut world);
    assert!(world.waiting.is_empty(), "told at once");
    world.apply(&Op::Gone);
    acquire(&mut world);
    assert_eq!(world.life, Some((2, Stage::Submitted)));
}

#[test]
fn an_idle_engine_yields_and_a_busy_one_once_it_had_its_turn() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    world.apply(&Op::Yield(false));
    assert!(matches!(world.state.life(), Life::Ready { .. }) && !world.busy_asked, "a permit is out");
    world.apply(&Op::Release(0));
    world.apply(&Op::Yield(false));
    world.apply(&Op::Busy(true));
    assert!(matches!(world.state.life(), Life::Ready { .. }), "the engine works on something");
    world.apply(&Op::Advance(10_000));
    acquire(&mut world);
    world.apply(&Op::Busy(false));
    assert!(matches!(world.state.life(), Life::Ready { .. }), "somebody came meanwhile");
    world.apply(&Op::Release(0));
    world.apply(&Op::Yield(false));
    world.apply(&Op::Busy(false));
    assert!(world.end_asked, "it is idle, and yields");
    world.apply(&Op::Gone);
    assert_eq!(world.state.life(), &Life::Stopped);

    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    world.apply(&Op::Yield(true));
    acquire(&mut world);
    assert!(matches!(world.state.life(), Life::Draining { .. }) && world.waiting.len() == 1, "nobody else is let in");
    world.apply(&Op::Advance(3_600_000));
    assert!(!world.end_asked, "what is in flight has its time");
    world.apply(&Op::Release(0));
    assert!(world.end_asked);
    world.apply(&Op::Gone);
    assert_eq!(world.life, Some((3, Stage::Submitted)), "who came meanwhile starts the next");
}

#[test]
fn at_a_full_engine_each_party_has_one_turn_after_the_other() {
    let mut world = World::new();
    (world.policy.requests_in_flight, world.policy.max_waiting) = (NonZeroUsize::new(1), 100);
    let come = |world: &mut World, number, party| {
        let event = Event::Acquire(Waiter(number), Party(party), Hold::Inference);
        world.waiting.insert(Waiter(number));
        world.happen(event);
    };
    // A script, and then a class: each of whom has one request.
    (0..20).for_each(|number| come(&mut world, number, 1));
    (20..25).for_each(|number| come(&mut world, number, 2));
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    let mut turns = Vec::new();
    while !world.permits.is_empty() {
        turns.push(*world.answered.iter().find(|waiter| !turns.contains(*waiter)).expect("one more"));
        world.apply(&Op::Release(0));
    }
    let of_class: Vec<usize> =
        turns.iter().enumerate().filter(|(_, waiter)| waiter.0 >= 20).map(|(at, _)| at).collect();
    assert_eq!((of_class, turns.len()), (vec![1, 3, 5, 7, 9], 25));
}

#[test]
fn who_enters_by_himself_is_reckoned_with() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    world.apply(&Op::Release(0));
    let idle = u64::try_from(world.policy.idle_timeout.expect("a time").as_millis()).expect("short");
    world.apply(&Op::Advance(idle / 2));
    world.apply(&Op::Enter(true));
    assert_eq!(world.permits.len(), 1, "the owner is not asked");
    world.apply(&Op::Advance(idle));
    assert!(!world.busy_asked && !world.end_asked, "it works");
    world.apply(&Op::Release(0));
    world.apply(&Op::Advance(idle - 1));
    assert!(!world.busy_asked, "idle since the last one left, and not since the last one that the owner let in");
    world.apply(&Op::Enter(false));
    world.apply(&Op::Stop);
    assert!(matches!(world.state.life(), Life::Draining { .. }), "something is in flight");
    world.apply(&Op::Enter(true));
    assert_eq!(world.permits.len(), 1, "and nobody else is let in");
    world.apply(&Op::Release(0));
    assert!(world.end_asked, "the last has left");
}
