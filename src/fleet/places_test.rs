//! The ledger, with instances that do what their test says.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use tokio::sync::{mpsc, watch};

use super::*;
use crate::instance::Command;

/// An instance that only says where it stands, and remembers what it was told.
struct One {
    handle: Handle,
    seen: watch::Sender<Snapshot>,
    told: mpsc::UnboundedReceiver<Command>,
}

impl One {
    fn new(name: &str, places: &Places, tasks: &TaskTracker) -> Self {
        let (commands, told) = mpsc::unbounded_channel();
        let (seen, snapshots) = watch::channel(Snapshot::default());
        let handle = Handle::new(InstanceName::from_text(name).unwrap(), commands, snapshots, watch::channel(None).1);
        places.watch(&handle, tasks);
        Self { handle, seen, told }
    }

    fn name(&self) -> &InstanceName {
        self.handle.name()
    }

    fn is(&self, change: impl FnOnce(&mut Snapshot)) {
        self.seen.send_modify(change);
    }

    fn is_ready(&self, in_flight: usize) {
        let now = Instant::now();
        self.is(|seen| {
            (seen.phase, seen.in_flight, seen.life) = (Phase::Ready, in_flight, 7);
            (seen.ready_since, seen.idle_since) = (Some(now), (in_flight == 0).then_some(now));
        });
    }

    /// Whether it was told to yield, and if so, whether a busy one is to, too.
    fn told_to_yield(&mut self) -> Option<bool> {
        let mut found = None;
        while let Ok(command) = self.told.try_recv() {
            match command {
                Command::Yield { life: 7, drain } => found = Some(drain),
                other => panic!("{other:?}"),
            }
        }
        found
    }
}

fn gpus(all: &[u32]) -> BTreeSet<GpuIndex> {
    all.iter().copied().map(GpuIndex).collect()
}

#[tokio::test(start_paused = true)]
async fn a_busy_one_is_drained_once_both_had_their_time_and_an_idle_one_yields_at_once() {
    let (places, tasks) = (Places::default(), TaskTracker::new());
    let (mut big, small) = (One::new("big", &places, &tasks), One::new("small", &places, &tasks));
    let (held, granted) = places.wait(big.name(), gpus(&[0, 1]), None);
    assert_eq!(granted.await, Ok(Ok(None)));
    big.is_ready(1);
    small.is(|seen| seen.waiting = 1);
    let (number, mut granted) = places.wait(small.name(), gpus(&[1]), None);
    assert_eq!(places.why(number).as_deref(), Some("waiting for GPU 1, owned by big"));
    places.settle();
    assert_eq!(big.told_to_yield(), None, "it works");
    tokio::time::advance(TURN).await;
    places.settle();
    assert_eq!(big.told_to_yield(), Some(true), "it had its turn");
    big.is_ready(0);
    places.settle();
    assert_eq!(big.told_to_yield(), Some(false), "it has just become ready, and is idle");
    small.is(|seen| seen.waiting = 0);
    places.settle();
    assert_eq!(big.told_to_yield(), None, "nobody waits for it any more");
    big.is(|seen| seen.stays = true);
    small.is(|seen| seen.waiting = 1);
    places.settle();
    assert_eq!(big.told_to_yield(), None, "it stays");
    assert!(granted.try_recv().is_err());
    places.leave(held);
    assert_eq!(granted.await, Ok(Ok(None)), "it has left");
    assert_eq!(places.why(number), None);
}

