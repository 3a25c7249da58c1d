//! An engine's life: how it starts, what it leaves behind, how it ends.

use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::args::EngineArgs;
use crate::listener::Listener;
use crate::report::say;
use crate::server;

/// What can go wrong in an engine's life; all of it ends the program.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Runs the engine until a signal, its own failure, or its appointed end.
pub(crate) async fn run(args: EngineArgs) -> Result<ExitCode, Fault> {
    // From the first moment on, or an early SIGTERM would not be counted.
    let mut terms = signal(SignalKind::terminate())?;
    let mut ignored = args.ignore_terms;
    for n in 0..args.log_lines {
        say(&format!("INFO test-engine: line {n}"));
    }
    start_children(&args)?;
    tokio::select! {
        () = start_up(&args) => {}
        () = last_term(&mut terms, &mut ignored) => return Ok(ExitCode::SUCCESS),
    }
    if let Some(text) = &args.fail {
        say(text);
        return Ok(ExitCode::from(args.exit));
    }
    let (listener, place) = Listener::bind(&args.endpoint()).await?;
    say(&format!("INFO test-engine: listening on http://{place}"));
    let appointed = async {
        match args.die_after {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let (app, exit) = (App::new(args.clone()), ExitCode::from(args.exit));
    let left = async {
        last_term(&mut terms, &mut ignored).await;
        if args.done_at_term {
            app.leaving().cancel();
            // Time to say it, as vLLM takes.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        served = server::serve(listener, app.clone()) => served.map(|()| ExitCode::SUCCESS).map_err(Fault::from),
        () = left => Ok(ExitCode::SUCCESS),
        () = appointed => {
            say("test-engine: dying, as appointed");
            Ok(exit)
        }
    }
}

/// What lasts until the engine listens.
async fn start_up(args: &EngineArgs) {
    if let Some(pause) = args.bar {
        for done in 0..=4 {
            bar(done);
            tokio::time::sleep(pause).await;
        }
        say("");
    }
    tokio::time::sleep(args.start_delay).await;
    while args.start_when.as_ref().is_some_and(|file| !file.exists()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A bar as tqdm writes it: the carriage return comes first, and only the last line has an end.
fn bar(done: u32) {
    let mut to = std::io::stderr().lock();
    let text = format!("\rLoading safetensors checkpoint shards: {:3}% Completed | {done}/4 [00:01<00:00]", done * 25);
    // Nobody is left to be told of a standard error that is closed.
    drop(to.write_all(text.as_bytes()).and_then(|()| to.flush()));
}

/// Waits for the SIGTERM that is obeyed.
async fn last_term(terms: &mut Signal, ignored: &mut u32) {
    while terms.recv().await.is_some() {
        if *ignored == 0 {
            say("test-engine: SIGTERM, leaving");
            return;
        }
        *ignored -= 1;
        say("test-engine: SIGTERM, ignored");
    }
}

fn start_children(args: &EngineArgs) -> Result<(), Fault> {
    let program = std::env::current_exe()?;
    for _ in 0..args.children {
        let mut command = if args.children_setsid {
            let mut setsid = Command::new("setsid");
            setsid.arg(&program);
            setsid
        } else {
            Command::new(&program)
        };
        command.arg("linger").stdin(Stdio::null());
        if args.children_ignore_term {
            command.arg("--ignore-term");
        }
        let child = command.spawn()?;
        say(&format!("INFO test-engine: child {}", child.id()));
    }
    Ok(())
}

/// A child's life: to be there.
pub(crate) async fn linger(ignore_term: bool) -> Result<ExitCode, Fault> {
    let mut terms = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = terms.recv() => {
                if !ignore_term {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            () = tokio::time::sleep(Duration::from_hours(1)) => {}
        }
    }
}
