//! Real clients in front of a real proxy: what each of them sees in each situation, and the table of it in the project.
//!
//! `scripts/clients` installs them, outside the checkout, once; `scripts/test` calls it.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod cell;
mod curl;
mod described;
mod driver;
mod job;
mod rows;
mod situations;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod table;

use driver::Drivers;
use tokio::sync::Mutex;

/// Held by the test that runs: patience is measured in seconds here.
static TURN: Mutex<()> = Mutex::const_new(());

/// What the document says before its tables.
const HEAD: &str = "# What clients see

Made by the tests (`tests/clients`), with the real packages: each cell is what a caller of that client got. `text` is the
whole answer and nothing else; a name in `code type` is what was raised (for curl: its exit code, or the error event in its
output), with the HTTP status where the client tells one. All that is raised shows the proxy's own words, unless the cell
says otherwise.
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_is_what_each_client_sees() {
    let _turn = TURN.lock().await;
    let drivers = Drivers::start().await;
    // One after the other: patience is measured in seconds here, and two cores are busy with one of them.
    let groups = [
        situations::warm(&drivers).await,
        situations::cold(&drivers).await,
        situations::silent(&drivers).await,
        situations::failing(&drivers).await,
        situations::failing_again(&drivers).await,
        situations::in_the_middle(&drivers).await,
    ];
    let mut faults: Vec<String> = groups.iter().flat_map(table::Group::faults).collect();
    faults.extend(table::compare(HEAD, &groups, &drivers).err());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
