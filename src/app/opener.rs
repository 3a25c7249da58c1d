//! Opens instances, gives them other settings, and closes them, at the start and while the proxy runs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::clients::Clients;
use super::opened::{Around, Opened, Prepared, Told};
use super::{AppError, InstanceSettings};
use crate::control::End;
use crate::fleet::{Fleet, Places};
use crate::id::InstanceName;

/// What other settings make of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The same engine, which goes on.
    SameEngine,
    /// Another one.
    OtherEngine,
    /// It is opened, once what has its name is gone.
    Opens,
}

/// Who wants an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The file, or the command line.
    File,
    /// Callers of the API.
    Callers,
}

/// Hears what came of opening one.
pub type Tell = Box<dyn FnOnce(Result<Told, AppError>) + Send>;

/// What instances stand on together.
#[derive(Default)]
pub(super) struct Ground {
    pub(super) clients: Clients,
    pub(super) places: Places,
    pub(super) tasks: TaskTracker,
}

impl Ground {
    pub(super) fn prepare(&self, one: InstanceSettings, root: &Path, told: &mut Told) -> Result<Prepared, AppError> {
        Prepared::new(one, root, &self.clients, &self.tasks, told)
    }
}

/// Opens instances while the proxy runs.
pub(super) struct Opener {
    pub(super) address: SocketAddr,
    pub(super) state_root: PathBuf,
    pub(super) fleet: Fleet,
    pub(super) ground: Ground,
    /// Told where the proxy itself is to end.
    pub(super) end: Arc<End>,
    opened: Mutex<Vec<Arc<Opened>>>,
    turns: Mutex<HashMap<InstanceName, Arc<tokio::sync::Mutex<()>>>>,
    closing: AtomicBool,
    /// What could not be ended of those that are forgotten, by name.
    left: Mutex<Vec<String>>,
    /// Tells whoever tells of them.
    news: mpsc::UnboundedSender<Arc<Opened>>,
}

impl Opener {
    pub(super) fn new(
        address: SocketAddr,
        state_root: &Path,
        fleet: Fleet,
        ground: Ground,
    ) -> (Self, mpsc::UnboundedReceiver<Arc<Opened>>) {
        let (news, told) = mpsc::unbounded_channel();
        let state_root = state_root.to_owned();
        (
            Self {
                address,
                state_root,
                fleet,
                ground,
                end: Arc::default(),
                opened: Mutex::default(),
                turns: Mutex::default(),
                closing: AtomicBool::new(false),
                left: Mutex::default(),
                news,
            },
            told,
        )
    }

    pub(super) fn begin(&self, prepared: Prepared, by: By, told: &mut Told) -> Arc<Opened> {
        let around = Around {
            address: self.address,
            root: &self.state_root,
            end: Arc::clone(&self.end),
            by_callers: by == By::Callers,
            places: &self.ground.places,
            tasks: &self.ground.tasks,
        };
        let (opened, member) = prepared.begin(around, told);
        let opened = Arc::new(opened);
        if by == By::File {
            opened.give_to_file();
        }
        self.list().push(Arc::clone(&opened));
        self.fleet.put(member);
        if self.closing.load(Ordering::Relaxed) {
            opened.close(false);
        }
        // Nobody listens where nobody tells.
        let _ = self.news.send(Arc::clone(&opened));
        opened
    }

    /// Opens one more. Where one of that name is still being ended, its end is waited for; one that was opened meanwhile is
    /// given these settings.
    pub(super) async fn open(&self, one: InstanceSettings, by: By) -> Result<(Arc<Opened>, Told), AppError> {
        let turn = self.turn(&one.name);
        let _turn = turn.lock().await;
        let mut told = Told::default();
        while let Some(there) = self.named(&one.name) {
            if !there.is_closing() && there.is_on_the_same_host(&one) {
                self.change(&there, one, by)?;
                return Ok((there, told));
            }
            there.close(false);
            self.see_off(there).await;
        }
        let prepared = self.ground.prepare(one, &self.state_root, &mut told)?;
        Ok((self.begin(prepared, by, &mut told), told))
    }

    fn change(&self, opened: &Opened, one: InstanceSettings, by: By) -> Result<Change, AppError> {
        let (member, other_engine) = opened.replace(one, &self.ground.clients)?;
        self.fleet.put(member);
        if by == By::File {
            opened.give_to_file();
        }
        Ok(if other_engine { Change::OtherEngine } else { Change::SameEngine })
    }

    /// Gives the instance of that name the settings of the file. One that is to be on another host, or is being ended, is opened
    /// anew once it is gone, and `tell` hears of it.
    pub(super) fn replace(self: &Arc<Self>, one: InstanceSettings, tell: Tell) -> Result<Change, AppError> {
        match self.named(&one.name).filter(|opened| !opened.is_closing()) {
            Some(opened) if opened.is_on_the_same_host(&one) => return self.change(&opened, one, By::File),
            Some(opened) => opened.close(false),
            None => {}
        }
        let this = Arc::clone(self);
        drop(self.ground.tasks.spawn(async move {
            let name = one.name.clone();
            let opened = this.open(one, By::File).await;
            if opened.is_err() && this.named(&name).is_none() {
                this.fleet.remove(&name);
            }
            tell(opened.map(|(_, told)| told));
        }));
        Ok(Change::Opens)
    }

    /// Who opens or ends an instance of one name does it alone.
    fn turn(&self, name: &InstanceName) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(name.clone()).or_default())
    }

    pub(super) fn forget(self: &Arc<Self>, name: &InstanceName) {
        self.fleet.remove(name);
        if let Some(opened) = self.named(name).filter(|opened| !opened.is_closing()) {
            opened.close(false);
            let this = Arc::clone(self);
            drop(self.ground.tasks.spawn(async move { this.see_off(opened).await }));
        }
    }

    /// Returns when one that was closed is gone, and its folder free for another.
    async fn see_off(&self, opened: Arc<Opened>) {
        opened.closed().await;
        opened.finish().await;
        let mut list = self.list();
        if list.iter().any(|other| Arc::ptr_eq(other, &opened)) {
            list.retain(|other| !Arc::ptr_eq(other, &opened));
            let left = opened.watch().borrow().left.clone();
            self.left.lock().unwrap_or_else(PoisonError::into_inner).extend(left);
        }
    }

    /// Begins the end of all.
    pub(super) fn close(&self, hurry: bool) {
        self.closing.store(true, Ordering::Relaxed);
        self.opened().iter().for_each(|opened| opened.close(hurry));
    }

    /// What could not be ended of any until now, by name.
    pub(super) fn left(&self) -> Vec<String> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner).clone();
        left.extend(self.opened().iter().flat_map(|opened| opened.watch().borrow().left.clone()));
        left
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Instances of callers that answer to one of these names of models.
    pub(super) fn callers_with(&self, models: &[String]) -> Vec<InstanceName> {
        let roster = self.fleet.roster();
        let theirs = self.opened().into_iter().filter(|opened| opened.is_asked_for() && !opened.is_closing());
        let in_the_way = |opened: &Arc<Opened>| {
            let member = roster.named(opened.name().as_str());
            member.is_some_and(|member| member.models.iter().any(|model| models.contains(model)))
        };
        theirs.filter(in_the_way).map(|opened| opened.name().clone()).collect()
    }

    pub(super) fn opened(&self) -> Vec<Arc<Opened>> {
        self.list().clone()
    }

    pub(super) fn named(&self, name: &InstanceName) -> Option<Arc<Opened>> {
        self.list().iter().find(|opened| opened.name() == name).cloned()
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Opened>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
