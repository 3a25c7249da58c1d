//! Instructions, by valgrind's `callgrind`.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::limit::Spent;
use crate::program::program;

// Measured on 22 November 2026, of a build for development by Rust 1.95: 182 000 for a request, 28 600
// to 29 700 for a token.
const A_REQUEST: f64 = 205_000.0;
const A_TOKEN: f64 = 33_000.0;

const REQUESTS: u64 = 50;
const TOKENS: u64 = 100;
const LOOK: &str =
    "valgrind --tool=callgrind target/debug/llm-proxy serve …, a client that asks, and callgrind_annotate";

/// The program under callgrind, which writes into `folder`.
struct Counter<'a> {
    pid: u32,
    folder: &'a Path,
    dumps: u32,
}

impl Counter<'_> {
    /// What the program executes while this is done.
    async fn during(&mut self, work: impl Future<Output = ()>) -> u64 {
        self.dump();
        work.await;
        self.dump()
    }

    /// What was executed since the last dump.
    fn dump(&mut self) -> u64 {
        let (pid, prefix) = (format!("--pid={}", self.pid), prefix(self.folder));
        // It comes with valgrind, and needs to be root, or kernel.yama.ptrace_scope=0.
        let vgdb = Command::new("timeout").args(["20", "vgdb", &pid, &prefix, "dump"]).output().expect("a command");
        assert!(vgdb.status.success(), "vgdb: {}", String::from_utf8_lossy(&vgdb.stderr));
        self.dumps += 1;
        let file = self.folder.join(format!("counted.{}", self.dumps));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let summary = text.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
        summary.expect("a summary").trim().parse().expect("a number")
    }
}

/// Where valgrind and its debugger meet: in their folder for temporary files, if nothing is said, and they may have another each.
fn prefix(folder: &Path) -> String {
    format!("--vgdb-prefix={}", folder.join("vgdb").display())
}

/// What a work costs.
async fn cost(counter: &mut Counter<'_>, pieces: u64, mut work: impl AsyncFnMut(u64)) -> Spent {
    let once = counter.during(work(pieces)).await;
    let twice = counter.during(work(2 * pieces)).await;
    Spent::least(pieces, std::iter::once(once), std::iter::once(twice))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_request_and_of_a_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("counted");
    let prefix = prefix(folder.path());
    let valgrind = ["valgrind", "--tool=callgrind", &prefix, &format!("--callgrind-out-file={}", file.display())];
    let (proxy, mut talk) = program(&valgrind.map(OsString::from)).await;
    let mut counter = Counter { pid: proxy.pid(), folder: folder.path(), dumps: 0 };
    talk.requests(5).await;
    let spent = cost(&mut counter, REQUESTS, async |count| talk.requests(count).await).await;
    spent.at_most("instructions of a request", A_REQUEST, LOOK);
    let spent = cost(&mut counter, TOKENS, async |count| talk.tokens(count).await).await;
    spent.at_most("instructions of a token", A_TOKEN, LOOK);
}
