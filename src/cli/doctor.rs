//! `doctor`: checks everything that `serve` would need; on a terminal it offers to mend what it can.
//!
//! Its questions go the way of all others, as a form for a [`Person`] that the one prompter of this program shows: while the
//! doctor asks for a consent, the login host may be asking for a password, and two readers of one terminal would take each
//! other's lines.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::doctor_words::{summary, words};
use super::prompter::Prompter;
use super::signals::Signals;
use super::{
    DoctorArgs, Exit, Report, ServeArgs, configured, output, serve, settings, surroundings, terminal, written,
};
use crate::doctor::{Deep, Finding, Level, Subject, Typed, examine};
use crate::launch::RouteMemory;
use crate::ssh::{Person, Question};

/// How long what is under way may take to end: the tasks of a closed connection.
const LINGER: Duration = Duration::from_secs(5);

/// How long a short job waits in the queue, unless `--queue-timeout` is less.
const QUEUE_PATIENCE: Duration = Duration::from_mins(5);

/// What is written in the place of a command where none was given.
const NO_COMMAND: &str = "true";

const CONFIGURATION: &str = "configuration";

/// Runs `doctor`. `typed` is the whole command line.
pub(super) fn run(mut args: DoctorArgs, typed: &[OsString]) -> Result<ExitCode, Report> {
    if args.serve.0.verbose > 0 {
        serve::trace(args.serve.0.verbose, false);
    }
    let (json, told) = (args.json, RefCell::new(Vec::new()));
    let tell = |finding: &Finding| {
        told.borrow_mut().push(finding.clone());
        if !json {
            // A reader who has gone will not miss it.
            drop(output::write(&words(finding, coloured())));
        }
    };
    let report = match attend(&mut args, typed, &tell) {
        Ok((findings, interrupted)) => {
            let code = finish(&findings, json, interrupted)?;
            return Ok(if interrupted { Exit::Interrupted.into() } else { code });
        }
        Err(report) => report,
    };
    if !json {
        return Err(report);
    }
    // Whoever reads it as JSON is told as much as was seen by then, and why there is no more.
    let broken = Finding::fail("visit", report.what).maybe_advice(report.hint);
    let all: Vec<Finding> = told.into_inner().into_iter().chain([broken]).collect();
    output::print_json(&all)?;
    Ok(report.exit.into())
}

/// What is said where the command line means nothing: a document for programs, too, if one was asked for.
pub(super) fn not_understood(error: &clap::Error, typed: &[OsString]) -> Option<ExitCode> {
    let mut ours = typed.iter().skip(1).take_while(|word| *word != "--");
    let json =
        error.use_stderr() && ours.next().is_some_and(|verb| verb == "doctor") && ours.any(|word| word == "--json");
    if !json {
        return None;
    }
    let words = error.to_string();
    // Usage, and where help is, are for people.
    let what = words.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let finding = Finding::fail(CONFIGURATION, what);
    output::print_json(&[finding]).ok().map(|()| Exit::Usage.into())
}

/// The whole visit: what was found, and whether it was interrupted.
fn attend(args: &mut DoctorArgs, typed: &[OsString], tell: &dyn Fn(&Finding)) -> Result<(Vec<Finding>, bool), Report> {
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Report::failure(format!("the program's threads cannot be started: {error}")))?;
    let subject = match subject(&mut args.serve.0, typed) {
        Ok(subject) => subject,
        Err(report) => {
            let finding = Finding::fail(CONFIGURATION, report.what).maybe_advice(report.hint);
            let findings = vec![finding, Finding::skipped("all else", "it is not known what to look at")];
            findings.iter().for_each(tell);
            return Ok((findings, false));
        }
    };
    let subject = Subject {
        deep: args
            .deep
            .then(|| Deep { hubs: args.hub.clone(), patience: QUEUE_PATIENCE.min(args.serve.0.queue_timeout) }),
        ..subject
    };
    // What it asks about stands on standard output, such as a fingerprint.
    let shown = std::io::stdout().is_terminal();
    let attended = !args.json && !args.no_input && shown && terminal::is_attended();
    runtime.block_on(visit(&subject, attended, tell))
}

