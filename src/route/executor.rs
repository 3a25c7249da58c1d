//! Where the HTTP library's own tasks go: into a tracker, like every task of ours.

use std::future::Future;

use hyper::rt::Executor;
use tokio_util::task::TaskTracker;

/// Gives what the HTTP library wants spawned to a [`TaskTracker`].
#[derive(Clone, Debug)]
pub struct TrackedExecutor(pub TaskTracker);

impl<F> Executor<F> for TrackedExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        drop(self.0.spawn(task));
    }
}
