//! System calls, by `strace`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::limit::{Spent, TIMES};
use crate::program::program;
use crate::support::{ChildGuard, Deadline, eventually};

/// What reads and writes sockets, as `strace` calls it.
const READS: &[&str] = &["recvfrom", "recvmsg", "readv"];
const WRITES: &[&str] = &["sendto", "sendmsg", "writev"];

// Measured on 22 November 2026, on two cores: 2.00, 2.00 and 5.96 for a request, 1.00, 1.00 and 2.95 to 3.07 for a
// token. What is neither a read nor a write is threads that wait and wake one another.
const READS_OF_A_REQUEST: f64 = 2.1;
const WRITES_OF_A_REQUEST: f64 = 2.1;
const ALL_OF_A_REQUEST: f64 = 8.0;
const READS_OF_A_TOKEN: f64 = 1.1;
const WRITES_OF_A_TOKEN: f64 = 1.1;
const ALL_OF_A_TOKEN: f64 = 4.0;

const REQUESTS: u64 = 50;
const TOKENS: u64 = 100;
const LOOK: &str = "strace --follow-forks --attach the PID of llm-proxy serve";

/// How often each system call was made.
type Calls = BTreeMap<String, u64>;

/// What the threads of a process call while this is done. Those of its children are not looked at.
async fn during(pid: u32, folder: &Path, work: impl Future<Output = ()>) -> Calls {
    let table = folder.join("calls");
    let mut command = Command::new("strace");
    command.arg("--summary-only").arg("--output").arg(&table);
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).expect("the program runs") {
        command.arg("--attach").arg(thread.expect("a thread").file_name());
    }
    let threads = command.get_args().filter(|word| *word == "--attach").count();
    let mut strace = ChildGuard::start("strace", &mut command);
    // One line for each; also for one that ended meanwhile.
    let lines = strace.stderr();
    let tried =
        async || (lines.so_far().iter().filter(|line| line.contains("attach")).count() >= threads).then_some(());
    eventually(Deadline::in_seconds(10), "strace has tried all threads", tried).await;
    work.await;
    strace.signal("INT");
    strace.wait(Deadline::in_seconds(10)).await;
    let table = std::fs::read_to_string(&table).unwrap_or_default();
    assert!(!table.is_empty(), "strace must be root, or kernel.yama.ptrace_scope=0: {:?}", strace.stderr().so_far());
    calls(&table)
}

/// Reads lines of a share, seconds, microseconds a call, calls, errors or nothing, a name.
fn calls(table: &str) -> Calls {
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let named = rows.filter_map(|row| match row.as_slice() {
        [_, _, _, calls, name] | [_, _, _, calls, _, name] => Some(((*name).to_owned(), calls.parse().ok()?)),
        _ => None,
    });
    named.filter(|(name, _)| name != "total").collect()
}

/// What a work costs: reads and writes of sockets, and all calls together.
async fn cost(pid: u32, pieces: u64, mut work: impl AsyncFnMut(u64)) -> [Spent; 3] {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        once.push(during(pid, folder.path(), work(pieces)).await);
        twice.push(during(pid, folder.path(), work(2 * pieces)).await);
    }
    let least = |names: &[&str]| {
        let sum = |calls: &Calls| -> u64 {
            let of_these = calls.iter().filter(|(name, _)| names.is_empty() || names.contains(&name.as_str()));
            of_these.map(|(_, count)| count).sum()
        };
        Spent::least(pieces, once.iter().map(sum), twice.iter().map(sum))
    };
    [least(READS), least(WRITES), least(&[])]
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_request_and_of_a_token() {
    let (proxy, mut talk) = program(&[]).await;
    talk.requests(10).await;
    let [reads, writes, all] = cost(proxy.pid(), REQUESTS, async |count| talk.requests(count).await).await;
    reads.at_most("reads of a request", READS_OF_A_REQUEST, LOOK);
    writes.at_most("writes of a request", WRITES_OF_A_REQUEST, LOOK);
    all.at_most("system calls of a request", ALL_OF_A_REQUEST, LOOK);
    let [reads, writes, all] = cost(proxy.pid(), TOKENS, async |count| talk.tokens(count).await).await;
    reads.at_most("reads of a token", READS_OF_A_TOKEN, LOOK);
    writes.at_most("writes of a token", WRITES_OF_A_TOKEN, LOOK);
    all.at_most("system calls of a token", ALL_OF_A_TOKEN, LOOK);
}
