//! Which instance is meant, and how a conversation with it begins.

use tokio::runtime::Builder;

use super::{Report, surroundings};
use crate::api::{Ask, Reply, Status};
use crate::control::{Client, ClientError, Known, known};
use crate::id::InstanceName;

/// Runs what a verb does to its end.
pub(super) fn run<T>(verb: impl Future<Output = Result<T, Report>>) -> Result<T, Report> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Report::failure(format!("the program cannot run: {error}")))?.block_on(verb)
}

/// The instance of this name, or the only one that runs. `verb` is what the person typed.
pub(super) async fn choose(name: Option<&str>, verb: &str) -> Result<Known, Report> {
    if let Some(text) = name {
        return named(text);
    }
    let mut running = running().await?;
    match (running.pop(), running.is_empty()) {
        (None, _) => Err(nothing_runs()),
        (Some(one), true) => Ok(one),
        (Some(last), false) => {
            running.push(last);
            Err(Report::usage(format!("several instances run: {}", names(&running))).hinted(format!(
                "name one, as in `llm-proxy {verb} {}`",
                running.first().map_or("", |one| one.name.as_str())
            )))
        }
    }
}

/// The instance of this name, whether there is one or not.
pub(super) fn named(text: &str) -> Result<Known, Report> {
    let name = InstanceName::from_text(text).ok_or_else(|| {
        Report::usage(format!("{text:?} is no name of an instance")).hinted("`llm-proxy status` lists them")
    })?;
    Ok(Known::named(&surroundings::state_root()?, name))
}

/// Every instance that ever ran here.
pub(super) fn all() -> Result<Vec<Known>, Report> {
    Ok(known(&surroundings::state_root()?))
}

/// Begins a conversation.
pub(super) async fn ask(instance: &Known, ask: Ask) -> Result<Client, Report> {
    match Client::ask(instance, ask).await {
        Ok(client) => Ok(client),
        Err(ClientError::NotRunning(name)) => {
            let running = running().await?;
            let report = Report::failure(ClientError::NotRunning(name));
            Err(if running.is_empty() {
                report.hinted("`llm-proxy serve` starts one")
            } else {
                report.hinted(format!("these run: {}", names(&running)))
            })
        }
        Err(error) => Err(Report::failure(error)),
    }
}

/// Where a running instance stands.
pub(super) async fn status(instance: &Known) -> Result<Status, ClientError> {
    match Client::ask(instance, Ask::Status).await?.soon().await? {
        Reply::Status(status) => Ok(*status),
        Reply::Log(_) | Reply::Progress(_) | Reply::Question(_) | Reply::Done(_) | Reply::Failed(_) => {
            Err(ClientError::HungUp)
        }
    }
}

async fn running() -> Result<Vec<Known>, Report> {
    let mut running = Vec::new();
    for instance in all()? {
        // One that runs and does not answer runs all the same.
        if !matches!(status(&instance).await, Err(ClientError::NotRunning(_))) {
            running.push(instance);
        }
    }
    Ok(running)
}

pub(super) fn nothing_runs() -> Report {
    Report::failure("no instance runs here").hinted("`llm-proxy serve` starts one")
}

fn names(instances: &[Known]) -> String {
    instances.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ")
}
