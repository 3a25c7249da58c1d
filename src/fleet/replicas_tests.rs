use proptest::prelude::*;
use test_case::test_case;

use super::*;

fn ready(load: usize) -> Seen {
    Seen { standing: Standing::Ready, load, nearness: None }
}

fn near(load: usize, nearness: u64) -> Seen {
    Seen { nearness: Some(nearness), ..ready(load) }
}

fn at(standing: Standing) -> Seen {
    Seen { standing, load: 0, nearness: Some(9) }
}

#[test_case(&[ready(2), ready(0), ready(1)] => vec![1, 2, 0]; "the least to do")]
#[test_case(&[ready(1), ready(1)] => vec![0, 1]; "the first of equals")]
#[test_case(&[at(Standing::Out), at(Standing::Leaving), at(Standing::Stopped), at(Standing::Coming), at(Standing::Away), ready(99)] => vec![5, 4, 3, 2, 1, 0]; "those that answer first")]
#[test_case(&[near(0, 5), near(0, 7), near(0, 6)] => vec![1, 2, 0]; "the nearest")]
#[test_case(&[near(0, 5), near(3, 7), near(1, 6)] => vec![2, 1, 0]; "the next where the nearest has too much to do")]
#[test_case(&[near(1, 5), near(2, 7), near(1, 6)] => vec![1, 2, 0]; "a little more than the others is not too much")]
#[test_case(&[near(40, 7)] => vec![0]; "alone")]
#[test_case(&[at(Standing::Stopped), at(Standing::Stopped)] => vec![0, 1]; "the first to start, however near")]
#[test_case(&[] => Vec::<usize>::new(); "nobody")]
fn those_that_may_serve_are_in_order(seen: &[Seen]) -> Vec<usize> {
    order(seen)
}

fn standing() -> impl Strategy<Value = Standing> {
    use Standing as S;
    prop::sample::select(vec![S::Ready, S::Away, S::Coming, S::Stopped, S::Leaving, S::Out])
}

fn name(number: usize) -> InstanceName {
    let name = InstanceName::from_text("org-model").unwrap();
    name.replica(u16::try_from(number).unwrap())
}

/// Whose is this beginning among so many?
fn owner(beginning: u64, among: &[usize]) -> usize {
    *among.iter().max_by_key(|&&number| nearness(beginning, &name(number))).unwrap()
}

proptest! {
    #[test]
    fn all_are_in_the_order_once_and_those_that_answer_first(
        seen in prop::collection::vec((standing(), 0..50_usize, prop::option::of(any::<u64>())), 0..9),
    ) {
        let seen: Vec<Seen> =
            seen.into_iter().map(|(standing, load, nearness)| Seen { standing, load, nearness }).collect();
        let order = order(&seen);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..seen.len()).collect::<Vec<_>>());
        prop_assert!(order.is_sorted_by_key(|&at| seen[at].standing));
        let loads: Vec<usize> = seen.iter().filter(|one| one.standing == Standing::Ready).map(|one| one.load).collect();
        if let Some(first) = order.first().filter(|_| !loads.is_empty()) {
            let bound = (loads.iter().sum::<usize>() + 1) * 5 / (4 * loads.len()) + 1;
            prop_assert!(seen[*first].load <= bound, "{:?} of {:?}", seen[*first], loads);
        }
    }

    #[test]
    fn one_that_comes_takes_its_share_and_moves_nothing_else(beginning: u64, among in 1..9_usize) {
        let before: Vec<usize> = (1..=among).collect();
        let after: Vec<usize> = (1..=among + 1).collect();
        let (old, new) = (owner(beginning, &before), owner(beginning, &after));
        prop_assert!(new == old || new == among + 1);
    }

    /// Whatever happens, no more is started than is missing or one, none that is not stopped, and none where nobody asked.
    #[test]
    fn what_is_started_is_stopped_and_wanted(
        rounds in prop::collection::vec(
            (prop::collection::vec((standing(), 0..9_usize, 0..3_usize), 4), any::<bool>(), 0..200_u64), 1..30,
        ),
        min in 1..4_usize,
    ) {
        let bounds = Bounds { min, busy_at: 4, scale_after: Duration::from_secs(10) };
        let (mut demand, mut now, mut asked_ever) = (Demand::default(), Instant::now(), false);
        for (looks, asked, pause) in rounds {
            let looks: Vec<Look> =
                looks.into_iter().map(|(standing, in_flight, waiting)| Look { standing, in_flight, waiting }).collect();
            now += Duration::from_secs(pause);
            asked_ever |= asked;
            let (next, steps) = scale(bounds, demand, &looks, asked, now);
            let starts: Vec<usize> =
                steps.iter().filter_map(|step| if let Step::Start(at) = step { Some(*at) } else { None }).collect();
            prop_assert!(starts.iter().all(|&at| looks[at].standing == Standing::Stopped));
            prop_assert!(starts.is_empty() || asked_ever);
            let alive = looks.iter().filter(|look| look.standing <= Standing::Coming).count();
            prop_assert!(starts.len() <= min.saturating_sub(alive).max(1));
            if alive < min && next.is_any() && asked {
                let stopped = looks.iter().filter(|look| look.standing == Standing::Stopped).count();
                prop_assert_eq!(starts.len(), stopped.min(min - alive));
            }
            demand = next;
        }
    }
}

