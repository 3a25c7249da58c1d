//! The situations that the clients are put into. Each has a proxy and an engine of its own; all clients meet it at the
//! same time, and nobody depends on how fast the machine is: the engine starts when the test lets it.

use std::time::Duration;

use futures_util::future::join_all;

use crate::cell::Cell;
use crate::driver::Drivers;
use crate::job::{Job, Outcome};
use crate::rows::{Api, By, Row};
use crate::stage::{Stage, ask_all};
use crate::support::Llama;
use crate::table::{Column, Group};

/// What the test engine says with `--tokens 4`.
const TEXT: &str = "tok0 tok1 tok2 tok3 ";
/// How long a client with a short patience goes on without hearing anything.
const PATIENCE: Duration = Duration::from_secs(3);
/// Long enough for every patience to end: Node looks at its clock once a second.
const LONGER: Duration = Duration::from_secs(5);
/// The same, for those who try again.
const TRY: Duration = Duration::from_secs(5);
/// Early heads, and a sign of life well within the patience.
const SIGNS: [&str; 6] = ["--stream-headers-after", "500ms", "--body-headers-after", "500ms", "--keep-alive", "500ms"];
const NO_SIGNS: [&str; 4] = ["--stream-headers-after", "0", "--body-headers-after", "0"];
/// Why the engine fails, and what the proxy then advises.
const FAILS: [&str; 2] = ["--fail", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB"];
const CAUSE_AND_REMEDY: [&str; 2] = ["CUDA out of memory", "--max-model-len"];
const REFUSED: &str = "as the header x-engine-status asked";
/// Two more tries, where each start fails after a moment, in seconds.
const LONGEST_RETRYING: f64 = 45.0;
const ROWS: usize = Row::ALL.len();

fn column(title: &'static str, cells: Vec<Cell>) -> Column {
    Column { title, cells }
}

fn whole(_: &Row, outcome: &Outcome) -> Cell {
    Cell::text(outcome, TEXT)
}

/// The text, as it came: in pieces.
fn in_pieces(row: &Row, outcome: &Outcome) -> Cell {
    whole(row, outcome).and(outcome.pieces == 4, "not piece by piece")
}

fn explained(_: &Row, outcome: &Outcome) -> Cell {
    Cell::raised(outcome, "", &CAUSE_AND_REMEDY)
}

fn refused(_: &Row, outcome: &Outcome) -> Cell {
    Cell::raised(outcome, "", &[REFUSED])
}

/// An answer that began as plain JSON and then failed is broken off: everything raises, but what the proxy had to say is
/// only in the body, which curl shows.
fn broken_off(row: &Row, outcome: &Outcome, words: &[&str]) -> Cell {
    Cell::raised(outcome, "", if row.by == By::Curl { words } else { &[] })
}

/// The engine runs; real text, wrong keys, refusals.
pub(crate) async fn warm(drivers: &Drivers) -> Group {
    let stage = Stage::new(&[], &["--tokens", "4"]).await;
    let llama = Stage::of(Llama::find().command()).await;
    tokio::join!(stage.wake("test-model"), llama.wake("tiny"));
    let of_llama = |row: &Row, stream| Job { model: "tiny", max_tokens: 6, ..llama.job(row, stream) };
    let wrong_key = |row: &Row| Job { key: "wrong", ..stage.job(row, false) };
    let asked_to_refuse = |row: &Row, stream| stage.job(row, stream).header("x-engine-status", "400");
    let words = |_: &Row, outcome: &Outcome| Cell::some_text(outcome, 6);
    let wrong = |_: &Row, outcome: &Outcome| Cell::raised(outcome, "", &["access key is missing or wrong"]);
    let (streamed, plain, real_streamed, real_plain, key, no_stream, no_plain) = tokio::join!(
        ask_all(drivers, |row| stage.job(row, true), in_pieces),
        ask_all(drivers, |row| stage.job(row, false), whole),
        ask_all(drivers, |row| of_llama(row, true), words),
        ask_all(drivers, |row| of_llama(row, false), words),
        ask_all(drivers, wrong_key, wrong),
        ask_all(drivers, |row| asked_to_refuse(row, true), refused),
        ask_all(drivers, |row| asked_to_refuse(row, false), refused),
    );
    tokio::join!(stage.end(), llama.end());
    Group {
        title: "The engine runs",
        explanation: "llama.cpp's own server, and the test engine. A refusal is the engine's 400, whose words the client shows.",
        columns: vec![
            column("streamed", streamed),
            column("plain", plain),
            column("llama.cpp, streamed", real_streamed),
            column("llama.cpp, plain", real_plain),
            column("wrong access key", key),
            column("engine refuses, streamed", no_stream),
            column("engine refuses, plain", no_plain),
        ],
        faults: Vec::new(),
    }
}

/// A start that takes longer than the clients' patience, with signs of life.
pub(crate) async fn cold(drivers: &Drivers) -> Group {
    let stage = Stage::new(&SIGNS, &["--tokens", "4"]).await;
    let job = |row: &Row, stream| stage.job(row, stream).patient_for(PATIENCE);
    let delta = |row: &Row| job(row, true).header("x-llm-proxy-progress", "delta");
    let with_deltas = |row: &Row, outcome: &Outcome| {
        let shows_all = matches!(row.api, Api::Chat | Api::Completions) && !row.client.starts_with("ai-");
        in_pieces(row, outcome).and(!shows_all || outcome.empty_pieces > 3, "no empty deltas")
    };
    let asked_to_refuse = |row: &Row, stream| job(row, stream).header("x-engine-status", "400");
    let with_progress = |row: &Row, outcome: &Outcome| {
        let told = outcome.comments.iter().any(|comment| comment.contains("llm-proxy"));
        in_pieces(row, outcome).and(row.by != By::Curl || told, "no progress in comments")
    };
    let refused_plain = |row: &Row, outcome: &Outcome| broken_off(row, outcome, &[REFUSED]);
    let limited = Row::ALL.iter().filter(|row| row.client == "openai-7").map(async |row| {
        let outcome = drivers.run(row, stage.job(row, false).limited_to(PATIENCE)).await;
        let class = outcome.error.as_ref().map(|error| error.class.as_str());
        assert_eq!(class, Some("APIConnectionTimeoutError"), "openai-node 7 limits the whole answer: {outcome:?}");
    });
    let (streamed, plain, deltas, no_stream, no_plain, fault) = tokio::join!(
        ask_all(drivers, |row| job(row, true), with_progress),
        stage.once_held(ROWS, ask_all(drivers, |row| job(row, false), whole)),
        stage.once_held(2 * ROWS, ask_all(drivers, delta, with_deltas)),
        stage.once_held(3 * ROWS, ask_all(drivers, |row| asked_to_refuse(row, true), refused)),
        stage.once_held(4 * ROWS, ask_all(drivers, |row| asked_to_refuse(row, false), refused_plain)),
        async {
            let fault = stage.until_held(5 * ROWS).await;
            // Time has to pass here: all have waited longer than they would without a sign of life.
            tokio::join!(tokio::time::sleep(LONGER), join_all(limited));
            stage.let_start();
            fault
        }
    );
    assert_eq!(stage.starts(), 1, "one start for all");
    stage.end().await;
    Group {
        title: "The engine has to be started, which takes longer than the client's patience",
        explanation: "Each client gives up after 3 s without a byte. The start takes longer for every one of them; early \
                      headers and signs of life keep them waiting. openai-node 7 alone also limits the whole of a plain \
                      answer (its `timeout`, 10 minutes by default, and twice as long again by its retries), which no \
                      sign of life makes longer. A refusal is the engine's 400 to a request whose answer has begun \
                      already, with status 200: a stream ends with its API's error event; a plain body is broken off, \
                      which raises everywhere, but only curl shows the words.",
        columns: vec![
            column("streamed", streamed),
            column("plain", plain),
            column("streamed, progress as deltas", deltas),
            column("engine refuses, streamed", no_stream),
            column("engine refuses, plain", no_plain),
        ],
        faults: fault.into_iter().collect(),
    }
}

/// The same without signs of life, which shows that the patience is as short as is said.
pub(crate) async fn silent(drivers: &Drivers) -> Group {
    let silent = Stage::new(&NO_SIGNS, &["--tokens", "4"]).await;
    let gave_up = |_: &Row, outcome: &Outcome| Cell::gave_up(outcome);
    let retried = Stage::new(&NO_SIGNS, &["--tokens", "4"]).await;
    let in_the_end =
        |row: &Row, outcome: &Outcome| whole(row, outcome).and(outcome.seconds > TRY.as_secs_f64(), "at the first try");
    let again = |row: &Row, stream| retried.job(row, stream).patient_for(TRY).limited_to(TRY).trying_again();
    let (streamed, plain) = tokio::join!(
        ask_all(drivers, |row| silent.job(row, true).patient_for(PATIENCE), gave_up),
        ask_all(drivers, |row| silent.job(row, false).patient_for(PATIENCE).limited_to(PATIENCE), gave_up),
    );
    let (again_streamed, again_plain, ()) = tokio::join!(
        ask_all(drivers, |row| again(row, true), in_the_end),
        ask_all(drivers, |row| again(row, false), in_the_end),
        async {
            // Time has to pass here: all first tries are over, and the second ones are not.
            tokio::time::sleep(TRY + TRY / 2).await;
            retried.let_start();
        }
    );
    assert_eq!(retried.starts(), 1, "one start, however often clients try");
    for row in &Row::ALL {
        assert_eq!(
            retried.count("seen", row).await,
            2,
            "{}: the engine never sees a try that was given up",
            row.name()
        );
    }
    let fault = silent.until_held(0).await;
    tokio::join!(silent.end(), retried.end());
    Group {
        title: "The same without signs of life",
        explanation: "`--stream-headers-after 0 --body-headers-after 0`: the proof that the patience is as short as said \
                      above. A client that tries again (twice, the SDKs' default) joins the start that is under way: \
                      there is one start in all.",
        columns: vec![
            column("streamed", streamed),
            column("plain", plain),
            column("streamed, default retries", again_streamed),
            column("plain, default retries", again_plain),
        ],
        faults: fault.into_iter().collect(),
    }
}

/// Starts that fail, before and after the answer has begun.
pub(crate) async fn failing(drivers: &Drivers) -> Group {
    let early = Stage::new(&NO_SIGNS, &FAILS).await;
    let late = Stage::new(&SIGNS, &FAILS).await;
    let delta = |row: &Row| late.job(row, true).header("x-llm-proxy-progress", "delta");
    let (streamed, plain, late_streamed, late_delta, late_plain, early_fault, late_fault) = tokio::join!(
        ask_all(drivers, |row| early.job(row, true), explained),
        ask_all(drivers, |row| early.job(row, false), explained),
        ask_all(drivers, |row| late.job(row, true), explained),
        ask_all(drivers, delta, explained),
        ask_all(drivers, |row| late.job(row, false), |row, outcome| broken_off(row, outcome, &CAUSE_AND_REMEDY)),
        async {
            let fault = early.until_held(2 * ROWS).await;
            early.let_start();
            fault
        },
        async {
            let fault = late.until_held(3 * ROWS).await;
            // Time has to pass here: all answers have begun.
            tokio::time::sleep(Duration::from_secs(1)).await;
            late.let_start();
            fault
        }
    );
    tokio::join!(early.end(), late.end());
    Group {
        title: "The start fails",
        explanation: "Every message names the cause (out of memory) and the remedy, except where a plain body had begun: \
                      that is broken off, which raises everywhere, but only curl shows the words.",
        columns: vec![
            column("before headers, streamed", streamed),
            column("before headers, plain", plain),
            column("after headers, streamed", late_streamed),
            column("after headers, streamed, progress as deltas", late_delta),
            column("after headers, plain", late_plain),
        ],
        faults: early_fault.into_iter().chain(late_fault).collect(),
    }
}

/// Clients that try again, as they do by default, where each start fails after a moment.
pub(crate) async fn failing_again(drivers: &Drivers) -> Group {
    let early = Stage::new(&NO_SIGNS, &FAILS).await;
    let late = Stage::new(&["--stream-headers-after", "2s", "--body-headers-after", "2s"], &FAILS).await;
    let soon = |outcome: &Outcome| outcome.seconds < LONGEST_RETRYING;
    let explained_soon = |row: &Row, outcome: &Outcome| explained(row, outcome).and(soon(outcome), "after a long time");
    let raised_soon = |row: &Row, outcome: &Outcome| {
        let answered = outcome.error.as_ref().is_some_and(|error| error.status == Some(503));
        let cell = if answered { explained(row, outcome) } else { broken_off(row, outcome, &CAUSE_AND_REMEDY) };
        cell.and(soon(outcome), "after a long time")
    };
    let (plain, late_streamed, late_plain, early_fault, late_fault) = tokio::join!(
        ask_all(drivers, |row| early.job(row, false).trying_again(), explained_soon),
        ask_all(drivers, |row| late.job(row, true).trying_again(), explained_soon),
        ask_all(drivers, |row| late.job(row, false).trying_again(), raised_soon),
        async {
            let fault = early.until_held(ROWS).await;
            early.let_start();
            fault
        },
        async {
            let fault = late.until_held(2 * ROWS).await;
            // Time has to pass here: all answers have begun.
            tokio::time::sleep(Duration::from_secs(3)).await;
            late.let_start();
            fault
        }
    );
    for stage in [&early, &late] {
        assert!(stage.starts() <= 3, "{} starts for one try and two more", stage.starts());
    }
    tokio::join!(early.end(), late.end());
    Group {
        title: "The start fails, and the client tries again",
        explanation: "With the SDKs' default of two retries. A try within the time that the proxy leaves between two \
                      starts is answered at once, with the words of the start that failed; one after it starts anew.",
        columns: vec![
            column("before headers, plain", plain),
            column("after headers, streamed", late_streamed),
            column("after headers, plain", late_plain),
        ],
        faults: early_fault.into_iter().chain(late_fault).collect(),
    }
}

/// What happens to an engine, or a client, in the middle.
pub(crate) async fn in_the_middle(drivers: &Drivers) -> Group {
    let together = (2 * ROWS).to_string();
    let dying = Stage::new(&[], &["--tokens", "9", "--die-after-tokens", "3", "--die-together", &together]).await;
    let talking = Stage::new(&[], &["--token-delay", "50ms", "--tokens", "100000"]).await;
    tokio::join!(dying.wake("test-model"), talking.wake("test-model"));
    let broke_off =
        |text: &'static str| move |_: &Row, outcome: &Outcome| Cell::raised(outcome, text, &["the engine broke off"]);
    let leaving = async |row: &Row| {
        let job = Job { leave_after_pieces: Some(3), ..talking.job(row, true) };
        let outcome = drivers.run(row, job).await;
        Cell::left(&outcome, talking.comes_to_count("left", row).await, "left; the engine noticed")
    };
    let (streamed, plain, left) = tokio::join!(
        ask_all(drivers, |row| dying.job(row, true), broke_off("tok0 tok1 tok2 ")),
        ask_all(drivers, |row| dying.job(row, false), |_, outcome| Cell::raised(outcome, "", &["the engine "])),
        join_all(Row::ALL.iter().map(leaving)),
    );
    let (left_streamed, left_plain, fault) = leaving_while_held(drivers).await;
    tokio::join!(dying.end(), talking.end());
    Group {
        title: "In the middle",
        explanation: "The engine dies: what came before is kept, then the client raises. The client leaves: the engine \
                      ends its work; or, if the start is still under way, the request never reaches the engine.",
        columns: vec![
            column("engine dies, streamed", streamed),
            column("engine dies, plain", plain),
            column("client leaves, streamed", left),
            column("client leaves while it waits, streamed", left_streamed),
            column("client leaves while it waits, plain", left_plain),
        ],
        faults: fault.into_iter().collect(),
    }
}

/// Clients that leave before the engine is there; half of them after their answer's headers.
async fn leaving_while_held(drivers: &Drivers) -> (Vec<Cell>, Vec<Cell>, Option<String>) {
    let stage = Stage::new(&SIGNS, &["--tokens", "4"]).await;
    let leaving = |row: &Row, stream| Job { leave_after_seconds: Some(2.0), ..stage.job(row, stream) };
    let left = |_: &Row, outcome: &Outcome| Cell::left(outcome, true, "left; the engine never saw it");
    let (mut streamed, mut plain) = tokio::join!(
        ask_all(drivers, |row| leaving(row, true), left),
        ask_all(drivers, |row| leaving(row, false), left),
    );
    let fault = stage.until_held(0).await;
    stage.wake("test-model").await;
    for (at, row) in Row::ALL.iter().enumerate() {
        let came = stage.count("seen", row).await > 0;
        for cells in [&mut streamed, &mut plain] {
            cells[at] = cells[at].clone().and(!came, "the engine saw it");
        }
    }
    stage.end().await;
    (streamed, plain, fault)
}
