//! Carries out how many replicas of a model there are to be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::replicas::{Demand, Look, Standing, Step, scale};
use super::roster::{Fleet, Member};
use crate::id::InstanceName;
use crate::instance::Hold;

/// How often replicas are looked at while any of them is used.
const LOOK: Duration = Duration::from_millis(500);

/// Starts replicas as their requests need them, and keeps those that are to stay, until it is dropped. Their ends are their own:
/// each ends when it is idle.
pub async fn tend(fleet: Fleet) {
    let mut demands: BTreeMap<InstanceName, Demand> = BTreeMap::new();
    let mut starts = Starts::default();
    loop {
        let roster = fleet.roster();
        let groups = roster.groups();
        demands.retain(|name, _| groups.contains_key(name));
        for (name, members) in &groups {
            let demand = demands.entry((*name).clone()).or_default();
            *demand = look_after(members, *demand, &mut starts).await;
            if !demand.is_any() {
                starts.withdraw(name);
            }
        }
        let is_any = demands.values().any(Demand::is_any);
        drop(groups);
        drop(roster);
        tokio::select! {
            () = fleet.asked(), if !is_any => {}
            () = tokio::time::sleep(LOOK), if is_any => {}
            () = starts.next_done() => {}
        }
    }
}

/// All replicas of one model, in the order of their numbers.
async fn look_after(members: &[&Arc<Member>], demand: Demand, starts: &mut Starts) -> Demand {
    let now = Instant::now();
    let replicas: Vec<_> = members.iter().filter_map(|member| Some((*member, member.replica.as_ref()?))).collect();
    let Some(bounds) = replicas.first().map(|(_, replica)| replica.group.bounds) else { return demand };
    // Each is asked: for a moment after a reload they may not be of one group.
    let asked = replicas.iter().filter(|(_, replica)| replica.group.was_asked()).count() > 0;
    let look = |member: &Member| {
        let seen = member.handle.snapshot();
        // That we wait for it ourselves is nobody's request.
        let waiting = seen.waiting.saturating_sub(usize::from(starts.has(member.name())));
        Look { standing: Standing::of(&seen, now), in_flight: seen.inference, waiting }
    };
    let looks: Vec<Look> = replicas.iter().map(|(member, _)| look(member)).collect();
    let (demand, steps) = scale(bounds, demand, &looks, asked, now);
    for step in steps {
        match step {
            Step::Start(at) => {
                if let Some((member, replica)) = replicas.get(at) {
                    starts.begin(&replica.group.name, member);
                }
            }
            Step::Keep(at) => {
                if let Some((member, _)) = replicas.get(at) {
                    // The idle clock starts when the last inference ends.
                    drop(member.handle.try_acquire(Hold::Inference).await);
                }
            }
        }
    }
    demand
}

/// Replicas that we wait for, so that their start counts as wanted.
#[derive(Default)]
struct Starts {
    /// Whose each is, and how its wait is ended.
    wanted: BTreeMap<InstanceName, (InstanceName, CancellationToken)>,
    waits: FuturesUnordered<BoxFuture<'static, InstanceName>>,
}

impl Starts {
    fn has(&self, name: &InstanceName) -> bool {
        self.wanted.contains_key(name)
    }

    fn begin(&mut self, group: &InstanceName, member: &Member) {
        let (name, handle, end) = (member.name().clone(), member.handle.clone(), CancellationToken::new());
        if self.has(&name) {
            return;
        }
        tracing::info!(%name, "a replica is started, for the requests to {group}");
        self.wanted.insert(name.clone(), (group.clone(), end.clone()));
        self.waits.push(Box::pin(async move {
            // Why it is not to be had, it has said itself.
            drop(end.run_until_cancelled_owned(handle.acquire(Hold::Helper)).await);
            name
        }));
    }

    /// Waits no more for replicas of this group.
    fn withdraw(&mut self, group: &InstanceName) {
        self.wanted.values().filter(|(of, _)| of == group).for_each(|(_, end)| end.cancel());
    }

    async fn next_done(&mut self) {
        match self.waits.next().await {
            Some(name) => drop(self.wanted.remove(&name)),
            None => std::future::pending().await,
        }
    }
}
