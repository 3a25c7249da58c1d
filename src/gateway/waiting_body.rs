//! The body of an answer whose headers went ahead: signs of life, and then the engine's own.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::body::{BoxError, ResponseBody};
use super::dialect::Dialect;
use super::early::Early;
use super::late::{Begun, Late};
use super::signs::Signs;

/// What the words of a failure are given to leave in: a body that breaks off takes with it what was not sent yet.
const FLUSH_TIME: Duration = Duration::from_millis(50);

/// The work that a client waits for. Its own task: a client that takes no bytes must not keep it from letting the
/// engine go.
pub(super) type Work = AbortOnDropHandle<Result<Begun, Late>>;

/// Dropped, it drops the work, and so the place in the queue.
pub(super) struct WaitingBody {
    early: Early,
    dialect: Dialect,
    stage: Stage,
}

enum Stage {
    /// There is no answer yet.
    Waiting { work: Work, sign: Pin<Box<dyn Future<Output = (Signs, Bytes)> + Send>> },
    /// The engine's answer is under way.
    Engine(ResponseBody),
    /// What failed was told, in JSON that must not be taken for an answer.
    Broken { said: String, flushed: Pin<Box<Sleep>> },
    /// All was said.
    Over,
}

/// Ends a body of JSON without its last chunk: under a status of 200 many clients look no further than that.
#[derive(Debug, thiserror::Error)]
#[error("the headers had gone ahead: {0}")]
struct AfterHeaders(String);

impl WaitingBody {
    pub(super) fn new(early: Early, dialect: Dialect, work: Work, signs: Signs) -> Self {
        Self { early, dialect, stage: Stage::Waiting { work, sign: next(signs) } }
    }

    /// The first frame after the wait.
    fn begin(&mut self, begun: Result<Begun, Late>) -> Option<Result<Frame<Bytes>, BoxError>> {
        let late = match begun {
            Ok(Begun { first, rest }) => {
                self.stage = Stage::Engine(rest);
                return first;
            }
            Err(late) => late,
        };
        tracing::debug!(?late, "a request that waited failed");
        Some(Ok(Frame::data(match self.early {
            Early::Events(_) => {
                self.stage = Stage::Over;
                late.event(self.dialect)
            }
            Early::Json => {
                let body = late.body(self.dialect);
                let (said, flushed) = (String::from_utf8_lossy(&body).into_owned(), Box::pin(sleep(FLUSH_TIME)));
                self.stage = Stage::Broken { said, flushed };
                body
            }
        })))
    }
}

fn next(mut signs: Signs) -> Pin<Box<dyn Future<Output = (Signs, Bytes)> + Send>> {
    Box::pin(async move {
        let bytes = signs.next().await;
        (signs, bytes)
    })
}

impl fmt::Debug for WaitingBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingBody").field("early", &self.early).finish_non_exhaustive()
    }
}

impl Body for WaitingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.stage {
            Stage::Engine(body) => Pin::new(body).poll_frame(cx),
            Stage::Waiting { work, sign } => {
                if let Poll::Ready(begun) = Pin::new(work).poll(cx) {
                    return match begun {
                        Ok(begun) => Poll::Ready(self.begin(begun)),
                        // The work is never cancelled but by us: it panicked, and has said so.
                        Err(error) => Poll::Ready(Some(Err(Box::new(error)))),
                    };
                }
                let Poll::Ready((signs, bytes)) = sign.as_mut().poll(cx) else { return Poll::Pending };
                *sign = next(signs);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Stage::Broken { said, flushed } => {
                ready!(flushed.as_mut().poll(cx));
                let said = std::mem::take(said);
                self.stage = Stage::Over;
                Poll::Ready(Some(Err(Box::new(AfterHeaders(said)))))
            }
            Stage::Over => Poll::Ready(None),
        }
    }
}
