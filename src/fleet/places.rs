//! Who owns which GPU of this machine, who waits for one, and which ports are taken: one ledger, and the only one who acts on what
//! the [`scheduler`](super::scheduler) decides.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::ports;
use super::scheduler::{Claim, Decision, Holder, Stands, World, decide};
use crate::backend::Diagnosis;
use crate::host::{Gpus, GpusError};
use crate::id::{GpuIndex, InstanceName};
use crate::instance::{Handle, Phase, Snapshot};
use crate::launch::{Ports, Share, WAITS_FOR};

/// How long requests wait beside a busy engine, and how long that one has answered, until it lets nobody else in: shorter, and
/// two that are both wanted would do nothing but start.
pub(super) const TURN: Duration = Duration::from_mins(2);

/// The GPUs, the ports and the room of this machine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Places(Arc<Inner>);

/// How long something is kept for a start that is to follow at once.
const RESERVED_FOR: Duration = Duration::from_secs(30);

/// How long a tool that did not answer is not asked again: each start that needs GPUs would wait for it anew.
const NOT_ASKED_FOR: Duration = Duration::from_mins(1);

/// What is known of this machine's GPUs.
#[derive(Debug, Default)]
struct Known {
    /// Nothing until they were asked for, or where there are none.
    gpus: Option<Arc<Gpus>>,
    /// When their tool was last waited for in vain.
    waited_in_vain: Option<Instant>,
}

#[derive(Debug)]
struct Inner {
    known: tokio::sync::Mutex<Known>,
    ledger: Mutex<Ledger>,
    since: Instant,
}

#[derive(Debug, Default)]
struct Ledger {
    /// How many may run; none: as many as the GPUs allow.
    most: Option<usize>,
    next: u64,
    entries: BTreeMap<u64, Entry>,
    /// Those whose engines run here; with a number, since one may have another's name.
    lives: HashMap<InstanceName, (u64, Handle)>,
    /// Of which model some of them are replicas.
    groups: HashMap<InstanceName, InstanceName>,
    /// All GPUs, once they are known.
    all: BTreeSet<GpuIndex>,
}

#[derive(Debug)]
struct Entry {
    who: InstanceName,
    gpus: BTreeSet<GpuIndex>,
    /// Nobody wrote down which it has: it counts as the owner of all, as soon as these are known.
    has_all: bool,
    since: Instant,
    standing: Standing,
}

#[derive(Debug)]
enum Standing {
    Waits {
        ports: Option<Ports>,
        granted: oneshot::Sender<Result<Option<u16>, Diagnosis>>,
    },
    /// It has it, and its life has not begun yet.
    Reserved,
    Holds {
        port: Option<u16>,
    },
}

impl Default for Places {
    fn default() -> Self {
        let inner = Inner { known: tokio::sync::Mutex::default(), ledger: Mutex::default(), since: Instant::now() };
        Self(Arc::new(inner))
    }
}

impl Places {
    /// Bounds how many engines run here at once.
    pub fn set_most(&self, most: Option<usize>) {
        self.ledger().most = most;
        self.settle();
    }

    /// Looks after the instance behind this handle from now on, and as long as it is there.
    pub fn watch(&self, handle: &Handle, tasks: &TaskTracker) {
        let (this, name, mut seen) = (self.clone(), handle.name().clone(), handle.watch());
        let number = {
            let mut ledger = self.ledger();
            let number = ledger.number();
            ledger.lives.insert(name.clone(), (number, handle.clone()));
            number
        };
        tasks.spawn(async move {
            while seen.changed().await.is_ok() {
                this.settle();
            }
            this.ledger().forget(&name, number);
            this.settle();
        });
    }

    /// The GPUs that there are; nothing where none are known. They are asked for once.
    pub(super) async fn gpus(&self) -> Option<Arc<Gpus>> {
        let mut known = self.0.known.lock().await;
        let is_asked = known.gpus.is_some() || known.waited_in_vain.is_some_and(|at| at.elapsed() < NOT_ASKED_FOR);
        if !is_asked {
            match Gpus::ask().await {
                Ok(found) => known.gpus = found.map(|found| Arc::new(self.found(found))),
                Err(error) => {
                    warn!("{error}: no GPU of this machine is known, and none is given to an engine for itself");
                    known.waited_in_vain = matches!(error, GpusError::Late { .. }).then(Instant::now);
                }
            }
        }
        known.gpus.clone().filter(|gpus| !gpus.all.is_empty())
    }

