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
use super::roster::{Fleet, Member, Roster};
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
        for member in look_at_all(&fleet.roster(), &mut demands, &mut starts) {
            // The idle clock starts when the last inference ends.
            drop(member.handle.try_acquire(Hold::Inference).await);
        }
        let is_any = demands.values().any(Demand::is_any);
        tokio::select! {
            () = fleet.asked(), if !is_any => {}
            () = tokio::time::sleep(LOOK), if is_any => {}
            // One that is refused at once is not asked for again and again.
            () = starts.next_done() => tokio::time::sleep(LOOK).await,
        }
    }
}

fn look_at_all(roster: &Roster, demands: &mut BTreeMap<InstanceName, Demand>, starts: &mut Starts) -> Vec<Arc<Member>> {
    let groups = roster.groups();
    demands.retain(|name, _| groups.contains_key(name));
    let mut kept = Vec::new();
    for (name, members) in groups {
        let demand = demands.entry(name.clone()).or_default();
        kept.extend(look_after(&members, demand, starts));
        if !demand.is_any() {
            starts.withdraw(name);
        }
    }
    kept
}

/// All replicas of one model, in the order of their numbers. Gives those whose idle clock is to start anew.
fn look_after(members: &[&Arc<Member>], demand: &mut Demand, starts: &mut Starts) -> Vec<Arc<Member>> {
    let now = Instant::now();
    let replicas: Vec<_> = members.iter().filter_map(|member| Some((*member, member.replica.as_ref()?))).collect();
    let Some(bounds) = replicas.first().map(|(_, replica)| replica.group.bounds) else { return Vec::new() };
    // Each is asked, and not the first that says yes: a request tells one of them.
    let asked = replicas.iter().filter(|(_, replica)| replica.group.was_asked()).count() > 0;
    let look = |member: &Member| {
        let seen = member.handle.snapshot();
        // That we wait for it ourselves is nobody's request.
        let waiting = seen.waiting.saturating_sub(usize::from(starts.has(member.name())));
        Look { standing: Standing::of(&seen, now), in_flight: seen.inference, waiting }
    };
    let looks: Vec<Look> = replicas.iter().map(|(member, _)| look(member)).collect();
    let (next, steps) = scale(bounds, *demand, &looks, asked, now);
    *demand = next;
    let mut kept = Vec::new();
    for step in steps {
        match step {
            Step::Start(at) => {
                if let Some((member, replica)) = replicas.get(at) {
                    starts.begin(&replica.group.name, member);
                }
            }
            Step::Keep(at) => kept.extend(replicas.get(at).map(|(member, _)| Arc::clone(member))),
        }
    }
    kept
}

/// Ends with the name of the one that was waited for.
type Wait = BoxFuture<'static, InstanceName>;

/// Replicas that we wait for, so that their start counts as wanted.
#[derive(Default)]
struct Starts {
    /// Whose each is, and how its wait is ended.
    wanted: BTreeMap<InstanceName, (InstanceName, CancellationToken)>,
    waits: FuturesUnordered<Wait>,
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
