//! `serve --detach`: the same program in the background, let in by its host before this one ends.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::announce::say;
use super::served::Served;
use super::signals::Signals;
use super::{Exit, Report, first_try, instances, login, serve, terminal};
use crate::api::{Ask, Status};
use crate::control::{Client, ClientError, Known};
use crate::fleet::StateFolder;
use crate::launch::KeptLog;

/// Tells the program in the background that it is the one. Variables of this kind never reach an engine.
const MARK: &str = "LLM_PROXY_DETACHED";

/// What the program in the background says, in its state folder.
const SERVE_LOG: &str = "serve.log";

/// How long it may take to listen.
const START_WITHIN: Duration = Duration::from_mins(1);

/// Bytes of its first words that are told here.
const LONGEST_WORDS: u64 = 64 * 1024;

/// Between two looks whether it does.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long a proxy that was told to end may take.
const END_WITHIN: Duration = Duration::from_secs(30);

/// Whether this is the program in the background.
pub(super) fn is_background() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Leaves the terminal behind: its end must not be ours. What is said from now on is kept in bounds.
pub(super) fn leave_terminal(served: &Served) -> Result<(), Report> {
    // Fails only for the leader of a group, which has a session of its own already or none that could end.
    let _ = nix::unistd::setsid();
    let instance = instances_of(served).next().ok_or_else(|| Report::failure("there is nothing to serve"))?;
    let log = KeptLog::open(&instance.folder.join(SERVE_LOG)).map_err(Report::failure)?;
    terminal::keep_in(log);
    Ok(())
}

/// Starts the program in the background, answers here what its host asks, and leaves it alone.
pub(super) fn run(served: &Served) -> Result<ExitCode, Report> {
    instances::run(detach(served))
}

async fn detach(served: &Served) -> Result<ExitCode, Report> {
    let mut signals = Signals::listen().map_err(Report::failure)?;
    for instance in instances_of(served) {
        if let Ok(status) = instances::status(&instance).await {
            let (name, pid) = (&instance.name, status.pid.unwrap_or_default());
            return Err(Report::failure(format!("an instance named {name} already runs here (process {pid})"))
                .hinted("use the one that runs, or give this one another --name"));
        }
    }
    let instance = instances_of(served).next().ok_or_else(|| Report::failure("there is nothing to serve"))?;
    let mut background = Background::start(&instance)?;
    let status = tokio::select! {
        status = background.listening(&instance) => match status {
            Ok(Ok(status)) => status,
            Ok(Err(ended)) => return Ok(background.told(ended)),
            Err(report) => {
                background.give_up();
                return Err(report);
            }
        },
        () = signals.next() => {
            background.give_up();
            return Err(login::left());
        }
    };
    if terminal::is_attended() {
        let logged_in = tokio::select! {
            logged_in = log_in(served) => logged_in,
            () = signals.next() => Err(login::left()),
        };
        if let Err(report) = logged_in {
            if report.exit == Exit::Failure {
                say(&format!("warning: {}; the first request tries again", report.what));
            } else {
                end(&instance).await;
                return Err(report);
            }
        }
    }
    background.tell_warnings();
    introduce(&status, served, &background.log);
    Ok(ExitCode::SUCCESS)
}

/// The instances, as their sockets know them.
fn instances_of(served: &Served) -> impl Iterator<Item = Known> {
    served.all.iter().map(|one| Known::named(&served.app.state_root, one.settings.name.clone()))
}

async fn log_in(served: &Served) -> Result<(), Report> {
    for (one, instance) in served.all.iter().zip(instances_of(served)) {
        if one.settings.login.is_some() {
            let mut client = instances::ask(&instance, Ask::Login { remember: false }).await?;
            let words = login::converse(&mut client).await?;
            say(&words);
        }
    }
    Ok(())
}

