//! What callers of the management API do, carried out.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::opened::{Asked, Opened, Told};
use super::opener::Opener;
use super::{AppError, Callers, InstanceSettings};
use crate::api::{Status, Wanted};
use crate::fleet::left_behind;
use crate::gateway::{self, Created, NotManaged};
use crate::id::InstanceName;
use crate::launch::KeptLog;

/// Why nobody may create what the file does not say.
const FORBIDDEN: &str = "callers of this proxy may not create or delete instances; its operator lets them with \
                         `callers: {create: true}` in the configuration file";

/// Carries out what callers of the API ask for.
pub(super) struct Management {
    opener: Arc<Opener>,
    callers: Option<Callers>,
    /// Held while one is made: two who ask for the same get the same.
    turn: tokio::sync::Mutex<()>,
}

impl Management {
    pub(super) fn new(opener: Arc<Opener>, callers: Option<Callers>) -> Self {
        Self { opener, callers, turn: tokio::sync::Mutex::default() }
    }

    /// Opens again what callers asked for before this start.
    pub(super) async fn open_asked(&self, told: &mut Told) {
        let Some(callers) = &self.callers else { return };
        for (name, folder) in left_behind::folders(&self.opener.state_root) {
            let Some(asked) = Asked::read(&folder).filter(|asked| asked.of == callers.of) else { continue };
            if self.opener.named(&name).is_some() {
                continue; // The file has it now.
            }
            let opened = match (callers.describe)(&asked.wanted) {
                Ok(settings) => self.opener.open(settings).await.map_err(|error| error.to_string()),
                Err(what) => Err(what),
            };
            match opened {
                Ok((_, of_one)) => {
                    told.warnings.extend(of_one.warnings);
                    told.notes.extend(of_one.notes);
                }
                Err(what) => told.warnings.push(format!("{name}, which a caller asked for, is not served: {what}")),
            }
        }
    }

    async fn make(&self, wanted: Wanted) -> Result<Created, NotManaged> {
        let callers = self.callers.as_ref().ok_or_else(|| NotManaged::Forbidden(FORBIDDEN.to_owned()))?;
        let _turn = self.turn.lock().await;
        if wanted.is_bare()
            && let Some(member) = self.opener.fleet.roster().of_model(&wanted.model)
            && let Some(opened) = self.opener.named(member.name())
        {
            return Ok(activate(&opened, false));
        }
        let settings = (callers.describe)(&wanted).map_err(NotManaged::Wrong)?;
        if let Some(opened) = self.opener.named(&settings.name).filter(|opened| !opened.is_closing()) {
            return self.there_is(&opened, &settings);
        }
        let roster = self.opener.fleet.roster();
        if let Some(other) = settings.models.iter().find_map(|model| roster.of_model(model)) {
            let what =
                format!("{} serves that model already; name that one, or another name for this model", other.name());
            return Err(NotManaged::Conflict(what));
        }
        if let Some(most) = callers.most.filter(|most| self.opener.opened().len() >= *most) {
            return Err(NotManaged::Conflict(format!(
                "there are {most} instances already, as many as may; delete one first"
            )));
        }
        let (opened, told) = self.opener.open(settings).await.map_err(|error| not_opened(&error))?;
        for warning in told.warnings.iter().chain(&told.notes) {
            tracing::warn!(name = %opened.name(), "{warning}");
        }
        if let Err(error) = opened.keep(&Asked { of: callers.of.clone(), wanted }) {
            tracing::warn!(name = %opened.name(), %error, "what a caller asked for cannot be kept for the next start");
        }
        Ok(activate(&opened, true))
    }

    fn there_is(&self, opened: &Opened, settings: &InstanceSettings) -> Result<Created, NotManaged> {
        if opened.is_the_same(settings) {
            return Ok(activate(opened, false));
        }
        let what = format!(
            "there is an instance {} with other settings; delete that one first, or choose another name",
            opened.name()
        );
        Err(NotManaged::Conflict(what))
    }

    fn find(&self, name: &str) -> Option<Arc<Opened>> {
        self.opener.opened().into_iter().find(|opened| opened.name().as_str() == name)
    }
}

fn activate(opened: &Opened, new: bool) -> Created {
    opened.wake();
    Created { status: opened.status(), new }
}

fn not_opened(error: &AppError) -> NotManaged {
    NotManaged::Conflict(error.to_string())
}

impl gateway::Manage for Management {
    fn all(&self) -> Vec<Status> {
        self.opener.opened().iter().map(|opened| opened.status()).collect()
    }

    fn status(&self, name: &str) -> Option<Status> {
        self.find(name).map(|opened| opened.status())
    }

    fn log(&self, name: &str) -> Option<KeptLog> {
        self.find(name).map(|opened| opened.log().clone())
    }

    fn start(&self, name: &str) -> Option<Status> {
        let opened = self.find(name)?;
        opened.wake();
        Some(opened.status())
    }

    fn stop(&self, name: &str) -> Option<Status> {
        let opened = self.find(name)?;
        opened.handle().stop(false);
        Some(opened.status())
    }

    fn create(&self, wanted: Wanted) -> BoxFuture<'_, Result<Created, NotManaged>> {
        self.make(wanted).boxed()
    }

    fn delete(&self, name: &str) -> Result<Option<Status>, NotManaged> {
        if self.callers.is_none() {
            return Err(NotManaged::Forbidden(FORBIDDEN.to_owned()));
        }
        let Some(opened) = self.find(name) else { return Ok(None) };
        if !opened.is_asked_for() {
            let what =
                format!("{name} is of the configuration file; take it out there, or stop it with `POST /stop/{name}`");
            return Err(NotManaged::Forbidden(what));
        }
        opened.unkeep();
        if let Some(name) = InstanceName::from_text(name) {
            self.opener.forget(&name);
        }
        Ok(Some(opened.status()))
    }
}