#[tokio::test]
async fn what_is_kept_for_one_is_nobody_else_s_and_not_for_ever() {
    let (places, tasks) = (Places::default(), TaskTracker::new());
    let (big, small) = (One::new("big", &places, &tasks), One::new("small", &places, &tasks));
    assert_eq!(places.reserve(big.name(), gpus(&[0, 1])), Ok(()));
    assert_eq!(places.reserve(big.name(), gpus(&[0, 1])), Ok(()), "its own");
    assert_eq!(places.reserve(small.name(), gpus(&[0, 1, 2])), Err("GPUs 0, 1 are owned by big".to_owned()));
    small.is(|seen| seen.waiting = 1);
    let (number, mut waits) = places.wait(small.name(), gpus(&[1]), None);
    let (held, granted) = places.wait(big.name(), gpus(&[0, 1]), None);
    assert_eq!(granted.await, Ok(Ok(None)), "though another waits and is pressed");
    assert!(waits.try_recv().is_err());
    places.leave(held);
    assert_eq!(waits.await, Ok(Ok(None)));
    places.leave(number);

    // One that ends before its start follows leaves nothing behind.
    assert_eq!(places.reserve(big.name(), gpus(&[1])), Ok(()));
    let (_, waits) = places.wait(small.name(), gpus(&[1]), None);
    drop(big);
    assert_eq!(waits.await, Ok(Ok(None)));
}

/// An order to start one takes what is free, and nothing that others wait for.
#[tokio::test]
async fn what_others_wait_for_is_not_kept_for_one_that_comes_later() {
    let (places, tasks) = (Places::default(), TaskTracker::new());
    let [big, small, first] = ["big", "small", "first"].map(|name| One::new(name, &places, &tasks));
    let (held, granted) = places.wait(big.name(), gpus(&[0]), None);
    assert_eq!(granted.await, Ok(Ok(None)));
    first.is(|seen| seen.waiting = 1);
    let (before, was_first) = places.wait(first.name(), gpus(&[0, 1]), None);
    assert_eq!(places.reserve(small.name(), gpus(&[1])), Ok(()), "nobody has it");
    let (number, mut granted) = places.wait(small.name(), gpus(&[1]), None);
    assert!(granted.try_recv().is_err(), "another waits for it");
    assert_eq!(places.why(number).as_deref(), Some("waiting for its turn: others have waited longer"));
    let (beside, at_once) = places.wait(One::new("beside", &places, &tasks).name(), gpus(&[2]), None);
    assert_eq!(at_once.await, Ok(Ok(None)), "nobody waits for this one");
    places.leave(beside);
    places.leave(held);
    assert_eq!(was_first.await, Ok(Ok(None)));
    assert!(granted.try_recv().is_err());
    places.leave(before);
    assert_eq!(granted.await, Ok(Ok(None)), "its turn");
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_in_vain_is_free_for_who_waits() {
    let (places, tasks) = (Places::default(), TaskTracker::new());
    let [big, small] = ["big", "small"].map(|name| One::new(name, &places, &tasks));
    assert_eq!(places.reserve(big.name(), gpus(&[0])), Ok(()));
    let (_, mut granted) = places.wait(small.name(), gpus(&[0]), None);
    places.settle();
    assert!(granted.try_recv().is_err());
    tokio::time::advance(RESERVED_FOR).await;
    places.settle();
    assert_eq!(granted.await, Ok(Ok(None)));
}

#[tokio::test]
async fn one_of_which_nobody_wrote_down_what_it_has_owns_all_once_they_are_known() {
    let (places, tasks) = (Places::default(), TaskTracker::new());
    let [old, new, older] = ["old", "new", "older"].map(|name| One::new(name, &places, &tasks));
    let held = places.adopt(old.name(), None);
    places.ledger().set_all(gpus(&[0, 1]));
    assert_eq!(places.reserve(new.name(), gpus(&[1])), Err("GPU 1 is owned by old".to_owned()));
    places.leave(held);
    assert_eq!(places.reserve(new.name(), gpus(&[1])), Ok(()));
    places.unreserve(new.name());
    let held = places.adopt(older.name(), None);
    assert_eq!(places.reserve(new.name(), gpus(&[0])), Err("GPU 0 is owned by older".to_owned()));
    places.leave(held);
    let held = places.adopt(older.name(), Some(&Share { gpus: vec![GpuIndex(0)], port: None }));
    assert_eq!(places.reserve(new.name(), gpus(&[1])), Ok(()), "its record says so");
    places.leave(held);
}
