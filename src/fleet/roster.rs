//! The instances that a request can go to, and which of them it goes to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;

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
    header: HeaderValue,
}

impl Member {
    /// The instance behind `handle`; for the rest see the fields.
    #[must_use]
    pub fn new(handle: Handle, models: Vec<String>, idle_timeout: Option<Duration>) -> Self {
        let header = HeaderValue::from_str(handle.name().as_str());
        let header = header.unwrap_or_else(|_invalid| HeaderValue::from_static("-"));
        Self { handle, models, idle_timeout, header }
    }

    /// Its name, as each of its answers carries it: made once.
    #[must_use]
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &InstanceName {
        self.handle.name()
    }

    /// What requests may call its model: the names that are known, else its own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let own = self.models.is_empty().then(|| self.name().as_str());
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

    /// All, by name.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.values()
    }

    /// All names that requests may use.
    #[must_use]
    pub fn model_names(&self) -> Vec<String> {
        self.members.values().flat_map(|member| member.names().map(str::to_owned)).collect()
    }
}

/// All instances together. Cheap to clone; whoever looks sees the roster of that moment.
#[derive(Clone, Debug)]
pub struct Fleet(watch::Sender<Arc<Roster>>);

impl Fleet {
    /// Of one instance, which will get every request.
    #[must_use]
    pub fn of_one() -> Self {
        Self(watch::Sender::new(Arc::new(Roster { takes_all: true, ..Roster::default() })))
    }

    /// Of several, among which a request's model decides. The one named gets the requests that name none.
    #[must_use]
    pub fn of_many(default: Option<InstanceName>) -> Self {
        Self(watch::Sender::new(Arc::new(Roster { default, ..Roster::default() })))
    }

    /// Who is there now.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.0.borrow())
    }

    /// Who is there, as that changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Roster>> {
        self.0.subscribe()
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
        self.0.send_modify(|roster| change(Arc::make_mut(roster)));
    }
}
