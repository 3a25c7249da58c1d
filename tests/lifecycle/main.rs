//! The life of an instance, model-checked: random requests, clients that leave, engines that fail or hang, walls that come
//! nearer and are moved, time that passes.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod failures;
mod scenes;
mod walls;
mod world;

use std::num::NonZeroUsize;

use llm_proxy::instance::Life;
use proptest::prelude::*;

use world::{Op, World, op};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn every_waiter_is_answered_once_and_never_two_lives(ops in prop::collection::vec(op(), 1..120), limit in 0..4_usize) {
        let mut world = World::new();
        world.policy.requests_in_flight = NonZeroUsize::new(limit);
        for op in &ops {
            world.apply(op);
        }
        // The end: whatever stood there comes down, and nobody is left waiting.
        world.apply(&Op::Close);
        prop_assert!(world.waiting.is_empty());
        while !world.permits.is_empty() {
            world.apply(&Op::Release(0));
        }
        world.apply(&Op::Gone);
        prop_assert!(world.state.is_down(), "{:?}", world.state);
    }

    /// However it came to where it is: from then on the world does what it should, and everyone is answered soon.
    #[test]
    fn nobody_starves(ops in prop::collection::vec(op(), 1..80), limit in 0..4_usize) {
        let mut world = World::new();
        world.policy.requests_in_flight = NonZeroUsize::new(limit);
        for op in ops.iter().filter(|op| !matches!(op, Op::Close)) {
            world.apply(op);
        }
        for _ in 0..3 {
            for op in [Op::Login(false), Op::Starting, Op::Ready] {
                world.apply(&op);
            }
            if world.waiting.is_empty() {
                break;
            }
            while !world.permits.is_empty() {
                world.apply(&Op::Release(0));
            }
            // What is let go of, or ends, has its time and is gone.
            world.apply(&Op::Advance(30_000));
            world.apply(&Op::Gone);
        }
        prop_assert!(world.waiting.is_empty(), "{:?}", world.state);
    }

    #[test]
    fn a_life_left_alone_idles_out_and_is_gone(inferences in 0..5_usize) {
        let mut world = World::new();
        world.apply(&Op::Acquire(true));
        world.apply(&Op::Starting);
        world.apply(&Op::Ready);
        (0..inferences).for_each(|_| world.apply(&Op::Acquire(true)));
        world.apply(&Op::Advance(4_000_000));
        prop_assert!(matches!(world.state.life(), Life::Ready { .. }), "permits are out");
        while !world.permits.is_empty() {
            world.apply(&Op::Release(0));
        }
        world.apply(&Op::Advance(29 * 60 * 1000));
        prop_assert!(!world.busy_asked, "the clock starts when the last inference ended");
        world.apply(&Op::Advance(60 * 1000));
        prop_assert!(world.busy_asked);
        world.apply(&Op::Busy(true));
        prop_assert!(matches!(world.state.life(), Life::Ready { .. }), "the engine works on something");
        world.apply(&Op::Advance(10_000));
        world.apply(&Op::Busy(false));
        world.apply(&Op::Gone);
        prop_assert_eq!(world.state.life(), &Life::Stopped);
    }
}
