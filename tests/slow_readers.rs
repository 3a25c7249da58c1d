//! A client that reads slowly, or sends slowly, or not at all, costs its own time and nobody else's, and little memory.
//!
//! Through SSH all streams share one connection, and its library stops reading for all of them where one is not read. So
//! what a slow client leaves waits on disk there. Without SSH it waits in the engine.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::future::Future;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Method;
use serde_json::json;
use support::scene::{chat, slurm_proxy, soon};
use support::{Client, Cluster, Deadline, EventStream, HostName, Proxy, eventually};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

const MIB: u64 = 1 << 20;

/// A body that is far more than all buffers on its way together: four sockets (at most some 6 MiB each in Linux), two
/// connections of HTTP (128 KiB each way) and the SSH stream's own share (1 MiB).
const BIG: u64 = 64 * MIB;

/// Streams beside the slow one.
const STREAMS: usize = 50;

/// Fifty streams of twenty tokens, 20 ms each, take 0.4 s by themselves; on two cores that others use as well, ten times
/// that is still in good time. Held up by the slow one, they would wait until it reads on, which is never.
const GOOD_TIME: Duration = Duration::from_secs(10);

/// What one slow client may cost through SSH, in KiB: of its stream 1 MiB in memory and 1 MiB of window under way, 0.5 MiB of
/// HTTP buffers and of pieces on their way to the disk; and as much again twice for what the allocator keeps. An eighth
/// of the body: one that is held in memory is seen at once. (Measured: 2.5 to 3 MiB.)
const COST_THROUGH_SSH_KIB: u64 = 8 * 1024;

/// The same without SSH: nothing but the buffers of two HTTP connections, 128 KiB each way, and what the allocator keeps.
/// (Measured: 1 MiB.)
const COST_HERE_KIB: u64 = 4 * 1024;

/// What one of five hundred streams may cost, in KiB: an HTTP connection on each side and a channel, each with buffers that
/// grow only as they are needed. (Measured: 60 KiB.)
const COST_OF_A_STREAM_KIB: u64 = 128;

/// Long enough for 100 MB through the whole cluster in a build without optimization, on busy cores.
const PATIENCE: Duration = Duration::from_mins(2);

/// The engine's arguments: tokens that take their time.
const TOKENS: [&str; 4] = ["--tokens", "20", "--token-delay", "20ms"];

async fn in_time<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    timeout(limit, future).await.unwrap_or_else(|_| panic!("{what}: not within {limit:?}"))
}

/// A field of the proxy's `/proc/PID/status`, in KiB.
fn memory_kib(proxy: &Proxy, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.pid())).expect("the proxy runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field of the kernel's");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The memory that the proxy has when fifty streams have just been through it: what anything slow costs comes on top.
async fn warm(proxy: &Proxy) -> u64 {
    in_time(PATIENCE, "the engine starts", proxy.client().post("/v1/chat/completions", &chat(false))).await.ok();
    fast_streams(proxy).await;
    memory_kib(proxy, "VmRSS")
}

/// Fifty streams at once, all of which must come to their proper end in good time.
async fn fast_streams(proxy: &Proxy) {
    let body = chat(true);
    let streams =
        (0..STREAMS).map(|_| async { proxy.client().stream("/v1/chat/completions", &body).await.events().await });
    for (events, complete) in in_time(GOOD_TIME, "fifty fast streams", join_all(streams)).await {
        assert!(complete && events.last().is_some_and(|last| last == "data: [DONE]"), "{events:?}");
        assert_eq!(events.iter().filter(|event| event.contains("tok")).count(), 20, "{events:?}");
    }
}

/// Starts a download of [`BIG`] bytes; nothing of its body is read yet.
async fn big_download(proxy: &Proxy) -> Download {
    let path = format!("/bytes?n={BIG}");
    let stream = in_time(PATIENCE, "a head", proxy.client().start(Method::GET, &path, Bytes::new())).await;
    assert_eq!(stream.status(), 200);
    Download { stream, read: 0 }
}

struct Download {
    stream: EventStream,
    read: u64,
}

impl Download {
    /// Reads one piece, every byte of which must be the pattern's. Nothing at the proper end.
    async fn piece(&mut self) -> Option<usize> {
        let piece = in_time(PATIENCE, "a piece", self.stream.piece()).await.expect("the body is not broken off")?;
        let right = (self.read..).zip(&piece).all(|(at, byte)| u64::from(*byte) == at % 251);
        assert!(right, "wrong bytes after {}", self.read);
        self.read += piece.len() as u64;
        Some(piece.len())
    }

    async fn rest(mut self) {
        while self.piece().await.is_some() {}
        assert_eq!(self.read, BIG, "every byte arrives");
    }
}

