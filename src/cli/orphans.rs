//! `stop --orphans`: ends what earlier processes left behind, and nobody goes on with.

use std::collections::HashMap;
use std::process::ExitCode;

use tokio_util::task::TaskTracker;

use super::announce::say;
use super::login_here;
use super::signals::Signals;
use super::terminal;
use super::{Exit, Report, surroundings};
use crate::control;
use crate::fleet::{Orphan, OrphanError, left_behind};
use crate::id::InstanceName;
use crate::ssh::{SshClient, SshOptions};

/// Ends all of them, or those of one instance.
pub(super) async fn end(name: Option<&InstanceName>) -> Result<ExitCode, Report> {
    let mut signals = Signals::listen().map_err(Report::failure)?;
    tokio::select! {
        ended = end_all(name) => ended,
        () = signals.next() => {
            say("left: what was not said to be gone may still run");
            Ok(Exit::Interrupted.into())
        }
    }
}

async fn end_all(name: Option<&InstanceName>) -> Result<ExitCode, Report> {
    let root = surroundings::state_root()?;
    let (orphans, unreadable) = left_behind::orphans(&root);
    for error in &unreadable {
        say(&format!("warning: {error}"));
    }
    let chosen: Vec<Orphan> =
        orphans.into_iter().filter(|orphan| name.is_none_or(|name| orphan.record.instance == *name)).collect();
    if chosen.is_empty() {
        say("nothing was left behind that no proxy looks after");
    }
    let (mut hosts, mut last) = (Hosts::default(), None);
    for orphan in &chosen {
        say(&format!("ending {}", orphan.what()));
        match end_one(orphan, &root, &mut hosts).await {
            Ok(left) if left.is_empty() => say(&format!("gone: {}", orphan.what())),
            Ok(left) => say(&format!("gone but for what cannot be ended: {}: {}", orphan.what(), left.join(", "))),
            Err(report) => {
                if let Some(before) = last.replace(report) {
                    let _ = before.print();
                }
            }
        }
    }
    last.map_or_else(|| Ok(if unreadable.is_empty() { ExitCode::SUCCESS } else { Exit::Failure.into() }), Err)
}

async fn end_one(orphan: &Orphan, root: &std::path::Path, hosts: &mut Hosts) -> Result<Vec<String>, Report> {
    let client = match &orphan.record.login {
        None => None,
        Some(login) => Some(hosts.client(login).await?),
    };
    orphan.end(root, client).await.map_err(|error| match error {
        OrphanError::Folder(error) => {
            Report::failure(error).hinted(format!("`llm-proxy stop {}` ends what runs there", orphan.record.instance))
        }
        OrphanError::NeedsLogin(why) => {
            Report::failure(why.summary).hinted("run it again on a terminal, and answer there")
        }
    })
}

/// The connections that were made: two lives on one host need one.
#[derive(Default)]
struct Hosts {
    clients: HashMap<String, SshClient>,
    tasks: TaskTracker,
}

impl Hosts {
    async fn client(&mut self, login: &SshOptions) -> Result<SshClient, Report> {
        let key = serde_json::to_string(login).map_err(Report::failure)?;
        if let Some(client) = self.clients.get(&key) {
            return Ok(client.clone());
        }
        let failed = |error: &_| Report::from(control::failure(error));
        let client = SshClient::new(login, self.tasks.clone()).map_err(|error| failed(&error))?;
        let connected = if terminal::is_attended() {
            login_here::answering(async |person| client.connect_with(&person).await).await
        } else {
            client.connect().await
        };
        connected.map_err(|error| failed(&error))?;
        self.clients.insert(key, client.clone());
        Ok(client)
    }
}
