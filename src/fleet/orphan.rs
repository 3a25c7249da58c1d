//! A life that no process looks after, and its end.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{FolderError, StateFolder};
use crate::backend::Diagnosis;
use crate::config::format_duration;
use crate::host::{Host, LocalHost, SshHost};
use crate::launch::{
    Held, KeptLog, Launcher, LinkState, Lives, News, NewsSender, Place, Plan, Record, RecordFile, RouteMemory,
};
use crate::ssh::SshClient;

/// What a life tells while it is ended; it waits to tell more.
const NEWS_CAPACITY: usize = 8;

/// A life on disk that no process looks after.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// The file that tells of it.
    pub file: RecordFile,
    /// What it tells.
    pub record: Record,
}

/// A life that was left behind cannot be ended now.
#[derive(Debug, thiserror::Error)]
pub enum OrphanError {
    /// Another process goes on with it now.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its host asks for a person, and nobody answered.
    #[error("{}", .0.summary)]
    NeedsLogin(Diagnosis),
}

impl Orphan {
    /// Ends it, by a client that reaches its host, and returns once that is verified; with what could not be ended, by name.
    ///
    /// # Errors
    /// See [`OrphanError`].
    pub async fn end(&self, root: &Path, client: Option<SshClient>) -> Result<Vec<String>, OrphanError> {
        let _folder = match StateFolder::hold(root, &self.record.instance) {
            Ok(folder) => Some(folder),
            // It was set aside by the one who holds the folder, or by one before.
            Err(FolderError::Held { .. }) if self.file.is_set_aside() => None,
            Err(error) => return Err(error.into()),
        };
        let tasks = TaskTracker::new();
        let record = Record { ending: true, ..self.record.clone() };
        let place = Place {
            host: client.map_or(Host::Local(LocalHost), |client| Host::Ssh(Arc::new(SshHost::new(client)))),
            host_name: record.host().map(str::to_owned),
            login: record.login.clone(),
            shell: record.shell,
            record: self.file.clone(),
            log: KeptLog::nowhere(),
            routes: RouteMemory::new(root),
        };
        let (news, mut told) = mpsc::channel(NEWS_CAPACITY);
        let plan = Plan::of_record(&record);
        let lives = Lives::new(place, plan, tasks).left_with(Some((record, Held::default())));
        let orders = lives.launch(NewsSender::new(0, news));
        let mut left = Vec::new();
        while let Some((_, news)) = told.recv().await {
            match news {
                News::Gone => break,
                News::Left(names) => left.extend(names),
                News::Link(LinkState::NeedsLogin { why, .. }) => return Err(OrphanError::NeedsLogin(why)),
                News::Link(LinkState::Connected | LinkState::Reconnecting { .. })
                | News::Queued { .. }
                | News::Starting { .. }
                | News::Walltime { .. }
                | News::Paused(_)
                | News::Lease(_)
                | News::Gpus(_)
                | News::Loading(_)
                | News::Listening(..)
                | News::Routed(_)
                | News::Unreachable(_)
                | News::Ended(_) => {}
            }
        }
        drop(orders); // Held until here: a life without anybody who orders it is none.
        Ok(left)
    }

    /// What it is, for a person.
    #[must_use]
    pub fn what(&self) -> String {
        let Record { instance, job, node, .. } = &self.record;
        let what = job.map_or_else(|| format!("the engine of {instance}"), |job| format!("job {job} of {instance}"));
        let node = node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        let host = self.record.host().map(|host| format!(" ({host})")).unwrap_or_default();
        format!("{what}{node}{host}")
    }
}

impl fmt::Display for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lease = format_duration(Duration::from_secs(self.record.lease_s));
        write!(
            f,
            "{} was left behind by an earlier run: `llm-proxy stop --orphans` ends it; by itself it ends within {lease} \
             of its last word, once it runs",
            self.what()
        )
    }
}