/// The pace of a slow client; a tick that was missed is not made up for.
fn slow_clock(period: Duration) -> tokio::time::Interval {
    let mut clock = tokio::time::interval(period);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    clock
}

/// What the engine says is open, apart from the question itself.
async fn open_at_the_engine(client: &Client) -> u64 {
    let stats = in_time(GOOD_TIME, "the engine's word", client.get("/stats")).await.ok();
    stats["open"].as_u64().expect("a number")
}

/// One that does not read and one that reads slowly, beside fifty that do.
async fn slow_readers_disturb_nobody(proxy: &Proxy, cost_kib: u64, open_at_the_engine_then: u64) {
    let before = warm(proxy).await;
    let stalled = big_download(proxy).await;
    let mut slow = big_download(proxy).await;
    let slowly = async {
        // A piece is at most some 400 KiB, so this is far from its end when the others are done.
        let mut clock = slow_clock(Duration::from_millis(250));
        loop {
            clock.tick().await;
            slow.piece().await.expect("it is far from its end");
        }
    };
    let fast = async {
        for _ in 0..3 {
            fast_streams(proxy).await;
        }
    };
    tokio::select! {
        () = fast => {}
        () = slowly => {}
    }
    assert!(slow.read > 0 && slow.read < BIG, "{} bytes were read slowly", slow.read);
    let open = async || (open_at_the_engine(proxy.client()).await == open_at_the_engine_then).then_some(());
    eventually(soon(), "the engine is done with both bodies, or held back with both", open).await;
    let cost = memory_kib(proxy, "VmRSS").saturating_sub(before);
    assert!(cost < 2 * cost_kib, "two slow readers cost {cost} KiB beside {before}");

    stalled.rest().await;
    slow.rest().await;
    let peak = memory_kib(proxy, "VmHWM").saturating_sub(before);
    assert!(peak < 2 * cost_kib, "while they read on, they cost {peak} KiB beside {before}");
    fast_streams(proxy).await;
}

#[tokio::test]
async fn slow_readers_through_ssh_disturb_nobody_and_get_every_byte() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &TOKENS).start().await;
    // What nobody reads waits on the laptop's disk, so the engine is done with it.
    slow_readers_disturb_nobody(&proxy, COST_THROUGH_SSH_KIB, 0).await;
    assert!(proxy.stop("TERM", soon()).await.success());
}

#[tokio::test]
async fn slow_readers_here_hold_the_engine_back_and_get_every_byte() {
    let engine = support::engine_path().display().to_string();
    let proxy = Proxy::builder().command([engine]).command(TOKENS).start().await;
    slow_readers_disturb_nobody(&proxy, COST_HERE_KIB, 2).await;
    assert!(proxy.stop("TERM", soon()).await.success());
}

/// FNV-1a over `length` bytes of the pattern, as the engine counts it.
fn checksum(length: u64) -> String {
    let sum = (0..length).fold(0xcbf2_9ce4_8422_2325_u64, |sum, at| (sum ^ (at % 251)).wrapping_mul(0x0100_0000_01b3));
    format!("{sum:016x}")
}

/// A hundred megabytes on their way to the engine, by hand.
struct Upload<S> {
    connection: S,
    pattern: Vec<u8>,
    sent: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Upload<S> {
    const LENGTH: u64 = 100_000_000;

    async fn start(mut connection: S) -> Self {
        let length = Self::LENGTH;
        let head = format!(
            "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.expect("the head is taken");
        Self { connection, pattern: (0..=250).cycle().take(256 * 251).collect(), sent: 0 }
    }

    fn is_sent(&self) -> bool {
        self.sent == Self::LENGTH
    }

    /// Sends as much as is taken at once. To cancel it loses nothing.
    async fn send_some(&mut self) {
        let from = usize::try_from(self.sent % 251).expect("less than 251");
        let length = usize::try_from(Self::LENGTH - self.sent).expect("64 bits").min(self.pattern.len() - from);
        let piece = self.pattern.get(from..from + length).expect("a part of it");
        let taken = in_time(PATIENCE, "a piece of the upload", self.connection.write(piece)).await;
        self.sent += taken.expect("it is taken") as u64;
    }

    async fn answer(mut self) -> serde_json::Value {
        let mut answer = String::new();
        let read = self.connection.read_to_string(&mut answer);
        in_time(PATIENCE, "the answer to the upload", read).await.expect("an answer");
        let body = answer.rsplit("\r\n\r\n").next().expect("a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {answer}"))
    }
}

#[tokio::test]
async fn a_slow_upload_through_ssh_disturbs_nobody() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &TOKENS).start().await;
    let before = warm(&proxy).await;
    let mut upload = Upload::start(proxy.client().dial().await.expect("a connection")).await;
    let slowly = async {
        // Some 2.5 MB/s at most: far from its end when the others are done.
        let mut clock = slow_clock(Duration::from_millis(25));
        loop {
            clock.tick().await;
            upload.send_some().await;
            assert!(!upload.is_sent(), "it was not slow");
        }
    };
    let fast = async {
        for _ in 0..3 {
            fast_streams(&proxy).await;
        }
    };
    tokio::select! {
        () = fast => {}
        () = slowly => {}
    }
    assert!(upload.sent > 0);
    while !upload.is_sent() {
        upload.send_some().await;
    }
    assert_eq!(upload.answer().await, json!({"length": 100_000_000, "fnv1a": checksum(100_000_000)}));
    let peak = memory_kib(&proxy, "VmHWM").saturating_sub(before);
    assert!(peak < COST_THROUGH_SSH_KIB, "the upload cost {peak} KiB beside {before}");
    assert!(proxy.stop("TERM", soon()).await.success());
}