#[test]
fn a_replica_has_its_number_however_long_its_name_is() {
    let long = InstanceName::from_text(&"x".repeat(60)).unwrap();
    let names: Vec<InstanceName> = [1, 2, 12, u16::MAX].iter().map(|&number| long.replica(number)).collect();
    assert_eq!(names[0], long);
    for (name, end) in names.iter().skip(1).zip(["-2", "-12", "-65535"]) {
        assert!(name.as_str().ends_with(end) && name.as_str().len() == InstanceName::MAX_LEN, "{name}");
        assert_eq!(InstanceName::from_text(name.as_str()).as_ref(), Some(name));
    }
    let odd = InstanceName::from_text(&format!("{}.{}", "x".repeat(45), "y".repeat(9))).unwrap();
    assert_eq!(odd.replica(2).as_str(), format!("{}-2", "x".repeat(45)));
}

#[test]
fn a_share_is_nearly_an_equal_share() {
    let among: Vec<usize> = (1..=4).collect();
    let mut shares = [0; 5];
    for prompt in 0..4_000_u32 {
        shares[owner(fnv1a(format!("[{{\"role\":\"user\",\"content\":\"{prompt}\"}}").as_bytes()), &among)] += 1;
    }
    assert!(shares[1..].iter().all(|share| (850..1150).contains(share)), "{shares:?}");
}

const BOUNDS: Bounds = Bounds { min: 2, busy_at: 4, scale_after: Duration::from_secs(10) };

fn look(standing: Standing, in_flight: usize) -> Look {
    Look { standing, in_flight, waiting: 0 }
}

#[test]
fn the_first_request_starts_as_many_as_are_kept() {
    let stopped = [look(Standing::Stopped, 0); 4];
    let now = Instant::now();
    assert_eq!(scale(BOUNDS, Demand::default(), &stopped, false, now).1, []);
    assert_eq!(scale(BOUNDS, Demand::default(), &stopped, true, now).1, [Step::Start(0), Step::Start(1)]);
    let one_failed = [look(Standing::Ready, 1), look(Standing::Out, 0), stopped[0], stopped[0]];
    assert_eq!(scale(BOUNDS, Demand::default(), &one_failed, true, now).1, [Step::Start(2)]);
    // Somebody who names an instance, or an operator who lets nothing be started, does not start its neighbours.
    assert_eq!(scale(BOUNDS, Demand::default(), &one_failed, false, now).1, []);
}

#[test]
fn one_more_is_started_where_all_are_busy_for_long_enough() {
    let busy =
        [look(Standing::Ready, 4), look(Standing::Ready, 9), look(Standing::Stopped, 0), look(Standing::Stopped, 0)];
    let now = Instant::now();
    let (demand, steps) = scale(BOUNDS, Demand::default(), &busy, true, now);
    assert_eq!(steps, []);
    let (still, steps) = scale(BOUNDS, demand, &busy, false, now + Duration::from_secs(9));
    assert_eq!(steps, []);
    let (demand, steps) = scale(BOUNDS, still, &busy, false, now + Duration::from_secs(10));
    assert_eq!(steps, [Step::Start(2)]);
    // While that one comes, no other is started, however long it takes.
    let coming = [busy[0], busy[1], look(Standing::Coming, 0), busy[3]];
    let (demand, steps) = scale(BOUNDS, demand, &coming, true, now + Duration::from_secs(500));
    assert_eq!(steps, []);
    // A pause of one begins the count anew.
    let rests = [busy[0], look(Standing::Ready, 3), busy[2], busy[3]];
    let (demand, _) = scale(BOUNDS, demand, &busy, true, now + Duration::from_secs(510));
    let (demand, _) = scale(BOUNDS, demand, &rests, true, now + Duration::from_secs(515));
    assert_eq!(scale(BOUNDS, demand, &busy, true, now + Duration::from_secs(521)).1, []);
    // One that makes requests wait is busy, however few it takes at a time.
    let waits = [busy[0], Look { waiting: 1, ..look(Standing::Ready, 1) }, busy[2], busy[3]];
    assert_eq!(scale(BOUNDS, still, &waits, false, now + Duration::from_secs(10)).1, [Step::Start(2)]);
    let none_left = [look(Standing::Ready, 9); 2];
    assert_eq!(scale(BOUNDS, still, &none_left, false, now + Duration::from_secs(10)).1, []);
}

#[test]
fn those_that_stay_are_kept_while_any_is_used_and_no_longer() {
    let used =
        [look(Standing::Ready, 0), look(Standing::Ready, 1), look(Standing::Ready, 0), look(Standing::Stopped, 0)];
    let now = Instant::now();
    let (demand, steps) = scale(BOUNDS, Demand::default(), &used, true, now);
    assert_eq!(steps, [Step::Keep(0)], "the third may end when it is idle");
    let quiet = [look(Standing::Ready, 0); 4];
    let (demand, steps) = scale(BOUNDS, demand, &quiet, false, now);
    assert_eq!((steps.as_slice(), demand.is_any()), (&[][..], true));
    let (demand, steps) = scale(BOUNDS, demand, &quiet, false, now + LULL);
    assert_eq!((steps.as_slice(), demand.is_any()), (&[][..], false));
}

#[test]
fn one_that_failed_may_be_tried_again_after_a_while() {
    let diagnosis = crate::launch::login_required(&name(1), &"x", None);
    let seen = Snapshot { phase: Phase::Failed(diagnosis), ..Snapshot::default() };
    assert_eq!(Standing::of(&seen, seen.since), Standing::Out);
    assert_eq!(Standing::of(&seen, seen.since + FORGIVEN_AFTER), Standing::Stopped);
}
