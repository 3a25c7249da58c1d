//! System calls, by `strace`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::limit::Spent;
use crate::program::program;
use crate::support::{ChildGuard, Deadline, eventually};

/// What reads and writes sockets, as `strace` calls it.
const READS: &[&str] = &["recvfrom", "recvmsg", "readv"];
const WRITES: &[&str] = &["sendto", "sendmsg", "writev"];
const REQUESTS: u64 = 50;
const TOKENS: u64 = 100;
const LOOK: &str = "strace --follow-forks --attach the PID of llm-proxy serve";
const ATTACHED: &str = "strace has all threads; it needs to be root, or kernel.yama.ptrace_scope=0";

/// How often each system call was made.
type Calls = BTreeMap<String, u64>;

/// How often what was counted is counted again. What the program does by the clock may fall into any of them, and the least has
/// the least of it.
const TIMES: usize = 3;

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
    let attached = async || {
        (strace.stderr().so_far().iter().filter(|line| line.contains("attached")).count() == threads).then_some(())
    };
    eventually(Deadline::in_seconds(10), ATTACHED, attached).await;
    work.await;
    strace.signal("INT");
    strace.wait(Deadline::in_seconds(10)).await;
    let table = std::fs::read_to_string(table).expect("a table");
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
    println!("{once:?} {twice:?}");
    let least = |all: &[Calls], names: &[&str]| {
        let sum = |calls: &Calls| {
            let of_these = calls.iter().filter(|(name, _)| names.is_empty() || names.contains(&name.as_str()));
            of_these.map(|(_, count)| count).sum()
        };
        all.iter().map(sum).min().unwrap_or_default()
    };
    [READS, WRITES, &[]].map(|names| Spent { pieces, once: least(&once, names), twice: least(&twice, names) })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_request_and_of_a_token() {
    let (proxy, mut talk) = program(&[]).await;
    talk.requests(10).await;
    let [reads, writes, all] = cost(proxy.pid(), REQUESTS, async |count| talk.requests(count).await).await;
    reads.at_most("reads of a request", 3.05, LOOK);
    writes.at_most("writes of a request", 2.05, LOOK);
    all.at_most("system calls of a request", 20.0, LOOK);
    let [reads, writes, all] = cost(proxy.pid(), TOKENS, async |count| talk.tokens(count).await).await;
    reads.at_most("reads of a token", 1.05, LOOK);
    writes.at_most("writes of a token", 1.05, LOOK);
    all.at_most("system calls of a token", 4.0, LOOK);
}
