//! Work that may wait, beside the tasks that must not.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Carries out what may wait for a disk, a terminal or another program, for seconds where that is slow: the tasks that share
/// this thread go on on another meanwhile. There may be no other thread, and then all streams would stand still.
pub fn the_streams<R>(work: impl FnOnce() -> R) -> R {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        // There is no runtime; or it is one that cannot go on elsewhere, in which no stream is served.
        Ok(_) | Err(_) => work(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "a test fails loudly")]

    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn who_waits_for_the_disk_keeps_nobody_waiting() {
        let (written, disk) = mpsc::channel();
        let record = tokio::spawn(async move { the_streams(|| disk.recv_timeout(Duration::from_secs(30))) });
        let stream = tokio::spawn(async move { written.send(()) });
        assert_eq!(record.await.expect("no panic"), Ok(()), "the only thread of the runtime was kept");
        stream.await.expect("no panic").expect("the disk waits");
    }

    #[test]
    fn it_is_done_without_a_runtime() {
        assert_eq!(the_streams(|| 1), 1);
    }
}
