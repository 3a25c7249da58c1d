//! `serve`: listens, tells what it does, ends in order.

use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

use super::announce::{self, say};
use super::configured::{self, Chosen};
use super::engine_log::Lines;
use super::reload::{Files, Reload};
use super::served::{Described, Served};
use super::signals::Signals;
use super::terminal::{self, LogWriter};
use super::{Exit, Report, ServeArgs, detach, first_try, login, login_here};
use crate::app::{App, AppError};
use crate::control;
use crate::fleet::{FolderError, NotOurs};
use crate::launch::{self, RecordError};

/// How long those who wait may take to hear that it was for nothing.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs `serve` to its end.
pub(super) fn run(args: &ServeArgs) -> Result<ExitCode, Report> {
    // Nobody reads again what no file says.
    let files = args.config.is_some().then(|| Files::look(args));
    let chosen = configured::choose(args);
    let is_debug = |chosen: &Chosen| chosen.all.iter().any(|args| args.debug);
    trace(args.verbose, chosen.as_ref().map_or(args.debug, is_debug));
    let chosen = chosen?;
    let served = Served::resolve(args, &chosen)?;
    if args.detach && !args.dry_run {
        if !detach::is_background() {
            return detach::run(&served);
        }
        detach::leave_terminal(&served)?;
    }
    for warning in &served.warnings {
        say(&format!("warning: {warning}"));
    }
    if args.dry_run {
        return rehearse(&served);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build()
        .map_err(|error| Report::failure(format!("the program's threads cannot be started: {error}")))?;
    runtime.block_on(serve(args, files, served))
}

/// Half of the cores: the others are for the engine, where it runs here, and for whoever asks. One thread carries tens of
/// thousands of tokens a second, and what is handed from thread to thread costs more than what is not.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

async fn serve(args: &ServeArgs, files: Option<Files>, served: Served) -> Result<ExitCode, Report> {
    let mut signals =
        Signals::listen().map_err(|error| Report::failure(format!("signals cannot be received: {error}")))?;
    let mut reload = files.map(|files| Reload::new(args, files, &served, signals.reload_on_hangup()));
    let keyed = served.app.gateway.is_keyed();
    let model = served.some_model();
    let summaries: Vec<_> = served.all.iter().map(|one| summary(one, served.by_model)).collect();
    let alone = !served.by_model;
    let (settings, instances) = served.into_instances();
    let app = App::start(settings, instances).await.map_err(|error| report(&error))?;
    say(&format!("listening on http://{}", app.address()));
    for summary in &summaries {
        say(summary);
    }
    say(&format!("try: {}", first_try::curl(app.address(), model.as_deref(), keyed)));
    for note in app.notes() {
        say(note);
    }
    for warning in app.warnings() {
        say(&format!("warning: {warning}"));
    }
    let announced = announce::Tasks::default();
    let telling = async {
        loop {
            let opened = app.next_opened().await;
            announced.follow(&opened, alone);
        }
    };
    let outcome = tokio::select! {
        outcome = run_on(&app, &mut signals, reload.as_mut()) => outcome,
        never = telling => never,
    };
    if matches!(outcome, Ok(code) if code == ExitCode::SUCCESS) {
        announced.wait().await;
    }
    terminal::clear();
    match outcome {
        Ok(code) if code == ExitCode::SUCCESS => {
            let left = app.left();
            app.finish().await;
            say(&last_words(&left));
        }
        // Left at once.
        Ok(_) => {}
        Err(_) => app.finish().await,
    }
    outcome
}

/// What the first request starts.
pub(super) fn summary(one: &Described, by_model: bool) -> String {
    if by_model {
        format!("on the first request for {}: {}", one.settings.name, one.summary)
    } else {
        format!("on the first request: {}", one.summary)
    }
}

/// What is told as the last thing.
fn last_words(left: &[String]) -> String {
    if left.is_empty() {
        return "done: nothing is left running".to_owned();
    }
    let left: Vec<String> = left.iter().map(|left| format!("\n  left behind: {left}")).collect();
    let hint = "\n  hint: look there; what waits for a broken device ends with a restart of that machine";
    format!("done, but not all could be ended:{}{hint}", left.concat())
}

/// First the person here answers what the login host asks, if anybody sits here; then it runs until it is ended.
async fn run_on(app: &App, signals: &mut Signals, reload: Option<&mut Reload>) -> Result<ExitCode, Report> {
    if terminal::is_attended() {
        let logged_in = tokio::select! {
            logged_in = log_in(app) => logged_in,
            () = app.asked_to_end() => return Ok(close(app, signals).await),
            () = signals.next() => Err(login::left()),
        };
        if logged_in.is_err() {
            // Nothing runs there yet; but whoever came meanwhile is still told why not.
            app.close(true);
            drop(tokio::time::timeout(FAREWELL, app.closed()).await);
            return logged_in.map(|()| ExitCode::SUCCESS);
        }
    }
    let reloading = async {
        match reload {
            Some(reload) => reload.obey(app).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = signals.next() => say("ending: no new requests; once more to hurry"),
        () = app.asked_to_end() => say("ending, as `llm-proxy stop` asks: no new requests"),
        () = reloading => {}
    }
    Ok(close(app, signals).await)
}

/// Each host asks once, however many instances are reached by it.
async fn log_in(app: &App) -> Result<(), Report> {
    let all = app.opened();
    for instance in &all {
        if let Err(report) = login_here::log_in(instance).await {
            if all.len() == 1 {
                return Err(report);
            }
            // The others may have another host.
            say(&format!("warning: {}: {}", instance.name(), report.what));
        }
    }
    Ok(())
}

/// Prints what would be run, and where.
#[expect(clippy::print_stdout, reason = "what was asked for goes to standard output")]
fn rehearse(served: &Served) -> Result<ExitCode, Report> {
    println!("# Listens on {}.", served.app.listen);
    for Described { settings, .. } in &served.all {
        let host = settings.login.as_ref().map(|login| login.destination.as_str());
        let text = launch::rehearse(&settings.plan, host, settings.shell.command()).map_err(Report::usage)?;
        if served.by_model {
            println!("\n# {}", settings.name);
        }
        print!("{text}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends all in order; the next signal hurries, the one after that does not wait.
pub(super) async fn close(app: &App, signals: &mut Signals) -> ExitCode {
    app.close(false);
    tokio::select! {
        () = app.closed() => return ExitCode::SUCCESS,
        () = signals.next() => {}
        () = app.asked_to_hurry() => {}
    }
    say("hurrying: ending the engine by force; once more to leave at once");
    app.close(true);
    tokio::select! {
        () = app.closed() => ExitCode::SUCCESS,
        () = signals.next() => {
            say("left at once: the engine may run on until its lease ends");
            Exit::Interrupted.into()
        }
    }
}

/// A start that failed, and what to do.
pub(super) fn report(error: &AppError) -> Report {
    let report = Report::failure(error);
    match error {
        AppError::Ssh(error) => control::failure(error).into(),
        AppError::Folder(error) => folder_report(error),
        AppError::Record(error) => report.hinted(record_hint(error)),
        AppError::Listen { .. } => report.hinted("choose another --port, or 0 for a free one"),
    }
}

/// What to do about a record that cannot be used. It is never written over: it may be the only trace of a job.
fn record_hint(error: &RecordError) -> &'static str {
    match error {
        RecordError::Io { .. } => "make it readable; it may be the only trace of a job",
        RecordError::Version { .. } => {
            "use that version, or see with `squeue --me` that its job is gone, and then remove the file"
        }
        RecordError::Form { .. } => "see with `squeue --me` that no job of it is left, and then remove the file",
    }
}

/// A state folder that cannot be held, and what to do.
pub(super) fn folder_report(error: &FolderError) -> Report {
    Report::failure(error).hinted(match error {
        FolderError::Held { .. } => "use the one that runs, or give this one another --name",
        FolderError::NotOurs { fault: NotOurs::Link, .. } => {
            "remove the link; where the state is to lie elsewhere, set XDG_STATE_HOME"
        }
        FolderError::NotOurs { fault: NotOurs::Owner { .. }, .. } => {
            "give this one another --name, or set XDG_STATE_HOME to a folder of your own"
        }
        FolderError::Io { .. } => "make it writable, or set XDG_STATE_HOME",
    })
}

/// The log on standard error: warnings; with `-v` the engine's own lines, with `-vv` what this program decides; with
/// `debug` the account of each end.
pub(super) fn trace(verbose: u8, debug: bool) {
    let default = match verbose {
        0 => "warn",
        1 => "warn,engine=info",
        2 => "info,llm_proxy=debug,engine=info",
        _ => "debug,engine=info",
    };
    let filter = EnvFilter::try_from_env("LLM_PROXY_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let filter = match "account=info".parse() {
        Ok(directive) if debug => filter.add_directive(directive),
        Ok(_) | Err(_) => filter,
    };
    let lines = tracing_subscriber::fmt().with_ansi(false).event_format(Lines::default()).with_writer(LogWriter);
    // Fails only where a subscriber is set already, as in a test.
    drop(lines.with_env_filter(filter).try_init());
}
