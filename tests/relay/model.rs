//! What the far end does with frames, good and bad, beside what it should do.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use crate::far_end::{FarEnd, GREETING};
use crate::frames::{ACK, DATA, FIN, Frame, PING, RST, SYN, UPDATE, WINDOW, any_frame, good};

/// Longer than any case takes.
const LONG: Duration = Duration::from_secs(10);

/// Streams at once.
const STREAMS: usize = 5;

/// What a client does next, on the stream of this place.
#[derive(Clone, Debug)]
enum Step {
    Send(usize, usize),
    Finish(usize),
    Reset(usize),
    Grant(usize, u32),
    Ping(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..STREAMS;
    let size = prop_oneof![Just(0), 1..2000_usize, 10_000..200_000_usize];
    prop_oneof![
        8 => (stream.clone(), size).prop_map(|(stream, size)| Step::Send(stream, size)),
        1 => stream.clone().prop_map(Step::Finish),
        1 => stream.clone().prop_map(Step::Reset),
        3 => (stream, 0..100_000_u32).prop_map(|(stream, more)| Step::Grant(stream, more)),
        1 => any::<u32>().prop_map(Step::Ping),
    ]
}

/// One stream, as both sides are to see it.
#[derive(Debug, Default)]
struct Model {
    /// Whether its server breaks off.
    breaks: bool,
    sent: Vec<u8>,
    came: Vec<u8>,
    /// What the far end may still be sent.
    credit: usize,
    /// What it may have sent us so far.
    granted: usize,
    finished: bool,
    reset: bool,
    acknowledged: usize,
    far_finished: usize,
    far_reset: usize,
}

#[derive(Debug, Default)]
struct Seen {
    streams: BTreeMap<u32, Model>,
    pings: Vec<u32>,
    ended: bool,
}

/// What is shared by who sends and who reads.
#[derive(Default)]
struct Talk {
    seen: Mutex<Seen>,
    moved: Condvar,
}

impl Talk {
    /// Waits until it holds.
    fn wait<T>(&self, what: &str, mut look: impl FnMut(&mut Seen) -> Option<T>) -> T {
        let mut found = None;
        let until = |seen: &mut Seen| {
            found = look(seen);
            found.is_none() && !seen.ended
        };
        let seen = self.seen.lock().expect("nobody panicked");
        let (seen, _) = self.moved.wait_timeout_while(seen, LONG, until).expect("nobody panicked");
        found.unwrap_or_else(|| panic!("{what}, in vain: {:?}", summary(&seen)))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let changed = change(&mut self.seen.lock().expect("nobody panicked"));
        self.moved.notify_all();
        changed
    }

