//! Another way to an engine that lives, once the one that was taken leads nowhere any more.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{info, warn};

use super::life::Life;
use super::routing::{Found, one_round};
use super::{News, causes};
use crate::route::{Guide, NoRoute, Taken};

/// Before the first search: an engine that ended refuses whoever comes too, and its keeper says so within moments.
const GRACE: Duration = Duration::from_millis(500);

/// Between two searches in vain at first, doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// Between two searches in vain at most: each may log in to a node and start steps of the job.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

impl Life {
    /// Somebody who dials the engine found the way blocked, while the link to the host stands.
    pub(super) fn blocked(&mut self, why: &str) {
        if self.search.is_none() {
            info!("the way to the engine is blocked ({why}); another is looked for");
            self.look_again(GRACE);
        }
    }

    fn look_again(&mut self, after: Duration) {
        let Some(candidates) = self.candidates.clone() else { return };
        let (mut found, search) = oneshot::channel();
        self.search = Some(search);
        self.tasks.spawn(async move {
            let looked = async {
                sleep(after).await;
                one_round(&candidates).await
            };
            let first = tokio::select! {
                round = looked => round.into(),
                // The life ended meanwhile.
                () = found.closed() => return,
            };
            let _ = found.send(first);
        });
    }

    /// A search for another way came to its end.
    pub(super) async fn found_again(&mut self, found: Found) {
        let Found { way, passed_over, remedy } = found;
        let Some(guide) = &self.guide else { return };
        for passed in &passed_over {
            info!("route {passed}");
        }
        if let Some((route, way)) = way {
            info!("route {route} is taken");
            guide.leads(way);
            self.in_vain = 0;
            self.remember(route);
            return self.news.send(News::Routed(Taken { route, passed_over })).await;
        }
        let pause = (FIRST_PAUSE * 2_u32.pow(self.in_vain.min(8))).min(LONGEST_PAUSE);
        self.in_vain = self.in_vain.saturating_add(1);
        let diagnosis = causes::no_route_now(&passed_over, remedy);
        warn!("{}; tried again in {} s", diagnosis.summary, pause.as_secs());
        // Who asks again, having been told, is to find it said.
        self.news.send(News::Unreachable(diagnosis)).await;
        guide.astray(NoRoute { tried: passed_over });
        self.look_again(pause);
    }

    /// Nobody looks for a way any more, nor waits for one.
    pub(super) fn stop_looking(&mut self) {
        (self.search, self.guide) = (None, None);
    }
}

/// Returns once somebody found the way of now blocked.
pub(super) async fn blocked(guide: &mut Option<Guide>) -> String {
    match guide {
        Some(guide) => guide.blocked().await,
        None => std::future::pending().await,
    }
}