    /// Whether none are known because their tool did not answer.
    pub(super) async fn tool_hangs(&self) -> bool {
        self.0.known.lock().await.waited_in_vain.is_some()
    }

    /// Those of them that are ours. Who has all has these from now on.
    fn found(&self, found: Gpus) -> Gpus {
        let given = found.maker.variables().iter().find_map(|name| std::env::var(name).ok());
        let found = found.within(given.as_deref());
        info!(gpus = ?found.indexes(), "the GPUs of this machine");
        self.ledger().set_all(found.indexes());
        found
    }

    /// Waits in line; the answer comes when it is its turn, with the port.
    pub(super) fn wait(
        &self,
        who: &InstanceName,
        gpus: BTreeSet<GpuIndex>,
        ports: Option<Ports>,
    ) -> (u64, oneshot::Receiver<Result<Option<u16>, Diagnosis>>) {
        let (granted, answer) = oneshot::channel();
        let mut ledger = self.ledger();
        let kept = ledger.take_reserved(who);
        let is_kept = kept.is_some_and(|kept| kept.is_superset(&gpus));
        let number = ledger.enter(who, gpus, Standing::Waits { ports, granted });
        if is_kept {
            ledger.grant(number);
        }
        drop(ledger);
        self.settle();
        (number, answer)
    }

    /// Says of which model this one is a replica.
    pub(super) fn set_group(&self, who: &InstanceName, group: InstanceName) {
        self.ledger().groups.insert(who.clone(), group);
    }

    /// Another replica of the same model that has a GPU for which the claim of this number waits. They serve the same requests,
    /// and taking turns would only have them load the model again and again.
    pub(super) fn sibling_before(&self, number: u64) -> Option<InstanceName> {
        let ledger = self.ledger();
        let entry = ledger.entries.get(&number).filter(|entry| matches!(entry.standing, Standing::Waits { .. }))?;
        let group = ledger.groups.get(&entry.who)?;
        let owners = ledger.owners(&entry.gpus).into_iter().map(|(owner, _)| owner);
        owners.into_iter().find(|owner| ledger.groups.get(owner) == Some(group))
    }

    /// What one has that an earlier process let in; where that did not write it down, all GPUs.
    pub(super) fn adopt(&self, who: &InstanceName, share: Option<&Share>) -> u64 {
        let mut ledger = self.ledger();
        match share {
            Some(share) => {
                let gpus = share.gpus.iter().copied().collect();
                ledger.enter(who, gpus, Standing::Holds { port: share.port })
            }
            None => ledger.enter_with_all(who),
        }
    }

    /// Keeps it for one whose start follows at once; but not before its turn, where others wait for the same: then it gets into
    /// line behind them.
    ///
    /// # Errors
    /// Who has it, in words.
    pub(super) fn reserve(&self, who: &InstanceName, gpus: BTreeSet<GpuIndex>) -> Result<(), String> {
        let mut ledger = self.ledger();
        ledger.drop_stale();
        if ledger.entries.values().any(|entry| entry.who == *who) {
            return Ok(());
        }
        let owners = ledger.owners(&gpus);
        if !owners.is_empty() {
            return Err(owners_in_words(&owners, "is", "are"));
        }
        if let Some(most) = ledger.most.filter(|most| ledger.holders().count() >= *most) {
            let names: Vec<_> = ledger.holders().map(|(_, entry)| entry.who.to_string()).collect();
            return Err(format!("as many engines run as may, {most}: {}", names.join(", ")));
        }
        if ledger.would_be_granted(&gpus, self.0.since) {
            ledger.enter(who, gpus, Standing::Reserved);
        }
        Ok(())
    }

    /// Lets go of what was kept for one that does not start.
    pub(super) fn unreserve(&self, who: &InstanceName) {
        drop(self.ledger().take_reserved(who));
        self.settle();
    }

