//! What must hold of our side of a relay, whatever its far end says: for its property test and for the fuzz target in `fuzz/`.
//! Not part of the program. What must hold of the far end itself is in `tests/relay`.
#![expect(clippy::expect_used, clippy::panic, reason = "what fails here has shown a fault")]

use std::io::Cursor;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::carrier::Carrier;
use super::{RelayPlan, RelayStream};
use crate::host::{Address, Host, LocalHost, Program, Shell};

const GREETING: &[u8] = b"n0nce relay\n";

/// Streams at once: the far end's words may be about any of them, or about others.
const STREAMS: usize = 3;

/// Longer than anything here takes: nothing is waited for but what is in memory.
const LONG: Duration = Duration::from_secs(5);

/// Hears these words of a far end, as they are and after a greeting, and judges what comes of it: all streams and the relay itself
/// end once its words do, and streams bring no more than was said.
///
/// # Panics
/// One of these does not hold.
pub fn relay(input: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        hear(input.to_vec()).await;
        hear([GREETING, input].concat()).await;
    });
}

/// How many bytes all streams together brought.
async fn hear(words: Vec<u8>) -> usize {
    let said = words.len();
    let program = Program {
        stdin: Box::new(tokio::io::sink()),
        stdout: Box::new(Cursor::new(words)),
        stderr: Box::new(tokio::io::empty()),
    };
    let plan = RelayPlan {
        shell: Shell::Posix,
        script: String::new(),
        endpoint: Address { host: "node".to_owned(), port: 1 }.into(),
        nonce: "n0nce".to_owned(),
    };
    let tasks = TaskTracker::new();
    let heard = async {
        let Ok(carrier) = Carrier::over(program, &Host::Local(LocalHost), &plan, &tasks).await else { return 0 };
        let streams = join_all((0..STREAMS).map(|_| carrier.open())).await;
        let came = join_all(streams.into_iter().flatten().map(talk)).await;
        drop(carrier);
        tasks.close();
        tasks.wait().await;
        came.into_iter().sum()
    };
    let Ok(came) = timeout(LONG, heard).await else { panic!("something of it never ends") };
    assert!(came <= said, "{came} bytes of {said}");
    came
}

/// As a request goes, and its answer; how much came.
async fn talk(mut stream: RelayStream) -> usize {
    let mut came = Vec::new();
    // It may have ended already, with all that it said waiting to be read. What breaks off is told as broken.
    if stream.write_all(b"request").await.is_ok() {
        let _ = stream.flush().await;
    }
    let _ = stream.read_to_end(&mut came).await;
    let _ = stream.shutdown().await;
    came.len()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A frame of yamux, right or wrong.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let length = prop_oneof![Just(0_u32), 1..64_u32, Just(256 * 1024), any::<u32>()];
        let version = prop_oneof![20 => Just(0_u8), 1 => any::<u8>()];
        (version, 0..5_u8, 0..16_u16, 0..8_u32, length, vec(any::<u8>(), 0..64)).prop_map(
            |(version, kind, flags, stream, length, body)| {
                let flags = flags.to_be_bytes();
                [&[version, kind], &flags[..], &stream.to_be_bytes(), &length.to_be_bytes(), &body].concat()
            },
        )
    }

    proptest! {
        #[test]
        fn no_frames_whatever_keep_us_waiting(frames in vec(frame(), 0..20)) {
            relay(&frames.concat());
        }

        #[test]
        fn no_bytes_whatever_keep_us_waiting(bytes in vec(any::<u8>(), 0..2000)) {
            relay(&bytes);
        }
    }

    #[tokio::test]
    async fn what_is_right_comes_through() {
        let answers = [("answer", 19), ("three", 100), ("noise", 0), ("go_away", 0), ("broken", 0), ("too_much", 0)];
        for (seed, bytes) in answers {
            let words = std::fs::read(format!("fuzz/seeds/relay/{seed}")).expect("a seed");
            assert_eq!(hear([GREETING, &words].concat()).await, bytes, "{seed}");
        }
    }
}
