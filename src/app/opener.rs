//! Opens instances, gives them other settings, and closes them, at the start and while the proxy runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio_util::task::TaskTracker;

use super::clients::Clients;
use super::opened::{Opened, Prepared, Told};
use super::{AppError, InstanceSettings};
use crate::fleet::Fleet;
use crate::id::InstanceName;

/// What other settings make of an instance.
pub enum Change {
    /// The same engine, which goes on.
    SameEngine,
    /// Another one.
    OtherEngine,
    /// There is none of that name.
    None(Box<InstanceSettings>),
}

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

/// Returns when one that was closed is gone, and its folder free for another.
async fn see_off(list: List, opened: Arc<Opened>) {
    opened.closed().await;
    opened.finish().await;
    let left = opened.watch().borrow().left.clone();
    if !left.is_empty() {
        tracing::warn!(name = %opened.name(), "left behind: {}", left.join(", "));
    }
    list.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, &opened));
}

/// Opens instances while the proxy runs.
pub(super) struct Opener {
    pub(super) address: SocketAddr,
    pub(super) state_root: PathBuf,
    pub(super) fleet: Fleet,
    pub(super) ground: Ground,
    /// Told where the proxy itself is to end.
    pub(super) end: Arc<Notify>,
    opened: List,
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
        (Self { address, state_root, fleet, ground, end, opened, news }, told)
    }

    pub(super) fn begin(&self, prepared: Prepared, told: &mut Told) -> Arc<Opened> {
        let tasks = &self.ground.tasks;
        let (opened, member) = prepared.begin(self.address, &self.state_root, Arc::clone(&self.end), tasks, told);
        let opened = Arc::new(opened);
        self.list().push(Arc::clone(&opened));
        self.fleet.put(member);
        // Nobody listens where nobody tells.
        let _ = self.news.send(Arc::clone(&opened));
        opened
    }

    /// Opens one more. Where one of that name is still being ended, its end is waited for.
    pub(super) async fn open(&self, one: InstanceSettings) -> Result<(Arc<Opened>, Told), AppError> {
        if let Some(ending) = self.named(&one.name) {
            see_off(Arc::clone(&self.opened), ending).await;
        }
        let mut told = Told::default();
        let prepared = self.ground.prepare(one, &self.state_root, &mut told)?;
        Ok((self.begin(prepared, &mut told), told))
    }

    pub(super) fn replace(&self, one: InstanceSettings) -> Result<Change, AppError> {
        match self.named(&one.name) {
            Some(opened) if !opened.is_closing() => {
                let (member, other_engine) = opened.replace(one, &self.ground.clients)?;
                self.fleet.put(member);
                Ok(if other_engine { Change::OtherEngine } else { Change::SameEngine })
            }
            Some(_) | None => Ok(Change::None(Box::new(one))),
        }
    }

    pub(super) fn forget(&self, name: &InstanceName) {
        self.fleet.remove(name);
        if let Some(opened) = self.named(name) {
            opened.close(false);
            drop(self.ground.tasks.spawn(see_off(Arc::clone(&self.opened), opened)));
        }
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
