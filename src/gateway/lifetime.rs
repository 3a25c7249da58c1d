//! The two scopes of the gateway's end.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Who tells the gateway to end, and where its tasks are. "Admit no more" is not "end what runs".
#[derive(Clone, Debug)]
pub struct Lifetime {
    /// Every task of the gateway. To wait for it after `no_more` is to let everything finish.
    pub tasks: TaskTracker,
    /// No connection is accepted any more, and none takes a further request; what is being answered goes on.
    pub no_more: CancellationToken,
    /// What is still being answered breaks off, and no more is admitted.
    pub end_all: CancellationToken,
}

impl Default for Lifetime {
    fn default() -> Self {
        let end_all = CancellationToken::new();
        Self { tasks: TaskTracker::new(), no_more: end_all.child_token(), end_all }
    }
}
