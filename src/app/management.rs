//! What callers of the management API do, carried out.

use std::sync::{Arc, PoisonError, RwLock};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::opened::{Asked, Opened, Told, reserve};
use super::opener::{By, Opener};
use super::{Callers, InstanceSettings};
use crate::api::{Status, Wanted};
use crate::beside;
use crate::fleet::{NoPlace, Seat, left_behind};
use crate::gateway::{self, Created, NotManaged};
use crate::id::InstanceName;
use crate::instance::Snapshot;
use crate::launch::KeptLog;

/// Why nobody may create what the file does not say.
const FORBIDDEN: &str = "callers of this proxy may not create or delete instances; its operator lets them with \
                         `callers: {create: true}` in the configuration file";

/// Carries out what callers of the API ask for.
pub(super) struct Management {
    opener: Arc<Opener>,
    callers: RwLock<Option<Arc<Callers>>>,
    /// Held while one is made: two who ask for the same get the same.
    turn: tokio::sync::Mutex<()>,
}

impl Management {
    pub(super) fn new(opener: Arc<Opener>, callers: Option<Callers>) -> Self {
        Self { opener, callers: RwLock::new(callers.map(Arc::new)), turn: tokio::sync::Mutex::default() }
    }

    /// From now on callers may create what these say.
    pub(super) fn set_callers(&self, callers: Option<Callers>) {
        *self.callers.write().unwrap_or_else(PoisonError::into_inner) = callers.map(Arc::new);
    }

    fn callers(&self) -> Option<Arc<Callers>> {
        self.callers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens again what callers asked for before this start.
    pub(super) async fn open_asked(&self, told: &mut Told) {
        let Some(callers) = self.callers() else { return };
        for (name, folder) in left_behind::folders(&self.opener.state_root) {
            let Some(asked) = Asked::read(&folder).filter(|asked| asked.of == callers.of) else { continue };
            let (None, Some(wanted)) = (self.opener.named(&name), asked.wanted) else { continue };
            let opened = match (callers.describe)(&wanted) {
                Ok(settings) => match self.server_of(&settings) {
                    Some(other) => Err(format!("{other} serves its model now")),
                    None => self.opener.open(settings, By::Callers).await.map_err(|error| error.to_string()),
                },
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

    /// Who answers to one of its names already.
    fn server_of(&self, settings: &InstanceSettings) -> Option<InstanceName> {
        let roster = self.opener.fleet.roster();
        settings.models.iter().find_map(|model| roster.of_model(model).map(|member| member.name().clone()))
    }

    async fn make(&self, wanted: Wanted) -> Result<Created, NotManaged> {
        let callers = self.callers().ok_or_else(|| NotManaged::Forbidden(FORBIDDEN.to_owned()))?;
        let _turn = self.turn.lock().await;
        if wanted.is_bare()
            && let Some(member) = self.opener.fleet.roster().of_model(&wanted.model)
            && let Some(opened) = self.opener.named(member.name()).filter(|opened| !opened.is_closing())
        {
            return activate(&opened, false).await;
        }
        let settings = beside::the_streams(|| (callers.describe)(&wanted)).map_err(NotManaged::Wrong)?;
        if let Some(opened) = self.opener.named(&settings.name) {
            return there_is(&opened, &settings).await;
        }
        self.check(&settings, &callers)?;
        let places = &self.opener.ground.places;
        reserve(&settings, places).await.map_err(no_place)?;
        let name = settings.name.clone();
        let (opened, told) = self.opener.open(settings, By::Callers).await.map_err(|error| {
            Seat::new(places.clone(), name).unreserve();
            NotManaged::Conflict(error.to_string())
        })?;
        for warning in told.warnings.iter().chain(&told.notes) {
            tracing::warn!(name = %opened.name(), "{warning}");
        }
        if let Err(error) = opened.keep(&Asked { of: callers.of.clone(), wanted: Some(wanted) }) {
            tracing::warn!(name = %opened.name(), %error, "what a caller asked for cannot be kept for the next start");
        }
        activate(&opened, true).await
    }

    /// Whether nothing is in the way of a new one.
    fn check(&self, settings: &InstanceSettings, callers: &Callers) -> Result<(), NotManaged> {
        if self.opener.is_closing() {
            return Err(NotManaged::Conflict("the proxy is being stopped".to_owned()));
        }
        // What is there was another's, and so is its log.
        let folder = self.opener.state_root.join(settings.name.as_str());
        if folder.exists() && Asked::read(&folder).is_none_or(|asked| asked.of != callers.of) {
            let what = format!("the name {} was used before, and not by callers; choose another `name`", settings.name);
            return Err(NotManaged::Conflict(what));
        }
        if let Some(other) = self.server_of(settings) {
            let what = format!("{other} serves that model already; name that one, or another name for this model");
            return Err(NotManaged::Conflict(what));
        }
        match callers.most {
            Some(most) if self.opener.opened().len() >= most => {
                let what = format!("there are {most} instances already, as many as may; delete one first");
                Err(NotManaged::Conflict(what))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Opened>> {
        self.opener.named(&InstanceName::from_text(name)?)
    }
}

fn being_ended(opened: &Opened) -> NotManaged {
    NotManaged::Conflict(format!("{} is being ended; ask again when it is gone", opened.name()))
}

async fn there_is(opened: &Opened, settings: &InstanceSettings) -> Result<Created, NotManaged> {
    if opened.is_closing() {
        return Err(being_ended(opened));
    }
    if opened.is_the_same(settings) {
        return activate(opened, false).await;
    }
    Err(NotManaged::Conflict(format!(
        "there is an instance {} with other settings; delete that one first, or choose another name",
        opened.name()
    )))
}

async fn activate(opened: &Opened, new: bool) -> Result<Created, NotManaged> {
    opened.start().await.map_err(no_place)?;
    Ok(Created { status: opened.status(), new })
}

fn no_place(why: NoPlace) -> NotManaged {
    match why {
        NoPlace::NoSuchGpu(what) => NotManaged::Wrong(what),
        NoPlace::Taken(what) => NotManaged::Conflict(what),
    }
}

impl gateway::Manage for Management {
    fn all(&self) -> Vec<Status> {
        self.opener.opened().iter().map(|opened| opened.status()).collect()
    }

    fn status(&self, name: &str) -> Option<Status> {
        self.find(name).map(|opened| opened.status())
    }

    fn log(&self, name: &str) -> Option<(KeptLog, watch::Receiver<Snapshot>)> {
        self.find(name).map(|opened| (opened.log().clone(), opened.watch()))
    }

    fn start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Status>, NotManaged>> {
        let start = async {
            let Some(opened) = self.find(name) else { return Ok(None) };
            if opened.is_closing() {
                return Err(being_ended(&opened));
            }
            opened.start().await.map_err(no_place)?;
            Ok(Some(opened.status()))
        };
        start.boxed()
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
        let Some(callers) = self.callers() else { return Err(NotManaged::Forbidden(FORBIDDEN.to_owned())) };
        let Some(opened) = self.find(name) else { return Ok(None) };
        if !opened.is_asked_for() {
            let what =
                format!("{name} is of the configuration file; take it out there, or stop it with `POST /stop/{name}`");
            return Err(NotManaged::Forbidden(what));
        }
        if !opened.is_closing() {
            if let Err(error) = opened.keep(&Asked { of: callers.of.clone(), wanted: None }) {
                tracing::warn!(%name, %error, "that it was deleted cannot be kept");
            }
            self.opener.forget(opened.name());
        }
        Ok(Some(opened.status()))
    }
}
