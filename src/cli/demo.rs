//! `demo`: the whole way on a machine that has nothing. The far end is played in this process; all else is `serve`.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Builder;

use super::announce::{self, say};
use super::signals::Signals;
use super::{DemoArgs, Exit, Report, first_try, serve, terminal};
use crate::app::{App, AppError, Opened};
use crate::config::format_duration;
use crate::demo::{self, FarEnd, Missing, TimeLine};

/// Where `serve` listens, too.
const USUAL_PORT: u16 = 8085;

/// What is asked.
const QUESTION: &str = "What is this?";

/// Runs `demo` to its end.
pub(super) fn run(args: &DemoArgs) -> Result<ExitCode, Report> {
    serve::trace(args.verbose, false);
    if let Some(Missing(what)) = demo::missing() {
        return Err(Report::failure(format!("this machine cannot play the cluster: {what} is not there")).hinted(
            "run the demonstration on Linux; `llm-proxy serve --login …` itself works from here, for only the far end \
             must be Linux",
        ));
    }
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Report::failure(format!("the program's threads cannot be started: {error}")))?;
    runtime.block_on(demonstrate(args))
}

async fn demonstrate(args: &DemoArgs) -> Result<ExitCode, Report> {
    let mut signals =
        Signals::listen().map_err(|error| Report::failure(format!("signals cannot be received: {error}")))?;
    let far_end =
        FarEnd::start().await.map_err(|error| Report::failure(error).hinted("set TMPDIR to another folder"))?;
    far_end.try_stand_ins().map_err(|error| {
        Report::failure(format!("programs in {} cannot be run: {error}", far_end.folder().display()))
            .hinted("set TMPDIR to a folder on a file system where programs may be run")
    })?;
    let (app, instance) = start(args, &far_end).await?;
    introduce(&app, &far_end);
    let announced = async {
        announce::follow(instance.watch(), instance.name().clone(), Some(demo::IDLE_TIMEOUT), true).await;
        // It ends with the instance, and the rest of the end comes after that.
        std::future::pending().await
    };
    let (code, shown) = tokio::select! {
        biased;
        never = announced => never,
        both = show_and_end((&app, &instance), &far_end, &mut signals, args.once) => both,
    };
    if code == ExitCode::SUCCESS {
        app.finish().await;
    }
    clean_up(far_end).await?;
    shown.map(|()| code)
}

/// Starts what `serve` starts.
async fn start(args: &DemoArgs, far_end: &FarEnd) -> Result<(App, Arc<Opened>), Report> {
    let program = program()?;
    let start = async |port| {
        let (settings, instance) = demo::app_settings(far_end, &program, port).map_err(Report::failure)?;
        Ok::<_, Report>(App::start_one(settings, instance).await)
    };
    match start(args.port.unwrap_or(USUAL_PORT)).await? {
        Err(AppError::Listen { source, .. }) if args.port.is_none() && source.kind() == ErrorKind::AddrInUse => {
            say(&format!("port {USUAL_PORT} is taken; taking a free one"));
            start(0).await?.map_err(|error| serve::report(&error))
        }
        started => started.map_err(|error| serve::report(&error)),
    }
}

/// This program, which is its own engine.
fn program() -> Result<PathBuf, Report> {
    let program = std::env::current_exe();
    let program = program.and_then(|program| program.metadata().map(|_| program));
    program.map_err(|error| {
        Report::failure(format!("this program's own file is not found: {error}"))
            .hinted("start it again: it was moved or replaced while it ran")
    })
}

fn introduce(app: &App, far_end: &FarEnd) {
    tell(&format!(
        "This is a demonstration: no cluster, no GPU, no model. An SSH login host inside this program, a stand-in for\n\
         srun behind it, and a tiny engine play the far end; everything else is what `llm-proxy serve` runs.\n\
         \n\
         listening on http://{}\n\
         all its files are in {}, which goes when this ends\n\
         \n\
         asking: {QUESTION}\n",
        app.address(),
        far_end.folder().display(),
    ));
}

/// Shows the one answer, goes on listening unless it is to end, and ends the instance in order.
async fn show_and_end(
    (app, instance): (&App, &Opened),
    far_end: &FarEnd,
    signals: &mut Signals,
    once: bool,
) -> (ExitCode, Result<(), Report>) {
    let shown = async {
        show(app, instance, far_end).await?;
        if !once {
            invite(app);
            std::future::pending::<()>().await;
        }
        Ok(())
    };
    let shown = tokio::select! {
        shown = shown => shown,
        () = signals.next() => {
            say("ending: no new requests; once more to hurry");
            Ok(())
        }
    };
    (serve::close(app, signals).await, shown)
}

/// Asks, prints each token as it comes, and then what happened when.
async fn show(app: &App, instance: &Opened, far_end: &FarEnd) -> Result<(), Report> {
    let mut snapshots = instance.watch();
    let mut line = TimeLine::begin(snapshots.borrow_and_update().clone());
    let mut answer = None;
    let told = {
        let asked = demo::ask(app.address(), QUESTION, |token| {
            answer.get_or_insert_with(Answer::begin);
            tell(token);
        });
        tokio::pin!(asked);
        loop {
            tokio::select! {
                biased;
                Ok(()) = snapshots.changed() => line.saw(&snapshots.borrow_and_update()),
                told = &mut asked => break told,
            }
        }
    };
    let told = told.map_err(|error| {
        Report::failure(format!("the demonstration failed: {error}")).hinted("run it again with -vv to see more of it")
    })?;
    if let Some(at) = far_end.login().first_login() {
        line.logged_in(at);
    }
    line.told(&told);
    tell(&format!("\n\n{line}"));
    drop(answer);
    Ok(())
}

/// An answer that is being printed, broken off or not: until it is dropped, no other line is in its way.
struct Answer(terminal::Held);

impl Answer {
    fn begin() -> Self {
        let held = terminal::hold();
        tell("\nanswer: ");
        Self(held)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        tell("\n");
    }
}

fn invite(app: &App) {
    tell(&format!(
        "It goes on listening. Try it from another terminal:\n\
         \n  \
           {}\n\
         \n\
         After {} without a request the engine is ended and its job given back; the next request starts another.\n\
         Ctrl-C ends all of it.\n",
        first_try::curl(app.address(), Some(demo::MODEL), false),
        format_duration(demo::IDLE_TIMEOUT),
    ));
}

/// To standard output, at once. A reader who has left must not keep us from ending in order.
fn tell(text: &str) {
    let mut out = std::io::stdout();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Nothing may be left, on this machine or of it.
async fn clean_up(far_end: FarEnd) -> Result<(), Report> {
    let folder = far_end.folder().to_owned();
    match far_end.end().await {
        Ok(0) => say(&format!("done: nothing is left running, and {} is gone", folder.display())),
        Ok(killed) => say(&format!("done: {killed} processes had to be killed, and {} is gone", folder.display())),
        Err(error) => {
            return Err(Report { exit: Exit::Failure, ..Report::failure(format!("something is left: {error}")) }
                .hinted(format!("end what is named, and remove {}", folder.display())));
        }
    }
    Ok(())
}