/// One SSH connection carries 256 streams, so these take more than one.
#[tokio::test]
async fn five_hundred_streams_at_once_all_finish() {
    const ALL: usize = 500;
    // Each relay of this test has two descriptors for a stream, and there may be 1024 to a process.
    const RELAYS: usize = 4;
    let pid = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, "--nofile=8192:"]).status();
    assert!(raised.expect("`prlimit` is there; it comes with util-linux").success());
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &["--tokens", "20", "--token-delay", "250ms"]).start().await;
    in_time(PATIENCE, "the engine starts", proxy.client().post("/v1/chat/completions", &chat(false))).await.ok();
    let before = memory_kib(&proxy, "VmRSS");
    let clients = join_all((0..RELAYS).map(|_| cluster.client(HostName::Laptop, proxy.address()))).await;

    let body = chat(true).to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let streams = clients.iter().cycle().take(ALL).map(|client| async {
        let mut connection = client.dial().await.expect("a connection");
        connection.write_all(request.as_bytes()).await.expect("the request is taken");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.expect("the answer is not broken off");
        answer
    });
    let all_are_open = async || (open_at_the_engine(proxy.client()).await >= ALL as u64).then_some(());
    let (answers, ()) = in_time(PATIENCE, "five hundred streams", async {
        tokio::join!(join_all(streams), eventually(PATIENCE, "all are open at once", all_are_open))
    })
    .await;
    let whole = |answer: &&String| {
        answer.starts_with("HTTP/1.1 200") && answer.contains("data: [DONE]") && answer.matches("tok").count() == 20
    };
    let finished = answers.iter().filter(whole).count();
    assert_eq!(finished, ALL, "{:?}", answers.iter().find(|answer| !whole(answer)));
    let peak = memory_kib(&proxy, "VmHWM").saturating_sub(before);
    assert!(peak < ALL as u64 * COST_OF_A_STREAM_KIB, "they cost {peak} KiB beside {before}");
    assert!(proxy.stop("TERM", Deadline::in_seconds(60)).await.success());
}

#[tokio::test]
async fn clients_that_stall_in_mid_request_disturb_nobody() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &TOKENS).start().await;
    let before = warm(&proxy).await;
    let halves = [
        "POST /v1/chat/comp",
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Le",
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: 5000\r\n\r\n{\"model\": \"test-mo",
        "POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\nhalf a chunk",
        "PRI * HTTP/2.0\r\n\r\nSM",
    ];
    let mut stalled = Vec::new();
    for half in halves.iter().cycle().take(40) {
        let mut connection = proxy.client().dial().await.expect("a connection");
        connection.write_all(half.as_bytes()).await.expect("half a request is taken");
        stalled.push(connection);
    }
    for _ in 0..2 {
        fast_streams(&proxy).await;
    }
    let health = in_time(GOOD_TIME, "the health", proxy.client().get("/health")).await.ok();
    assert_eq!(health["detail"][0]["state"], "ready", "{health}");
    let cost = memory_kib(&proxy, "VmRSS").saturating_sub(before);
    assert!(cost < COST_THROUGH_SSH_KIB, "forty who say half of it cost {cost} KiB");

    // One of them goes on after all.
    let (upload, rest) = (stalled.get_mut(3).expect("an upload"), 0x10000 - "half a chunk".len());
    let rest = format!("{}\r\n0\r\n\r\n", "x".repeat(rest));
    in_time(GOOD_TIME, "the rest", upload.write_all(rest.as_bytes())).await.expect("it is taken");
    let mut answer = vec![0; 4096];
    let read = in_time(GOOD_TIME, "the answer", upload.read(&mut answer)).await.expect("an answer");
    let answer = String::from_utf8_lossy(answer.get(..read).expect("what was read")).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(stalled);
    assert!(proxy.stop("TERM", Deadline::in_seconds(60)).await.success());
}