/// What is looked at, by the arguments.
fn subject(args: &mut ServeArgs, typed: &[OsString]) -> Result<Subject, Report> {
    let words: Vec<String> = typed.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let typed = Typed::new(&words, args.command.len());
    let as_typed = args.clone();
    configured::apply(args)?;
    let has_command = !args.command.is_empty();
    if !has_command {
        args.command.push(NO_COMMAND.to_owned());
        args.name.get_or_insert_with(|| "doctor".to_owned());
    }
    settings::shared(args)?;
    let resolved = settings::resolve(args)?;
    let file = has_command.then(|| written::file(&as_typed, &typed, &resolved.instance.name)).flatten();
    Ok(Subject {
        file,
        login: resolved.instance.login,
        shell: resolved.instance.shell,
        plan: resolved.instance.plan,
        routes: RouteMemory::new(&surroundings::state_root()?),
        has_command,
        warnings: resolved.warnings,
        typed,
        deep: None,
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    })
}

/// Says how all came out.
fn finish(findings: &[Finding], json: bool, interrupted: bool) -> Result<ExitCode, Report> {
    if json {
        output::print_json(&findings)?;
    } else {
        output::write(&summary(findings, interrupted))?;
    }
    let fault = findings.iter().any(|finding| finding.level == Level::Fail);
    Ok(if fault { Exit::Fault } else { Exit::Success }.into())
}

fn coloured() -> bool {
    std::io::stdout().is_terminal() && console::colors_enabled()
}

/// The visit, with somebody who is asked, or nobody. A signal ends what is under way, in order; a second one leaves.
async fn visit(subject: &Subject, attended: bool, show: &dyn Fn(&Finding)) -> Result<(Vec<Finding>, bool), Report> {
    let mut signals = Signals::listen().map_err(Report::failure)?;
    let (person, mut asked) = if attended {
        let (person, asked) = Person::somebody(false);
        (person, Some(asked))
    } else {
        (Person::nobody(), None)
    };
    let examining = examine(subject, &person, show);
    tokio::pin!(examining);
    let mut interrupted = false;
    let findings = loop {
        tokio::select! {
            findings = &mut examining => break findings,
            () = answer(&mut asked) => {}
            () = signals.next() => {
                if std::mem::replace(&mut interrupted, true) {
                    return Err(left(subject));
                }
                terminal::print("ending what is under way; once more to leave at once");
                subject.stop.cancel();
                // Whoever asks is told that nobody answers.
                asked = None;
            }
        }
    };
    subject.tasks.close();
    drop(tokio::time::timeout(LINGER, subject.tasks.wait()).await);
    Ok((findings, interrupted))
}

fn left(subject: &Subject) -> Report {
    let hint = subject
        .deep
        .as_ref()
        .map(|_| "a job of the doctor's ends by itself within some minutes of its start".to_owned());
    Report { what: "left in the middle of the checks".to_owned(), hint, exit: Exit::Interrupted }
}

/// Answers questions, for as long as there are any. Dropped, it gives the terminal back.
async fn answer(asked: &mut Option<mpsc::Receiver<Question>>) {
    let Some(questions) = asked else { return std::future::pending().await };
    let mut prompter = None;
    while let Some(Question { form, mut answer }) = questions.recv().await {
        if prompter.is_none() {
            prompter = Prompter::new().ok();
        }
        let Some(prompter) = &mut prompter else { continue };
        tokio::select! {
            biased;
            // Who asked gave up on it.
            () = answer.closed() => {}
            answers = prompter.ask(&form) => {
                if let Some(answers) = answers {
                    drop(answer.send(answers));
                }
            }
        }
    }
    std::future::pending::<()>().await;
}
