#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::api::State;
use crate::fleet::Member;
use crate::instance::Handle;

fn stands(name: &str, words: &str) -> InstanceState {
    let words = words.to_owned();
    InstanceState { name: name.to_owned(), state: State::Ready, phase: "ready", words, link: "connected" }
}

fn journal(bound: usize) -> Journal {
    Journal { run: 0xab, last: 0, bound, kept: VecDeque::new(), now: BTreeMap::new() }
}

/// Reads to the end: what was told, as a word and a number each.
fn rest(journal: &Journal, mut seen: Seen) -> Vec<String> {
    std::iter::from_fn(|| {
        let told = journal.next(seen)?;
        seen = Seen::UpTo(told.id.number);
        let what = match told.what {
            What::Now(now) => format!("now {}", now.instances.len()),
            What::Gap(gap) => format!("gap {}: {}", gap.instances.len(), gap.missing),
            What::State(state) => format!("{} {}", state.name, state.words),
            What::Gone(gone) => format!("{} gone", gone.name),
        };
        Some(format!("{} {what}", told.id.number))
    })
    .collect()
}

#[test]
fn who_comes_back_misses_nothing_and_what_is_no_news_is_no_event() {
    let mut journal = journal(10);
    assert_eq!(rest(&journal, Seen::Nothing), ["0 now 0"]);
    journal.note(stands("a", "1"));
    journal.note(stands("a", "1"));
    journal.note(stands("b", "1"));
    journal.gone("nobody");
    journal.gone("a");
    assert_eq!(rest(&journal, Seen::UpTo(0)), ["1 a 1", "2 b 1", "3 a gone"]);
    assert_eq!(rest(&journal, Seen::UpTo(2)), ["3 a gone"]);
    assert_eq!(rest(&journal, Seen::UpTo(3)), Vec::<String>::new());
    assert_eq!(rest(&journal, Seen::Nothing), ["3 now 1"]);
}

#[test]
fn who_was_away_too_long_is_told_what_is_missing_and_where_all_stand() {
    let mut journal = journal(3);
    for number in 1..=7 {
        journal.note(stands("a", &number.to_string()));
    }
    let gap = "7 gap 1: the events 3 to 4, which are not kept, and those up to 7";
    assert_eq!(rest(&journal, Seen::UpTo(2)), [gap]);
    assert_eq!(rest(&journal, Seen::UpTo(4)), ["5 a 5", "6 a 6", "7 a 7"], "the oldest that is kept");
    assert_eq!(rest(&journal, Seen::UpTo(9)), ["7 gap 1: what came after 9: this run of the proxy is at 7"]);
    let foreign = "7 gap 1: what came after that id: it is none of this run of the proxy";
    assert_eq!(rest(&journal, Seen::Foreign), [foreign]);
    assert_eq!(journal.kept.len(), 3);
}

#[test]
fn an_id_is_of_one_run() {
    let events = Events::new(0xab, 3);
    let seen = |id: Option<&str>| events.reader(id).seen;
    let id = EventId { run: 0xab, number: 12 };
    assert_eq!(seen(Some(&id.to_string())), Seen::UpTo(12));
    assert_eq!(seen(None), Seen::Nothing);
    for foreign in ["", "12", "000000ac-12", "000000ab-", "ab--1", "000000ab-99999999999999999999999"] {
        assert_eq!(seen(Some(foreign)), Seen::Foreign, "{foreign}");
    }
}

fn member(name: &str) -> (watch::Sender<Snapshot>, Member) {
    let (publish, seen) = watch::channel(Snapshot::default());
    let handle =
        Handle::new(InstanceName::from_text(name).unwrap(), mpsc::unbounded_channel().0, seen, watch::channel(None).1);
    (publish, Member::new(handle, Vec::new(), None))
}

async fn next(reader: &mut Reader) -> String {
    match tokio::time::timeout(Duration::from_secs(5), reader.next()).await.unwrap().what {
        What::Now(now) => format!("now {}", now.instances.len()),
        What::Gap(gap) => gap.missing,
        What::State(state) => format!("{} {}", state.name, state.phase),
        What::Gone(gone) => format!("{} gone", gone.name),
    }
}

#[tokio::test(start_paused = true)]
async fn each_instance_is_followed_once_to_its_end_and_another_of_its_name_anew() {
    let (fleet, events) = (Fleet::of_many(None), Events::default());
    let mut reader = events.reader(None);
    assert_eq!(next(&mut reader).await, "now 0");
    let reading = async {
        let (publish, first) = member("a");
        let (name, handle) = (first.name().clone(), first.handle.clone());
        fleet.put(first);
        assert_eq!(next(&mut reader).await, "a stopped");
        fleet.put(Member::new(handle, vec!["other settings".to_owned()], None));
        publish.send_modify(|now| now.in_flight = 3);
        publish.send_modify(|now| now.phase = Phase::Ready);
        assert_eq!(next(&mut reader).await, "a ready");
        // No request finds it any more, and it is followed still.
        fleet.remove(&name);
        publish.send_modify(|now| now.phase = Phase::Stopping(None));
        assert_eq!(next(&mut reader).await, "a stopping");
        drop(publish);
        assert_eq!(next(&mut reader).await, "a gone");
        let (publish, second) = member("a");
        fleet.put(second);
        assert_eq!(next(&mut reader).await, "a stopped");
        // Gone, while the roster has it still, as at the proxy's end.
        drop(publish);
        assert_eq!(next(&mut reader).await, "a gone");
        let (_publish, other) = member("b");
        fleet.put(other);
        assert_eq!(next(&mut reader).await, "b stopped");
        let quiet = tokio::time::timeout(Duration::from_hours(1), reader.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    };
    tokio::select! {
        () = events.record(&fleet) => {}
        () = reading => {}
    }
}
