//! Reads the files again while the program runs, when one of them changed or a HUP came.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::announce::{self, say};
use super::served::Served;
use super::{Report, ServeArgs, configured};
use crate::app::{App, Change};
use crate::id::InstanceName;

/// How often the files are looked at. A file system that other machines write to tells nobody of a change, and an editor's
/// file counts once it was the same twice.
const LOOK: Duration = Duration::from_secs(2);

/// Which state of a file was read: its inode, its length, its time in seconds and nanoseconds.
type Stamp = Option<(u64, u64, i64, i64)>;

/// What was read, and what would be read again.
pub(super) struct Reload {
    args: ServeArgs,
    by_model: bool,
    listen: std::net::SocketAddr,
    files: Vec<PathBuf>,
    seen: Vec<Stamp>,
    asked: Arc<Notify>,
}

impl Reload {
    /// Of what was typed, where a file was.
    pub(super) fn new(args: &ServeArgs, served: &Served, asked: Arc<Notify>) -> Self {
        let files = configured::files(args);
        let seen = files.iter().map(|file| stamp(file)).collect();
        Self { args: args.clone(), by_model: served.by_model, listen: served.app.listen, files, seen, asked }
    }

    /// Obeys the files until it is dropped.
    pub(super) async fn obey(&mut self, app: &App, announced: &announce::Tasks) {
        loop {
            self.changed().await;
            match self.read() {
                Ok(served) => self.apply(app, served, announced).await,
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
            let now: Vec<Stamp> = self.files.iter().map(|file| stamp(file)).collect();
            if asked || (now != self.seen && last.as_ref() == Some(&now)) {
                self.seen = now;
                return;
            }
            last = Some(now);
        }
    }

    fn read(&mut self) -> Result<Served, Report> {
        let chosen = configured::choose(&self.args)?;
        let served = Served::resolve(&self.args, &chosen)?;
        if served.by_model != self.by_model {
            return Err(Report::usage("a file with 'models' took the place of one without, or the other way round")
                .hinted("start the program again for that"));
        }
        self.files = configured::files(&self.args);
        self.seen = self.files.iter().map(|file| stamp(file)).collect();
        Ok(served)
    }

    async fn apply(&self, app: &App, served: Served, announced: &announce::Tasks) {
        for warning in &served.warnings {
            say(&format!("warning: {warning}"));
        }
        if served.app.listen != self.listen {
            say("warning: where to listen changed; start the program again for that");
        }
        let wanted: Vec<InstanceName> = served.all.iter().map(|one| one.settings.name.clone()).collect();
        for opened in app.opened().iter().filter(|opened| !wanted.contains(opened.name()) && !opened.is_asked_for()) {
            say(&format!("{} is not in the file any more: it is ended", opened.name()));
            app.forget(opened.name());
        }
        for one in served.all {
            let (name, idle) = (one.settings.name.clone(), one.settings.policy.idle_timeout);
            let changed = match app.replace(one.settings) {
                Ok(Change::None(settings)) => match app.open(*settings).await {
                    Ok((_, told)) => {
                        told.warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
                        told.notes.iter().for_each(|note| say(note));
                        say(&format!("{name} is new: its first request starts it"));
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Ok(Change::OtherEngine) => {
                    say(&format!(
                        "{name} is another now: what is in flight is finished, and the next request starts it"
                    ));
                    Ok(())
                }
                Ok(Change::SameEngine) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = changed {
                say(&format!("{name} stays as it was: {error}"));
            }
        }
        say("the configuration was read again");
    }
}

fn stamp(file: &Path) -> Stamp {
    let found = std::fs::metadata(file).ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}