/// A proxy that nobody lets in is of no use.
async fn end(instance: &Known) {
    let ending = async {
        // It ends all the same where it does not answer any more.
        drop(Client::ask(instance, Ask::Stop { hurry: true, serve: true }).await);
        instance.ended().await;
    };
    if tokio::time::timeout(END_WITHIN, ending).await.is_err() {
        say(&format!("the program in the background does not end: `llm-proxy stop {} --serve`", instance.name));
    }
}

fn introduce(status: &Status, served: &Served, log: &Path) {
    let name = &status.name;
    let url = status.url.clone().unwrap_or_default();
    say(&format!("{name} listens on {url}, in the background (process {})", status.pid.unwrap_or_default()));
    for one in &served.all {
        say(&serve::summary(one, served.by_model));
    }
    if let Some(Ok(address)) = url.strip_prefix("http://").map(str::parse) {
        let keyed = served.app.gateway.is_keyed();
        say(&format!("try: {}", first_try::curl(address, served.some_model().as_deref(), keyed)));
    }
    say(&format!("see it: `llm-proxy status {name}`, `llm-proxy logs -f {name}`; what it says: {}", log.display()));
    say(&format!("end its engine: `llm-proxy stop {name}`; end it as well: `llm-proxy stop {name} --serve`"));
}

/// The program in the background, while this one still looks after it.
struct Background {
    child: Child,
    log: PathBuf,
    /// Where its own words begin.
    from: u64,
}

impl Background {
    /// The same words and surroundings: nothing is added but the mark.
    fn start(instance: &Known) -> Result<Self, Report> {
        let log = instance.folder.join(SERVE_LOG);
        let failed = |error: std::io::Error| {
            Report::failure(format!("the program cannot be started in the background: {error}"))
                .hinted("leave out --detach")
        };
        let root = instance.folder.parent().unwrap_or(&instance.folder);
        StateFolder::make(root, &instance.name).map_err(|error| serve::folder_report(&error))?;
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&log).map_err(failed)?;
        let from = file.metadata().map_err(failed)?.len();
        let child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(std::env::args_os().skip(1))
            .env(MARK, "1")
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(failed)?)
            .stderr(file)
            .spawn()
            .map_err(failed)?;
        Ok(Self { child, log, from })
    }

    /// Where it stands, once it listens; or how it ended.
    async fn listening(&mut self, instance: &Known) -> Result<Result<Status, ExitStatus>, Report> {
        let looking = async {
            loop {
                if let Some(ended) = self.child.try_wait().map_err(Report::failure)? {
                    return Ok(Err(ended));
                }
                match instances::status(instance).await {
                    Ok(status) if status.pid == Some(self.child.id()) => return Ok(Ok(status)),
                    Ok(_) | Err(ClientError::NotRunning(_)) => tokio::time::sleep(LOOK_AGAIN).await,
                    Err(error) => return Err(Report::failure(error)),
                }
            }
        };
        let late =
            || Report::failure(format!("the program in the background says nothing; see {}", self.log.display()));
        match tokio::time::timeout(START_WITHIN, looking).await {
            Ok(looked) => looked,
            Err(_) => Err(late()),
        }
    }

    /// Tells it to end: nobody would know of it. In order, for it may have begun to serve, and so have an engine.
    fn give_up(&self) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
    }

    /// Tells what it said before it ended.
    fn told(&self, ended: ExitStatus) -> ExitCode {
        terminal::print(&self.words());
        say(&format!("the program in the background ended: {ended}"));
        ended.code().and_then(|code| u8::try_from(code).ok()).map_or(Exit::Failure.into(), ExitCode::from)
    }

    fn tell_warnings(&self) {
        self.words().lines().filter(|line| line.starts_with("llm-proxy: warning: ")).for_each(terminal::print);
    }

    fn words(&self) -> String {
        let read = || {
            let mut file = File::open(&self.log)?;
            let mut words = Vec::new();
            file.seek(SeekFrom::Start(self.from))?;
            file.take(LONGEST_WORDS).read_to_end(&mut words)?;
            Ok::<_, std::io::Error>(words)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }
}