    /// Notes what the far end says, and that it may say it.
    fn read(&self, mut from: impl Read) {
        while let Some(frame) = Frame::read(&mut from) {
            self.change(|seen| seen.note(frame));
        }
        self.change(|seen| seen.ended = true);
    }
}

fn summary(seen: &Seen) -> Vec<String> {
    let line = |(number, model): (&u32, &Model)| {
        let Model { breaks, credit, granted, finished, reset, far_finished, far_reset, .. } = model;
        let (sent, came) = (model.sent.len(), model.came.len());
        format!("{number}: {breaks} {sent} {came} {credit} {granted} {finished} {reset} {far_finished} {far_reset}")
    };
    seen.streams.iter().map(line).collect()
}

impl Seen {
    fn note(&mut self, frame: Frame) {
        if frame.kind == PING {
            assert_eq!((frame.flags, frame.stream), (ACK, 0));
            return self.pings.push(frame.length);
        }
        let model = self.streams.get_mut(&frame.stream).expect("a stream that was opened");
        assert_eq!((model.far_finished, model.far_reset), (0, 0), "{frame:?} after its end, but for credit");
        model.acknowledged += usize::from(frame.flags & ACK != 0);
        model.far_finished += usize::from(frame.flags & FIN != 0);
        model.far_reset += usize::from(frame.flags & RST != 0);
        if frame.kind == DATA {
            model.came.extend(frame.body);
            assert!(model.came.len() <= model.granted, "more than was granted");
            assert!(model.sent.starts_with(&model.came), "other bytes than were sent");
        } else {
            model.credit += frame.length as usize;
        }
    }
}

/// Does the steps, and brings every stream to its end.
fn act(talk: &Talk, mut to: impl Write, breaks: [bool; STREAMS], steps: &[Step]) {
    let number = |place: usize| u32::try_from(2 * place + 1).expect("few streams");
    let mut put = |frame: &Frame| to.write_all(&frame.bytes()).expect("a far end that listens");
    for (place, breaks) in breaks.into_iter().enumerate() {
        let first = vec![if breaks { b'b' } else { b'e' }];
        let model = Model { breaks, sent: first.clone(), credit: WINDOW - 1, granted: WINDOW, ..Model::default() };
        talk.change(|seen| seen.streams.insert(number(place), model));
        put(&Frame::data(SYN, number(place), first));
    }
    let mut pings = Vec::new();
    let open = |place: usize| {
        talk.change(|seen| seen.streams.get(&number(place)).is_some_and(|model| !model.finished && !model.reset))
    };
    let finishes = (0..STREAMS).map(Step::Finish).collect::<Vec<_>>();
    for step in steps.iter().chain(&finishes) {
        match *step {
            Step::Send(place, size) if open(place) => {
                let (stream, mut left) = (number(place), size);
                while left > 0 {
                    let Some(body) = take_credit(talk, stream, left) else { break };
                    left -= body.len();
                    put(&Frame::data(0, stream, body));
                }
            }
            Step::Finish(place) if open(place) => {
                talk.change(|seen| seen.streams.entry(number(place)).or_default().finished = true);
                put(&Frame::new(DATA, FIN, number(place), 0));
            }
            Step::Reset(place) if open(place) => {
                talk.change(|seen| seen.streams.entry(number(place)).or_default().reset = true);
                put(&Frame::new(UPDATE, RST, number(place), 0));
            }
            Step::Grant(place, more) => grant(talk, number(place), more, &mut put),
            Step::Ping(value) => {
                pings.push(value);
                put(&Frame::new(PING, SYN, 0, value));
            }
            Step::Send(..) | Step::Finish(_) | Step::Reset(_) => {}
        }
    }
    for place in 0..STREAMS {
        // One more than the bytes: without any, the far end does not look for an end either.
        let missing = talk.change(|seen| {
            seen.streams.get(&number(place)).map_or(0, |model| (model.sent.len() + 1).saturating_sub(model.granted))
        });
        grant(talk, number(place), u32::try_from(missing).expect("a few steps' bytes"), &mut put);
    }
    talk.wait("every stream ends and every ping is answered", |seen| {
        let ended = seen.streams.values().all(|model| model.reset || model.far_finished + model.far_reset == 1);
        (ended && seen.pings == pings).then_some(())
    });
}

/// The next bytes that may be sent, of those that are to be sent; none where the stream broke off.
fn take_credit(talk: &Talk, stream: u32, wanted: usize) -> Option<Vec<u8>> {
    talk.wait("credit comes, or an end", |seen| {
        let model = seen.streams.get_mut(&stream)?;
        if model.far_reset > 0 {
            return Some(None);
        }
        // An echo that may not come back may keep its server from reading: then nobody can go on but by granting.
        if model.credit == 0 && model.sent.len() > model.granted {
            return Some(None);
        }
        let size = wanted.min(model.credit).min(64 * 1024);
        let from = model.sent.len();
        let body: Vec<u8> = (from..from + size).map(|at| (at % 251).to_le_bytes()[0]).collect();
        (size > 0).then(|| {
            model.credit -= size;
            model.sent.extend(&body);
            Some(body)
        })
    })
}

fn grant(talk: &Talk, stream: u32, more: u32, put: &mut impl FnMut(&Frame)) {
    talk.change(|seen| seen.streams.entry(stream).or_default().granted += more as usize);
    put(&Frame::new(UPDATE, 0, stream, more));
}

/// Lets nobody wait for the far end's words in a case that failed.
struct HangUp<'a>(&'a UnixStream);

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Each stream brings back what was sent on it, in order, within what it was granted, and ends once.
    #[test]
    fn streams_do_not_mix(breaks in any::<[bool; STREAMS]>(), steps in prop::collection::vec(step(), 0..60)) {
        let seen = FarEnd::with(|far_end| {
            let talk = Talk::default();
            let mut wires = far_end.wires.try_clone().expect("a socket");
            let mut greeting = vec![0; GREETING.len()];
            wires.read_exact(&mut greeting).expect("a greeting");
            assert_eq!(greeting, GREETING);
            std::thread::scope(|scope| {
                let reader = wires.try_clone().expect("a socket");
                scope.spawn(|| talk.read(std::io::BufReader::new(reader)));
                let _hang_up = HangUp(&wires);
                act(&talk, &far_end.wires, breaks, &steps);
                assert_eq!(far_end.ended(), (true, String::new()));
            });
            talk.seen.into_inner().expect("nobody panicked")
        });
        for model in seen.streams.values().filter(|model| !model.reset) {
            if model.breaks {
                prop_assert_eq!((model.far_finished, model.far_reset), (0, 1));
            } else {
                prop_assert_eq!((model.acknowledged, model.far_finished, model.far_reset), (1, 1, 0));
                prop_assert!(model.came == model.sent, "{} of {} bytes", model.came.len(), model.sent.len());
            }
        }
    }

    /// It ends when its input does, with its own words where that was wrong, and never with Python's.
    #[test]
    fn no_frames_whatever_confuse_it(
        prefix in good(),
        frames in prop::collection::vec(any_frame(), 0..40),
        piece in 1..4096_usize,
    ) {
        let (well, said) = FarEnd::with(|far_end| {
            let mut from = far_end.wires.try_clone().expect("a socket");
            let reading = std::thread::spawn(move || {
                let mut said = Vec::new();
                // What it did not read when it ended resets the connection.
                let _ = from.read_to_end(&mut said);
                said
            });
            for piece in [prefix, frames.concat()].concat().chunks(piece) {
                // It may have ended.
                if (&far_end.wires).write_all(piece).is_err() {
                    break;
                }
            }
            let ended = far_end.ended();
            assert!(reading.join().expect("a reader").starts_with(GREETING));
            ended
        });
        prop_assert!(if well { said.is_empty() } else { said.starts_with("relay: ") && said.lines().count() == 1 }, "{said}");
    }
}
