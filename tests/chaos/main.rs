//! Everything that goes wrong, one after the other at random moments, on two real clusters under load: one whose jobs are
//! asked for by `srun`, one by `sbatch`. No request hangs or is answered falsely, there is never a second job, and nothing is
//! left when all is quiet. `scripts/chaos` runs many rounds and prints the table; here are twenty.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints a table"
)]

mod draw;
mod fault;
mod history;
mod load;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod watch;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use draw::Round;
use fault::ALL;
use futures_util::FutureExt as _;
use load::Count;
use stage::{Came, Stage};

/// Who takes longer until somebody is answered again is worth a look.
const SLOW: Duration = Duration::from_secs(20);

/// A round, and what became of it.
struct Row {
    round: Round,
    violations: Vec<String>,
    back_after: Duration,
}

/// What one cluster came to.
#[derive(Default)]
struct Outcome {
    rows: Vec<Row>,
    counts: Vec<Count>,
    /// Of the first violation, and when that was.
    history: Option<(Instant, String)>,
    at_the_end: Vec<String>,
}

fn variable(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// All rounds of one cluster. After a violation it is another cluster: what is left of one must not be blamed on the next.
async fn play(rounds: Vec<Round>, batch: bool) -> Outcome {
    let (mut outcome, mut stage) = (Outcome::default(), None);
    let way = if batch { "sbatch" } else { "srun" };
    for round in rounds {
        let mut on = match stage.take() {
            Some(stage) => stage,
            None => Stage::up(batch).await,
        };
        let since = on.history.now().saturating_sub(Duration::from_secs(5));
        let came = match AssertUnwindSafe(on.play(&round)).catch_unwind().await {
            Ok(came) => came,
            Err(_) => {
                Came { violations: vec!["the round could not be played; why is above".to_owned()], ..Came::default() }
            }
        };
        println!(
            "  {way} round {}: {}, {:?}, the proxy {:?}: back after {:.1} s {:#?}",
            round.number,
            round.fault.name(),
            round.moment,
            round.midst,
            came.back_after.as_secs_f32(),
            came.violations
        );
        if !came.violations.is_empty() || came.back_after > SLOW {
            keep(&format!("{way}-round-{}", round.number), &on.history.told(since));
        }
        if came.violations.is_empty() {
            stage = Some(on);
        } else {
            let told = on.history.told(since);
            outcome.history.get_or_insert_with(|| (Instant::now(), format!("by {way}: {round:?}\n{told}")));
            outcome.counts.push(on.give_up());
        }
        outcome.rows.push(Row { round, violations: came.violations, back_after: came.back_after });
    }
    if let Some(stage) = stage {
        let history = std::sync::Arc::clone(&stage.history);
        let (violations, count) = stage.down().await;
        keep(&format!("{way}-to-the-end"), &history.told(Duration::ZERO));
        if !violations.is_empty() {
            let told = history.told(history.now().saturating_sub(Duration::from_mins(2)));
            outcome.history.get_or_insert_with(|| (Instant::now(), format!("by {way}, at the end\n{told}")));
        }
        outcome.at_the_end = violations;
        outcome.counts.push(count);
    }
    outcome
}

/// Writes a history to where such are wanted.
fn keep(name: &str, history: &str) {
    if let Ok(folder) = std::env::var("CHAOS_HISTORIES") {
        let file = format!("{folder}/{name}.log");
        std::fs::write(&file, history).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

fn print_table(rows: &[Row]) {
    println!("| fault | rounds | violations | slowest back to a whole answer (s) |\n|---|---|---|---|");
    for fault in ALL {
        let of: Vec<&Row> = rows.iter().filter(|row| row.round.fault == fault).collect();
        let violations: usize = of.iter().map(|row| row.violations.len()).sum();
        let slowest = of.iter().map(|row| row.back_after).max().unwrap_or_default();
        println!("| {} | {} | {violations} | {:.1} |", fault.name(), of.len(), slowest.as_secs_f32());
    }
}

/// The faults are made by programs that are waited for; those who ask go on meanwhile, on threads of their own.
fn on_its_own(rounds: Vec<Round>, batch: bool) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(play(rounds, batch))
}

#[test]
fn whatever_goes_wrong_no_request_hangs_and_no_job_is_left() {
    let (rounds, seed) = (variable("CHAOS_ROUNDS", 20), variable("CHAOS_SEED", 1));
    let began = Instant::now();
    let rounds = draw::rounds(usize::try_from(rounds).expect("a number of rounds"), seed);
    let (batch, srun): (Vec<_>, Vec<_>) = rounds.into_iter().partition(|round| round.number % 2 == 0);
    let outcomes = std::thread::scope(|scope| {
        let both = [(srun, false), (batch, true)].map(|(rounds, batch)| scope.spawn(move || on_its_own(rounds, batch)));
        both.map(|one| one.join().expect("the rounds can be played"))
    });

    let (mut rows, mut count, mut histories, mut violations) = (Vec::new(), Count::default(), Vec::new(), Vec::new());
    for outcome in outcomes {
        for of in outcome.counts {
            count.sent += of.sent;
            count.whole += of.whole;
            count.told += of.told;
            count.broken_off += of.broken_off;
            count.gone += of.gone;
        }
        violations.extend(outcome.rows.iter().flat_map(|row| row.violations.clone()).chain(outcome.at_the_end));
        histories.extend(outcome.history);
        rows.extend(outcome.rows);
    }
    print_table(&rows);
    println!(
        "seed {seed}: {} rounds in {} s; {} requests: {} answered whole, {} told why not, {} broken off, {} gone with a \
         proxy that was ended; {} violations",
        rows.len(),
        began.elapsed().as_secs(),
        count.sent,
        count.whole,
        count.told,
        count.broken_off,
        count.gone,
        violations.len()
    );
    if let Some((_, history)) = histories.iter().min_by_key(|(at, _)| *at) {
        println!("--- the first violation, {history}");
    }
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
}
