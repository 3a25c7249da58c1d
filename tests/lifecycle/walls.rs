//! The end that Slurm sets.

use llm_proxy::instance::{Life, Refusal};
use llm_proxy::launch::LeftBehind;

use crate::world::{Op, Stage, World, acquire};

/// A minute in all, of which this much is left: its margin is six seconds.
fn minute(left: u64) -> Op {
    Op::Walltime(Some((left, 60_000)))
}

/// A life that is ready, with one permit out.
fn ready() -> World {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    world
}

fn why_failed(world: &World) -> &'static str {
    match world.state.life() {
        Life::Stopping { failure: Some(diagnosis), .. } => diagnosis.code,
        life => panic!("{life:?}"),
    }
}

#[test]
fn who_comes_too_late_waits_for_the_next_life_and_what_is_in_flight_goes_on() {
    let mut world = ready();
    world.apply(&minute(60_000));
    world.apply(&Op::Advance(53_999));
    acquire(&mut world);
    assert_eq!(world.permits.len(), 2, "just in time");
    world.apply(&Op::Advance(1));
    assert!(matches!(world.state.life(), Life::Draining { .. }));
    acquire(&mut world);
    world.apply(&Op::Advance(5_399));
    assert!(!world.end_asked, "as long as it can");
    world.apply(&Op::Advance(1));
    assert!(world.end_asked, "in time for an end in order");
    world.apply(&Op::Gone);
    assert_eq!((world.life, world.waiting.len()), (Some((2, Stage::Submitted)), 1));
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    assert!(world.waiting.is_empty());
}

#[test]
fn a_clock_that_is_late_lets_nobody_in() {
    for busy in [true, false] {
        let mut world = ready();
        world.apply(&minute(60_000));
        if !busy {
            world.apply(&Op::Release(0));
        }
        world.apply(&Op::Pass(54_000));
        world.apply(&Op::TryAcquire);
        acquire(&mut world);
        assert_eq!((world.waiting.len(), world.end_asked), (1, !busy));
    }
}

#[test]
fn without_traffic_no_life_follows() {
    let mut world = ready();
    world.apply(&Op::Release(0));
    world.apply(&minute(60_000));
    world.apply(&Op::Advance(54_000));
    assert!(world.end_asked, "nothing is kept that nobody could use");
    world.apply(&Op::Gone);
    assert_eq!(world.state.life(), &Life::Stopped);
    acquire(&mut world);
    assert_eq!(world.life, Some((2, Stage::Submitted)), "that was no failure");
}

#[test]
fn the_longest_margin_is_five_minutes() {
    let mut world = ready();
    world.apply(&Op::Walltime(Some((7 * 24 * 3_600_000, 7 * 24 * 3_600_000))));
    world.apply(&Op::Advance(7 * 24 * 3_600_000 - 300_001));
    assert!(matches!(world.state.life(), Life::Ready { .. }));
    world.apply(&Op::Advance(1));
    assert!(matches!(world.state.life(), Life::Draining { .. }));
}

#[test]
fn a_limit_that_is_moved_or_taken_away_is_followed() {
    for moved in [Op::Walltime(Some((600_000, 3_600_000))), Op::Walltime(None)] {
        let mut world = ready();
        world.apply(&minute(60_000));
        world.apply(&Op::Advance(30_000));
        world.apply(&moved);
        world.apply(&Op::Advance(200_000));
        assert!(matches!(world.state.life(), Life::Ready { .. }), "{moved:?}");
    }
    let mut world = ready();
    world.apply(&Op::Walltime(Some((3_600_000, 3_600_000))));
    world.apply(&minute(10_000));
    world.apply(&Op::Advance(4_000));
    assert!(matches!(world.state.life(), Life::Draining { .. }), "a shorter one as well");
    world.apply(&minute(1_000));
    world.apply(&Op::Advance(400));
    assert!(world.end_asked, "and a still shorter one while it is let go of");
}

#[test]
fn a_stop_leaves_what_is_in_flight_no_longer_than_slurm_does() {
    let mut world = ready();
    world.apply(&minute(10_000));
    world.apply(&Op::Stop);
    world.apply(&Op::Advance(9_400));
    assert!(world.end_asked);
}

#[test]
fn a_walltime_too_short_to_get_ready_is_told_and_counted() {
    // The end comes nearer while it starts; or it gets ready when it is too late, and the clock was late too.
    for (way, late) in [(Op::Advance(54_000), false), (Op::Pass(54_000), true)] {
        let mut world = World::new();
        acquire(&mut world);
        world.apply(&Op::Starting);
        world.apply(&minute(60_000));
        world.apply(&way);
        if late {
            world.apply(&Op::Ready);
        }
        assert_eq!((why_failed(&world), world.failures), ("walltime_too_short", 1));
        assert!(world.waiting.is_empty() && world.permits.is_empty(), "told, and not let in");
        world.apply(&Op::Gone);
        acquire(&mut world);
        assert!(world.life.is_none(), "no next one at once, which would come no further");
    }
}

#[test]
fn what_was_left_behind_and_is_found_too_late_is_no_failure() {
    for (way, late) in [(Op::Advance(54_000), false), (Op::Pass(54_000), true)] {
        let mut world = World::new();
        world.apply(&Op::Resume(LeftBehind::GoesOn));
        acquire(&mut world);
        world.apply(&Op::Starting);
        world.apply(&minute(60_000));
        world.apply(&way);
        if late {
            world.apply(&Op::Ready);
        }
        assert_eq!((world.waiting.len(), world.end_asked), (1, true), "who waits goes on waiting");
        world.apply(&Op::Gone);
        assert_eq!(world.life, Some((2, Stage::Submitted)));
    }
}

#[test]
fn an_end_by_slurms_own_hand_refuses_nobody_who_waits_for_the_next_life() {
    let mut world = ready();
    world.apply(&minute(60_000));
    world.apply(&Op::Advance(54_000));
    acquire(&mut world);
    world.apply(&Op::Ended);
    assert_eq!((world.waiting.len(), world.failures), (1, 0));
    world.apply(&Op::Gone);
    assert_eq!(world.life, Some((2, Stage::Submitted)));
}

#[test]
fn a_close_within_the_margin_tells_those_who_wait() {
    let mut world = ready();
    world.apply(&minute(60_000));
    world.apply(&Op::Advance(54_000));
    acquire(&mut world);
    world.apply(&Op::Close);
    assert!(world.waiting.is_empty(), "{:?}", Refusal::ShuttingDown);
}
