//! What a person sees while a running proxy does what was asked for.

use super::announce::say;
use super::{Report, output, status_words, terminal};
use crate::api::Reply;
use crate::control::Client;
use crate::id::InstanceName;

/// Shows each step, up to the end of it; with `json`, as a program reads it.
pub(super) async fn follow(name: &InstanceName, client: &mut Client, json: bool) -> Result<(), Report> {
    if json {
        return replies(client).await;
    }
    let last = steps(name, client).await;
    terminal::clear();
    say(&format!("{name}: {}", last?));
    Ok(())
}

/// Prints each reply as it comes.
async fn replies(client: &mut Client) -> Result<(), Report> {
    loop {
        let reply = client.next().await.map_err(Report::failure)?;
        output::print_json(&reply)?;
        match reply {
            Reply::Done(_) => return Ok(()),
            Reply::Failed(failure) => return Err(failure.into()),
            Reply::Status(_) | Reply::Log(_) | Reply::Progress(_) | Reply::Question(_) => {}
        }
    }
}

async fn steps(name: &InstanceName, client: &mut Client) -> Result<String, Report> {
    let mut told = None;
    loop {
        match client.next().await.map_err(Report::failure)? {
            Reply::Status(status) => {
                let line = format!("{name}: {}", status_words::line(&status));
                if terminal::is_live() {
                    let fitting = line.chars().take(terminal::width().saturating_sub("llm-proxy: ".len()));
                    terminal::show(format!("llm-proxy: {}", fitting.collect::<String>()));
                } else if told != Some((status.phase.clone(), status.reason.clone())) {
                    told = Some((status.phase, status.reason));
                    say(&line);
                }
            }
            Reply::Done(done) => return Ok(done.words),
            Reply::Failed(failure) => return Err(failure.into()),
            Reply::Progress(progress) => say(&format!("{name}: {}", progress.words)),
            Reply::Log(_) | Reply::Question(_) => {}
        }
    }
}
