//! The instances that a request can go to, and which of them it goes to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::{Notify, watch};

use super::candidates::Candidates;
use super::group::{Claim, Replica};
use crate::id::InstanceName;
use crate::instance::Handle;

/// One instance, as requests find it.
#[derive(Debug)]
pub struct Member {
    /// The instance itself.
    pub handle: Handle,
    /// The names under which its model is known to be served. None: only the engine knows.
    pub models: Vec<String>,
    /// How long a stream or a WebSocket of its may be still before it is ended. Nothing: for ever.
    pub idle_timeout: Option<Duration>,
    /// Which of several it is, where its model has replicas.
    pub replica: Option<Replica>,
    header: HeaderValue,
    /// Requests that chose it, and have no answer from it yet.
    claims: Arc<AtomicUsize>,
}

impl Member {
    /// The instance behind `handle`; for the rest see the fields.
    #[must_use]
    pub fn new(handle: Handle, models: Vec<String>, idle_timeout: Option<Duration>) -> Self {
        let header = HeaderValue::from_str(handle.name().as_str());
        let header = header.unwrap_or_else(|_invalid| HeaderValue::from_static("-"));
        Self { handle, models, idle_timeout, replica: None, header, claims: Arc::default() }
    }

    /// The same, as one of several.
    #[must_use]
    pub fn as_replica(self, replica: Option<Replica>) -> Self {
        Self { replica, ..self }
    }

    /// Counts as a request's choice until it is dropped: who chooses at the same moment sees it before the instance does.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim::of(&self.claims)
    }

    /// Requests that chose it, hold it, or wait for it.
    #[must_use]
    pub fn load(&self) -> usize {
        self.handle.load() + Claim::count(&self.claims)
    }

    /// Its name, as each of its answers carries it: made once.
    #[must_use]
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// The name of its model's replicas together, where there are several.
    #[must_use]
    pub fn group(&self) -> Option<&InstanceName> {
        self.replica.as_ref().map(|replica| &replica.group.name)
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &InstanceName {
        self.handle.name()
    }

    /// What requests may call its model: the names that are known, else its own, or that of all replicas.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let own = self.models.is_empty().then(|| match &self.replica {
            Some(replica) => replica.group.name.as_str(),
            None => self.name().as_str(),
        });
        self.models.iter().map(String::as_str).chain(own)
    }
}

/// Who is there at a moment.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    members: BTreeMap<InstanceName, Arc<Member>>,
    /// Gets what names no model, or, where it is alone, everything.
    default: Option<InstanceName>,
    takes_all: bool,
}

impl Roster {
    /// The one that gets every request, whatever model it names: its engine judges that.
    #[must_use]
    pub fn sole(&self) -> Option<&Arc<Member>> {
        self.takes_all.then(|| self.members.values().next()).flatten()
    }

    /// Those that may serve a request for `model`, the best first; `beginning` is a hash of how its prompt begins.
    #[must_use]
    pub fn candidates(&self, model: &str, beginning: Option<u64>) -> Option<Candidates> {
        let member = self.of_model(model)?;
        let is_alone = member.name().as_str() == model && member.replica.as_ref().is_some_and(|one| one.number > 1);
        Some(if is_alone { Candidates::one(member) } else { self.replicas(member, beginning) })
    }

    /// The same, for what this one may serve.
    #[must_use]
    pub fn replicas(&self, member: &Arc<Member>, beginning: Option<u64>) -> Candidates {
        let of_group = member.replica.as_ref().and_then(|replica| {
            let all = self.members.values().filter(|other| other.group() == Some(&replica.group.name));
            Candidates::of(&replica.group, all.cloned().collect(), beginning)
        });
        of_group.unwrap_or_else(|| Candidates::one(member))
    }

    /// All replicas, group by group.
    pub(super) fn groups(&self) -> BTreeMap<&InstanceName, Vec<&Arc<Member>>> {
        let mut groups: BTreeMap<&InstanceName, Vec<&Arc<Member>>> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(group) = member.group() {
                groups.entry(group).or_default().push(member);
            }
        }
        for members in groups.values_mut() {
            members.sort_by_key(|member| member.replica.as_ref().map(|replica| replica.number));
        }
        groups
    }

    /// The one that serves `model`: by its own name, or by one that its engine serves.
    #[must_use]
    pub fn of_model(&self, model: &str) -> Option<&Arc<Member>> {
        let serves = |member: &&Arc<Member>| member.models.iter().any(|name| name == model);
        self.members.values().find(serves).or_else(|| self.named(model))
    }

    /// The one of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Member>> {
        InstanceName::from_text(name).and_then(|name| self.members.get(&name))
    }

    /// The one for requests that name no model, if there is one.
    #[must_use]
    pub fn without_model(&self) -> Option<&Arc<Member>> {
        self.default.as_ref().and_then(|name| self.members.get(name))
    }

    /// Those of it that `keep` says yes to, in all else the same.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&Member) -> bool) -> Self {
        let mut view = self.clone();
        view.members.retain(|_, member| keep(member));
        view
    }

    /// Whether a request must say which model it is for: there is more than one, or none gets those that do not.
    #[must_use]
    pub fn are_several(&self) -> bool {
        let mut models = self.members.values().map(|member| member.group().unwrap_or(member.name()));
        let first = models.next();
        self.without_model().is_none() || models.any(|other| Some(other) != first)
    }

    /// All, by name.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.values()
    }

    /// All names that requests may use.
    #[must_use]
    pub fn model_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.members.values().flat_map(|member| member.names()) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }
}

/// All instances together. Cheap to clone; whoever looks sees the roster of that moment.
#[derive(Clone, Debug)]
pub struct Fleet {
    roster: watch::Sender<Arc<Roster>>,
    /// Tells whoever tends replicas that some are asked for.
    asked: Arc<Notify>,
}

impl Fleet {
    /// Of one instance, which will get every request.
    #[must_use]
    pub fn of_one() -> Self {
        Self::of(Roster { takes_all: true, ..Roster::default() })
    }

    /// Of several, among which a request's model decides. The one named gets the requests that name none.
    #[must_use]
    pub fn of_many(default: Option<InstanceName>) -> Self {
        Self::of(Roster { default, ..Roster::default() })
    }

    fn of(roster: Roster) -> Self {
        Self { roster: watch::Sender::new(Arc::new(roster)), asked: Arc::default() }
    }

    /// Says that a request which may start engines is for this one, or for a neighbour of its.
    pub fn ask_for(&self, member: &Member) {
        if member.replica.as_ref().is_some_and(|replica| replica.group.ask()) {
            self.asked.notify_one();
        }
    }

    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Who is there now.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow())
    }

    /// Who is there, as that changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.subscribe()
    }

    /// Adds one, or puts it in the place of the one of that name.
    pub fn put(&self, member: Member) {
        self.change(|roster| drop(roster.members.insert(member.name().clone(), Arc::new(member))));
    }

    /// Lets go of one: no request finds it any more.
    pub fn remove(&self, name: &InstanceName) {
        self.change(|roster| drop(roster.members.remove(name)));
    }

    /// Says who gets the requests that name no model.
    pub fn set_default(&self, name: Option<InstanceName>) {
        self.change(|roster| roster.default = name);
    }

    fn change(&self, change: impl FnOnce(&mut Roster)) {
        self.roster.send_modify(|roster| change(Arc::make_mut(roster)));
    }
}
