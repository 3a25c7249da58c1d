//! Reads the files again while the program runs, when one of them changed or a HUP came.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::announce::say;
use super::served::Served;
use super::{Report, ServeArgs, configured};
use crate::app::{App, AppError, Change, Opened, Told};
use crate::gateway;
use crate::id::InstanceName;
use crate::secret::Key;

/// How often the files are looked at. A file system that other machines write to tells nobody of a change, and an editor's
/// file counts once it was the same twice.
const LOOK: Duration = Duration::from_secs(2);

/// Which state of a file was read: its inode, its length, its time in seconds and nanoseconds.
type Stamp = Option<(u64, u64, i64, i64)>;

/// The files that say something, as they were when they were looked at: before they are read.
pub(super) struct Files {
    files: Vec<PathBuf>,
    seen: Vec<Stamp>,
}

impl Files {
    pub(super) fn look(args: &ServeArgs) -> Self {
        let files = configured::files(args);
        let seen = stamps(&files);
        Self { files, seen }
    }
}

/// What was read, and what would be read again.
pub(super) struct Reload {
    args: ServeArgs,
    by_model: bool,
    listen: SocketAddr,
    gateway: gateway::Settings,
    files: Files,
    asked: Arc<Notify>,
}

impl Reload {
    /// Of what was typed, where a file was.
    pub(super) fn new(args: &ServeArgs, files: Files, served: &Served, asked: Arc<Notify>) -> Self {
        let (listen, gateway) = (served.app.listen, served.app.gateway.clone());
        Self { args: args.clone(), by_model: served.by_model, listen, gateway, files, asked }
    }

    /// Obeys the files until it is dropped.
    pub(super) async fn obey(&mut self, app: &App) {
        loop {
            self.changed().await;
            match self.read() {
                Ok(served) => self.apply(app, served),
                Err(report) => {
                    say(&format!("the configuration was read again, and stays as it was: {}", report.what));
                    if let Some(hint) = report.hint {
                        say(&format!("hint: {hint}"));
                    }
                }
            }
        }
    }

    /// Returns when a file is another than the one that was read, and rests; or when somebody asks for it.
    async fn changed(&mut self) {
        let mut last: Option<Vec<Stamp>> = None;
        loop {
            let asked = tokio::time::timeout(LOOK, self.asked.notified()).await.is_ok();
            let now = stamps(&self.files.files);
            if asked || (now != self.files.seen && last.as_ref() == Some(&now)) {
                self.files = Files::look(&self.args);
                return;
            }
            last = Some(now);
        }
    }

    fn read(&self) -> Result<Served, Report> {
        let chosen = configured::choose(&self.args)?;
        let served = Served::resolve(&self.args, &chosen)?;
        let again = |what: &str| Err(Report::usage(what).hinted("start the program again for that"));
        let (old, new) = (&self.gateway, &served.app.gateway);
        if served.by_model != self.by_model {
            again("a file with 'models' took the place of one without, or the other way round")
        } else if served.app.listen != self.listen {
            again("where to listen is another")
        } else if !is_the_same_key(old.access_key.as_ref(), new.access_key.as_ref()) {
            again("the access key is another")
        } else if (old.wake_on, old.patience) != (new.wake_on, new.patience) {
            again("what wakes an engine, or when those who wait hear of it, is another")
        } else {
            Ok(served)
        }
    }

    fn apply(&self, app: &App, served: Served) {
        for warning in &served.warnings {
            say(&format!("warning: {warning}"));
        }
        let wanted: Vec<InstanceName> = served.all.iter().map(|one| one.settings.name.clone()).collect();
        let is_gone = |opened: &&Arc<Opened>| !wanted.contains(opened.name()) && !opened.is_asked_for();
        for opened in app.opened().iter().filter(is_gone).filter(|opened| !opened.is_closing()) {
            say(&format!("{} is not in the file any more: it is ended", opened.name()));
            app.forget(opened.name());
        }
        app.set_most_running(served.app.most_running);
        if self.by_model {
            app.set_default(served.default.clone());
            let models = served.all.iter().flat_map(|one| one.settings.models.iter().cloned()).collect::<Vec<_>>();
            for name in app.set_callers(served.callers, &models) {
                say(&format!("{name}, which a caller asked for, is ended: the file serves its model now"));
            }
        }
        for one in served.all {
            let name = one.settings.name.clone();
            let of = name.clone();
            match app.replace(one.settings, Box::new(move |opened| tell(&of, opened))) {
                Ok(Change::OtherEngine) => say(&format!(
                    "{name} is another now: what is in flight is finished, and the next request starts it"
                )),
                Ok(Change::SameEngine | Change::Opens) => {}
                Err(error) => say(&format!("{name} stays as it was: {error}")),
            }
        }
        say("the configuration was read again");
    }
}

fn tell(name: &InstanceName, opened: Result<Told, AppError>) {
    match opened {
        Ok(told) => {
            for line in told.warnings.iter().map(|warning| format!("warning: {warning}")).chain(told.notes) {
                say(&line);
            }
            say(&format!("{name} is new: its first request starts it"));
        }
        Err(error) => say(&format!("{name} is not served: {error}")),
    }
}

fn is_the_same_key(old: Option<&Key>, new: Option<&Key>) -> bool {
    match (old, new) {
        (None, None) => true,
        (Some(old), Some(new)) => old.matches(new.expose().as_bytes()),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|file| stamp(file)).collect()
}

fn stamp(file: &Path) -> Stamp {
    let found = std::fs::metadata(file).ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}
