//! A cancellation, for a task that is polled for every token.

use std::pin::Pin;
use std::task::{Context, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A cancellation that a task is woken by. To wait for one is to be entered into a list under a lock; this is done once for a
/// task, and after that it is a mere look.
#[derive(Debug)]
pub struct Watched {
    // A child of its own: those that look at once do not meet at one lock.
    token: CancellationToken,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Who is woken.
    entered: Option<Waker>,
}

impl Watched {
    /// Of this one.
    #[must_use]
    pub fn new(parent: &CancellationToken) -> Self {
        let token = parent.child_token();
        Self { cancelled: Box::pin(token.clone().cancelled_owned()), token, entered: None }
    }

    /// Whether it is cancelled; if not, the task is woken once it is.
    pub fn is_cancelled(&mut self, cx: &mut Context<'_>) -> bool {
        if self.token.is_cancelled() {
            return true;
        }
        if self.entered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return false;
        }
        self.entered = Some(cx.waker().clone());
        self.cancelled.as_mut().poll(cx).is_ready()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn whoever_looked_last_is_woken() {
        let token = CancellationToken::new();
        let mut watched = Watched::new(&token);
        let seen = poll_fn(|cx| Poll::Ready((watched.is_cancelled(cx), watched.is_cancelled(cx)))).await;
        assert_eq!(seen, (false, false));
        // From another task, which is the one to be woken from now on.
        let (looked, first_look) = tokio::sync::oneshot::channel();
        let waiting = tokio::spawn(async move {
            let mut looked = Some(looked);
            poll_fn(|cx| {
                let ended = watched.is_cancelled(cx);
                if let Some(looked) = looked.take() {
                    assert_eq!(looked.send(()), Ok(()));
                }
                if ended { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
        assert!(first_look.await.is_ok());
        token.cancel();
        let woken = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(matches!(woken, Ok(Ok(()))));
    }
}
