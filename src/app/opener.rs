//! Opens instances, gives them other settings, and closes them, at the start and while the proxy runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::clients::Clients;
use super::opened::{Opened, Prepared, Told};
use super::{AppError, InstanceSettings};
use crate::control::End;
use crate::fleet::Fleet;
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

/// Hears what came of opening one.
pub type Tell = Box<dyn FnOnce(Result<Told, AppError>) + Send>;

/// What instances stand on together.
#[derive(Default)]
pub(super) struct Ground {
    pub(super) clients: Clients,
    pub(super) tasks: TaskTracker,
}

impl Ground {
    pub(super) fn prepare(&self, one: InstanceSettings, root: &Path, told: &mut Told) -> Result<Prepared, AppError> {
        Prepared::new(one, root, &self.clients, &self.tasks, told)
    }
}

type List = Arc<Mutex<Vec<Arc<Opened>>>>;

/// Opens instances while the proxy runs.
pub(super) struct Opener {
    pub(super) address: SocketAddr,
    pub(super) state_root: PathBuf,
    pub(super) fleet: Fleet,
    pub(super) ground: Ground,
    /// Told where the proxy itself is to end.
    pub(super) end: Arc<End>,
    opened: List,
    closing: AtomicBool,
    /// What could not be ended of those that are forgotten, by name.
    left: Arc<Mutex<Vec<String>>>,
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
        let (end, opened) = (Arc::default(), Arc::default());
        (
            Self {
                address,
                state_root,
                fleet,
                ground,
                end,
                opened,
                closing: AtomicBool::new(false),
                left: Arc::default(),
                news,
            },
            told,
        )
    }

    pub(super) fn begin(&self, prepared: Prepared, told: &mut Told) -> Arc<Opened> {
        let tasks = &self.ground.tasks;
        let (opened, member) = prepared.begin(self.address, &self.state_root, Arc::clone(&self.end), tasks, told);
        let opened = Arc::new(opened);
        self.list().push(Arc::clone(&opened));
        self.fleet.put(member);
        if self.closing.load(Ordering::Relaxed) {
            opened.close(false);
        }
        // Nobody listens where nobody tells.
        let _ = self.news.send(Arc::clone(&opened));
        opened
    }

    /// Opens one more. Where one of that name is still being ended, its end is waited for.
    pub(super) async fn open(&self, one: InstanceSettings) -> Result<(Arc<Opened>, Told), AppError> {
        if let Some(ending) = self.named(&one.name) {
            self.see_off(ending).await;
        }
        let mut told = Told::default();
        let prepared = self.ground.prepare(one, &self.state_root, &mut told)?;
        Ok((self.begin(prepared, &mut told), told))
    }

    /// Gives the instance of that name other settings. One that is to be on another host, or is being ended, is opened anew
    /// once it is gone, and `tell` hears of it.
    pub(super) fn replace(self: &Arc<Self>, one: InstanceSettings, tell: Tell) -> Result<Change, AppError> {
        match self.named(&one.name).filter(|opened| !opened.is_closing()) {
            Some(opened) if opened.is_on_the_same_host(&one) => {
                // It is the file's now, whoever asked for it before.
                opened.unkeep();
                let (member, other_engine) = opened.replace(one, &self.ground.clients)?;
                self.fleet.put(member);
                return Ok(if other_engine { Change::OtherEngine } else { Change::SameEngine });
            }
            Some(opened) => opened.close(false),
            None => {}
        }
        let this = Arc::clone(self);
        drop(self.ground.tasks.spawn(async move { tell(this.open(one).await.map(|(_, told)| told)) }));
        Ok(Change::Opens)
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