    /// Gives back what the claim of this number has, or ends its wait.
    pub(super) fn leave(&self, number: u64) {
        drop(self.ledger().entries.remove(&number));
        self.settle();
    }

    /// What the claim of this number waits for, in words; nothing where it waits no more.
    pub(super) fn why(&self, number: u64) -> Option<String> {
        let ledger = self.ledger();
        let entry = ledger.entries.get(&number).filter(|entry| matches!(entry.standing, Standing::Waits { .. }))?;
        let owners = ledger.owners(&entry.gpus);
        if !owners.is_empty() {
            return Some(format!("{WAITS_FOR}{}", owners_in_words(&owners, "", "")));
        }
        let running: Vec<_> = ledger.holders().map(|(_, entry)| entry.who.to_string()).collect();
        if ledger.most.is_some_and(|most| running.len() >= most) {
            return Some(format!("{WAITS_FOR}room: as many engines run as may ({})", running.join(", ")));
        }
        Some(format!("{WAITS_FOR}its turn: others have waited longer"))
    }

    /// Has decided, and does it.
    pub(super) fn settle(&self) {
        let mut ledger = self.ledger();
        // A port that cannot be given makes another world.
        while ledger.waits() {
            ledger.drop_stale();
            let world = ledger.world(self.0.since);
            if !decide(&world).into_iter().any(|decision| ledger.carry_out(decision)) {
                return;
            }
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn enter(&mut self, who: &InstanceName, gpus: BTreeSet<GpuIndex>, standing: Standing) -> u64 {
        let number = self.number();
        let entry = Entry { who: who.clone(), gpus, has_all: false, since: Instant::now(), standing };
        self.entries.insert(number, entry);
        number
    }

    fn enter_with_all(&mut self, who: &InstanceName) -> u64 {
        let number = self.enter(who, self.all.clone(), Standing::Holds { port: None });
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.has_all = true;
        }
        number
    }

    fn set_all(&mut self, all: BTreeSet<GpuIndex>) {
        self.entries.values_mut().filter(|entry| entry.has_all).for_each(|entry| entry.gpus.clone_from(&all));
        self.all = all;
    }

    /// Whether it were the turn of one who came now and whom no request waits for.
    fn would_be_granted(&self, gpus: &BTreeSet<GpuIndex>, begun: Instant) -> bool {
        let number = u64::MAX;
        let mut world = self.world(begun);
        let stands = Stands::Waits { pressing: false, long: false };
        world.claims.push(Claim { number, gpus: gpus.clone(), stands });
        decide(&world).contains(&Decision::Grant(number))
    }

    fn forget(&mut self, name: &InstanceName, number: u64) {
        if self.lives.get(name).is_some_and(|(known, _)| *known == number) {
            self.lives.remove(name);
            self.take_reserved(name);
        }
    }

    /// What was kept for a start that did not follow is nobody's.
    fn drop_stale(&mut self) {
        let is_stale =
            |entry: &Entry| matches!(entry.standing, Standing::Reserved) && entry.since.elapsed() >= RESERVED_FOR;
        self.entries.retain(|_, entry| !is_stale(entry));
    }

    /// Ends what is kept for this one, if anything is.
    fn take_reserved(&mut self, who: &InstanceName) -> Option<BTreeSet<GpuIndex>> {
        let is_theirs = |entry: &Entry| entry.who == *who && matches!(entry.standing, Standing::Reserved);
        let number = self.entries.iter().find(|(_, entry)| is_theirs(entry)).map(|(number, _)| *number)?;
        self.entries.remove(&number).map(|entry| entry.gpus)
    }

    fn waits(&self) -> bool {
        self.entries.values().any(|entry| matches!(entry.standing, Standing::Waits { .. }))
    }

    fn holders(&self) -> impl Iterator<Item = (&u64, &Entry)> {
        self.entries.iter().filter(|(_, entry)| !matches!(entry.standing, Standing::Waits { .. }))
    }

    /// Who has which of these GPUs.
    fn owners(&self, gpus: &BTreeSet<GpuIndex>) -> Vec<(InstanceName, Vec<GpuIndex>)> {
        let of = |entry: &Entry| {
            let theirs: Vec<_> = entry.gpus.intersection(gpus).copied().collect();
            (!theirs.is_empty()).then(|| (entry.who.clone(), theirs))
        };
        self.holders().filter_map(|(_, entry)| of(entry)).collect()
    }

    fn seen(&self, who: &InstanceName) -> Option<Snapshot> {
        self.lives.get(who).map(|(_, handle)| handle.snapshot())
    }

    fn world(&self, begun: Instant) -> World {
        let claim = |(number, entry): (&u64, &Entry)| {
            let seen = self.seen(&entry.who);
            let stands = match &entry.standing {
                Standing::Waits { .. } => Stands::Waits {
                    pressing: seen.is_some_and(|seen| seen.waiting > 0),
                    long: entry.since.elapsed() >= TURN,
                },
                Standing::Reserved => Stands::Holds(Holder::Busy { turn_over: false }),
                Standing::Holds { .. } => {
                    Stands::Holds(seen.map_or(Holder::Busy { turn_over: false }, |seen| holder(&seen, begun)))
                }
            };
            Claim { number: *number, gpus: entry.gpus.clone(), stands }
        };
        World { most: self.most, claims: self.entries.iter().map(claim).collect() }
    }

    /// Says whether it could not be done, so that all is to be decided anew.
    fn carry_out(&mut self, decision: Decision) -> bool {
        match decision {
            Decision::Grant(number) => self.grant(number),
            Decision::Yield(number) => self.tell_to_yield(number, false),
            Decision::Drain(number) => self.tell_to_yield(number, true),
        }
    }

    fn grant(&mut self, number: u64) -> bool {
        let Some(mut entry) = self.entries.remove(&number) else { return false };
        let Standing::Waits { ports, granted } = entry.standing else { return false };
        let port = ports.map(|ports| ports::choose(ports, &self.ports(), &ports::in_use())).transpose();
        if let Ok(port) = port {
            entry.standing = Standing::Holds { port };
            self.entries.insert(number, entry);
        }
        let is_refused = port.is_err();
        // Who has left meanwhile gives it back.
        drop(granted.send(port));
        is_refused
    }

    fn ports(&self) -> BTreeMap<u16, InstanceName> {
        let port = |entry: &Entry| match entry.standing {
            Standing::Holds { port } => port.map(|port| (port, entry.who.clone())),
            Standing::Reserved | Standing::Waits { .. } => None,
        };
        self.entries.values().filter_map(port).collect()
    }

    fn tell_to_yield(&self, number: u64, drain: bool) -> bool {
        if let Some((_, handle)) = self.entries.get(&number).and_then(|entry| self.lives.get(&entry.who)) {
            handle.yields(handle.snapshot().life, drain);
        }
        false
    }
}

/// What one who holds something does with it.
fn holder(seen: &Snapshot, begun: Instant) -> Holder {
    let leaves = matches!(seen.phase, Phase::Draining | Phase::Stopping(_));
    let turn_over = seen.ready_since.is_some_and(|since| since.elapsed() >= TURN);
    match seen.idle_since {
        _ if seen.stays => Holder::Stays { leaves },
        _ if leaves => Holder::Leaves,
        Some(since) => {
            let since = since.saturating_duration_since(begun).as_millis();
            Holder::Idle { since: u64::try_from(since).unwrap_or(u64::MAX), turn_over }
        }
        None => Holder::Busy { turn_over },
    }
}

/// `GPU 0 is owned by big; GPUs 1, 2 are owned by small`.
fn owners_in_words(owners: &[(InstanceName, Vec<GpuIndex>)], is: &str, are: &str) -> String {
    let one = |(owner, gpus): &(InstanceName, Vec<GpuIndex>)| {
        let numbers = gpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (what, verb) = if gpus.len() == 1 { ("GPU", is) } else { ("GPUs", are) };
        let verb = if verb.is_empty() { ",".to_owned() } else { format!(" {verb}") };
        format!("{what} {numbers}{verb} owned by {owner}")
    };
    owners.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
#[path = "places_test.rs"]
mod tests;
