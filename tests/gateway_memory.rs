//! Long bodies cost no memory. Alone in its process, so that its memory is this test's.
#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[expect(dead_code, reason = "the other tests of the gateway need more of it")]
#[path = "gateway/support.rs"]
mod support;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use llm_proxy::instance::Hold;

use support::*;

const PIECE: usize = 64 * 1024;
const PIECES: usize = 1600;
const HEAD: &str = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
const TAIL: &str = "\r\n--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--x--\r\n";

/// The most memory that this process ever had, in KiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A form with a sound of 100 MiB; the model's name comes after it.
fn form() -> Request<StreamBody<impl futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + 'static>>
{
    let sound = Bytes::from(vec![7; PIECE]);
    let pieces = std::iter::once(Bytes::from(HEAD))
        .chain(std::iter::repeat_n(sound, PIECES))
        .chain(std::iter::once(Bytes::from(TAIL)))
        .map(|piece| Ok(Frame::data(piece)));
    Request::post("/v1/audio/transcriptions")
        .header("host", "localhost")
        .header("content-type", "multipart/form-data; boundary=x")
        .body(StreamBody::new(futures_util::stream::iter(pieces)))
        .unwrap()
}

#[tokio::test]
async fn an_upload_of_100_mib_costs_no_memory_whether_it_passes_or_is_held() {
    let engine = engine(|request| async {
        let mut body = request.into_body();
        let (mut total, mut sum) = (0_usize, 0_u64);
        while let Some(frame) = body.frame().await {
            let data = frame.expect("a whole body").into_data().expect("data");
            total += data.len();
            sum += data.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        Response::new(known(format!("{total} {sum}")))
    })
    .await;
    let around: u64 = HEAD.bytes().chain(TAIL.bytes()).map(u64::from).sum();
    let total = PIECE * PIECES + HEAD.len() + TAIL.len();
    let expected = format!("{total} {}", (PIECE * PIECES * 7) as u64 + around);

    let passing = Proxy::start(engine, Mood::Ready).await;
    // What a first request makes once is no part of the cost.
    assert_eq!(passing.post("/v1/completions", "{}").await.0, 200);
    let before = peak();
    assert_eq!(whole(passing.send(form()).await).await, (200, expected.clone()));
    let passed = peak() - before;
    assert!(passed < 8 * 1024, "an upload that passed cost {passed} KiB");

    let holding = Proxy::start(engine, Mood::Asleep).await;
    let (answer, ()) = tokio::join!(
        async { tokio::time::timeout(DEADLINE * 3, send(holding.address, form())).await.expect("an answer in time") },
        async {
            eventually("the wait", || holding.owner.was_told(Told::Acquire(Hold::Inference))).await;
            holding.owner.wake();
        }
    );
    assert_eq!(whole(answer).await, (200, expected));
    let held = peak() - before;
    assert!(held < 12 * 1024, "an upload that was held cost {held} KiB");
}
