//! What a person does to the engine: starts it, stops it, and sees it through.

use std::io;

use super::desk::Desk;
use super::status::status;
use super::talk::Talk;
use crate::api::{Done, Failure, FailureKind, Reply};
use crate::backend::Diagnosis;
use crate::instance::{Phase, Snapshot};
use crate::launch::{LOGIN_REQUIRED, LinkState};

/// Starts the engine; with `wait`, tells each step until it is ready.
pub(super) async fn start(talk: &mut Talk, desk: &Desk, wait: bool) -> io::Result<Reply> {
    let mut snapshots = desk.handle.watch();
    let before = snapshots.borrow_and_update().clone();
    let done = |words: &str| Reply::Done(Done { words: words.to_owned() });
    if before.phase == Phase::Ready && before.link.is_up() {
        return Ok(done("the engine is ready already"));
    }
    desk.handle.start();
    if !wait {
        return Ok(done(if is_coming(&before.phase) {
            "the engine starts already"
        } else {
            "the engine is being started"
        }));
    }
    let wanted = before.life + u64::from(!is_coming(&before.phase));
    let mut told = before;
    loop {
        let seen = snapshots.borrow_and_update().clone();
        if seen.life >= wanted
            && let Some(outcome) = outcome(&seen)
        {
            return Ok(outcome.map_or_else(Reply::Failed, |()| done("the engine is ready")));
        }
        tell(talk, desk, &mut told, seen).await?;
        if snapshots.changed().await.is_err() {
            return Ok(Reply::Failed(ending()));
        }
    }
}

/// Ends the engine, and tells each step until it is verified gone; with `serve`, the proxy itself ends afterwards.
pub(super) async fn stop(talk: &mut Talk, desk: &Desk, hurry: bool, serve: bool) -> io::Result<Reply> {
    let mut snapshots = desk.handle.watch();
    let before = snapshots.borrow_and_update().clone();
    let was_down = before.phase.is_down();
    if serve {
        desk.handle.close(hurry);
        desk.end.asked.notify_one();
        if hurry {
            desk.end.hurried.notify_one();
        }
    } else {
        desk.handle.stop(hurry);
    }
    let mut told = before.clone();
    loop {
        let seen = snapshots.borrow_and_update().clone();
        let words = if serve {
            None // Over only where nothing more comes.
        } else if was_down {
            Some("the engine does not run")
        } else if seen.phase.is_down() {
            Some("the engine is gone")
        } else if seen.life > before.life {
            Some("the engine is gone; a request that came meanwhile starts it again")
        } else {
            None
        };
        if let Some(words) = words {
            return Ok(Reply::Done(Done { words: words.to_owned() }));
        }
        tell(talk, desk, &mut told, seen).await?;
        if snapshots.changed().await.is_err() {
            return Ok(Reply::Done(Done { words: "the engine is gone, and the proxy ends".to_owned() }));
        }
    }
}

/// Tells where it stands, if that is another phase than was told.
async fn tell(talk: &mut Talk, desk: &Desk, told: &mut Snapshot, seen: Snapshot) -> io::Result<()> {
    let news = (&seen.phase, &seen.loading, &seen.link) != (&told.phase, &told.loading, &told.link);
    if news {
        talk.say(&Reply::Status(Box::new(status(desk, &seen)))).await?;
    }
    *told = seen;
    Ok(())
}

/// How a start came out, once it has.
fn outcome(seen: &Snapshot) -> Option<Result<(), Failure>> {
    if let LinkState::NeedsLogin { why, .. } = &seen.link {
        return Some(Err(failed(why)));
    }
    if let Some(diagnosis) = seen.phase.problem() {
        return Some(Err(failed(diagnosis)));
    }
    match &seen.phase {
        Phase::Ready => Some(Ok(())),
        Phase::Stopped | Phase::Draining | Phase::Stopping(_) => {
            let what = "the engine was stopped before it was ready".to_owned();
            Some(Err(Failure { kind: FailureKind::Failure, what, hint: None }))
        }
        Phase::Recovering
        | Phase::Submitting
        | Phase::Queued { .. }
        | Phase::Starting
        | Phase::Unreachable(_)
        | Phase::Failed(_) => None,
    }
}

fn failed(diagnosis: &Diagnosis) -> Failure {
    let kind = if diagnosis.code == LOGIN_REQUIRED { FailureKind::Authentication } else { FailureKind::Failure };
    let hint = Some(diagnosis.remedy.clone()).filter(|hint| !hint.is_empty());
    Failure { kind, what: diagnosis.summary.clone(), hint }
}

fn ending() -> Failure {
    Failure { kind: FailureKind::Failure, what: "the proxy is being stopped".to_owned(), hint: None }
}

/// Whether the current life is on its way to ready.
fn is_coming(phase: &Phase) -> bool {
    match phase {
        Phase::Recovering
        | Phase::Submitting
        | Phase::Queued { .. }
        | Phase::Starting
        | Phase::Ready
        | Phase::Unreachable(_) => true,
        Phase::Stopped | Phase::Draining | Phase::Stopping(_) | Phase::Failed(_) => false,
    }
}
