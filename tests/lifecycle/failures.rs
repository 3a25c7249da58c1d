//! Failures in a row: what is tried again when, and what a person is told.

use std::time::Duration;

use llm_proxy::backend::Diagnosis;
use llm_proxy::instance::Life;

use crate::world::{Op, Stage, World, acquire, least_back_off};

/// A life that is asked for and ends by itself before it is ready; says why, as told.
fn one_failure(world: &mut World) -> Diagnosis {
    acquire(world);
    assert!(world.life.is_some(), "it is tried: {:?}", world.state.life());
    world.apply(&Op::Starting);
    world.apply(&Op::Ended);
    world.apply(&Op::Gone);
    let Life::Failed { diagnosis, retry_at } = world.state.life() else { panic!("{:?}", world.state.life()) };
    assert_eq!(*retry_at - world.now, least_back_off(world.failures));
    diagnosis.clone()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("not for ever")
}

#[test]
fn the_pause_grows_and_the_sixth_failure_opens_the_circuit() {
    let mut world = World::new();
    for failures in 1..=5_u32 {
        let told = one_failure(&mut world);
        assert!(!told.summary.contains("in a row"), "{told:?}");
        world.apply(&Op::Advance(milliseconds(least_back_off(failures)) - 1));
        acquire(&mut world);
        assert!(world.life.is_none() && world.waiting.is_empty(), "refused, and nothing is started");
        world.apply(&Op::Advance(1));
    }
    let told = one_failure(&mut world);
    assert!(told.summary.starts_with("it broke; that was failure 6 in a row"), "{told:?}");
    assert!(told.summary.contains("10 min") && told.remedy.contains("`llm-proxy start`"), "{told:?}");
    world.apply(&Op::Advance(599_999));
    acquire(&mut world);
    assert!(world.life.is_none());
    world.apply(&Op::Nudge);
    assert!(world.life.is_none(), "a look at the models tries nothing");
    world.apply(&Op::Start);
    assert!(world.life.is_some(), "a person tries at once");
}

#[test]
fn while_the_circuit_is_open_each_try_is_one_try() {
    let mut world = World::new();
    for failures in 1..=8_u32 {
        one_failure(&mut world);
        world.apply(&Op::Advance(milliseconds(least_back_off(failures))));
    }
    assert_eq!(world.failures, 8);
}

#[test]
fn a_life_that_was_ready_for_long_begins_the_count_afresh() {
    for (ready_for, failures) in [(599_000, 4), (600_000, 1)] {
        let mut world = World::new();
        for failures in 1..=3_u32 {
            one_failure(&mut world);
            world.apply(&Op::Advance(milliseconds(least_back_off(failures))));
        }
        acquire(&mut world);
        world.apply(&Op::Starting);
        world.apply(&Op::Ready);
        world.apply(&Op::Advance(ready_for));
        world.apply(&Op::Ended);
        world.apply(&Op::Gone);
        assert_eq!(world.failures, failures);
        let Life::Failed { retry_at, .. } = world.state.life() else { panic!("{:?}", world.state.life()) };
        assert_eq!(*retry_at - world.now, least_back_off(failures));
    }
}

#[test]
fn an_engine_that_dies_as_soon_as_it_is_ready_is_counted_as_well() {
    let mut world = World::new();
    for failures in 1..=6_u32 {
        acquire(&mut world);
        world.apply(&Op::Starting);
        world.apply(&Op::Ready);
        world.apply(&Op::Ended);
        world.apply(&Op::Gone);
        assert_eq!(world.failures, failures);
        world.apply(&Op::Advance(milliseconds(least_back_off(failures))));
    }
    acquire(&mut world);
    assert_eq!(world.life, Some((7, Stage::Submitted)), "after the ten minutes");
}

#[test]
fn one_that_ends_while_it_is_let_go_of_refuses_nobody() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    world.apply(&Op::Stop);
    assert!(matches!(world.state.life(), Life::Draining { .. }), "a permit is out");
    acquire(&mut world);
    world.apply(&Op::Ended);
    assert_eq!(world.waiting.len(), 1, "who waits for the next is not told of this one");
    world.apply(&Op::Gone);
    assert_eq!(world.life, Some((2, Stage::Submitted)));
}
