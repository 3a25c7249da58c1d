//! An engine's life: how it starts, what it leaves behind, how it ends.

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::args::EngineArgs;
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
        () = tokio::time::sleep(args.start_delay) => {}
        () = last_term(&mut terms, &mut ignored) => return Ok(ExitCode::SUCCESS),
    }
    if let Some(text) = &args.fail {
        say(text);
        return Ok(ExitCode::from(args.exit));
    }
    let listener = TcpListener::bind((args.host.as_str(), args.port)).await?;
    say(&format!("INFO test-engine: listening on http://{}", listener.local_addr()?));
    let appointed = async {
        match args.die_after {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let exit = ExitCode::from(args.exit);
    tokio::select! {
        served = server::serve(listener, App::new(args.clone())) => served.map(|()| ExitCode::SUCCESS).map_err(Fault::from),
        () = last_term(&mut terms, &mut ignored) => Ok(ExitCode::SUCCESS),
        () = appointed => {
            say("test-engine: dying, as appointed");
            Ok(exit)
        }
    }
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
