//! A profile of the engine while it runs: begun, ended, and its traces brought here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt, Empty, Limited};
use tokio::time::{sleep, timeout};

use super::desk::Desk;
use super::talk::{Talk, TalkError};
use crate::api::{Done, Failure, FailureKind, Progress, Reply};
use crate::backend::{Profiler, visible};
use crate::config::ProfileTool;
use crate::instance::{Hold, Permit, Phase};
use crate::launch::{Fetched, TraceMark, Traces};
use crate::route::UpstreamBody;

/// How long an engine may take to begin a profile.
const BEGIN_WITHIN: Duration = Duration::from_mins(2);

/// How long it may take to write its traces: those of a large model take minutes.
const WRITE_WITHIN: Duration = Duration::from_mins(30);

/// Of an engine's refusal, in bytes.
const REFUSAL: usize = 4096;

/// Why there is no profile.
enum Stop {
    /// The client left.
    Left,
    /// The talk broke.
    Talk(TalkError),
    /// It failed.
    Failed(Failure),
}

/// What a profile needs.
struct Session<'a> {
    desk: &'a Desk,
    profiler: &'static Profiler,
    traces: &'a Traces,
    permit: Permit,
}

/// Profiles for `length`, and brings the traces into the folder `into`. Nothing where the client left, which ends it.
pub(super) async fn profile(
    talk: &mut Talk,
    desk: &Desk,
    length: Duration,
    into: &Path,
) -> Result<Option<Reply>, TalkError> {
    match attempt(talk, desk, length, into).await {
        Ok(words) => Ok(Some(Reply::Done(Done { words }))),
        Err(Stop::Left) => Ok(None),
        Err(Stop::Talk(error)) => Err(error),
        Err(Stop::Failed(failure)) => Ok(Some(Reply::Failed(failure))),
    }
}

async fn attempt(talk: &mut Talk, desk: &Desk, length: Duration, into: &Path) -> Result<String, Stop> {
    let (profiler, traces) = desk.reach.borrow().profiler.clone().ok_or_else(|| off(desk))?;
    check_free(into).await?;
    // It is not idle, and its life is not over, while it is profiled.
    let permit = desk.handle.try_acquire(Hold::Inference).await.ok_or_else(|| not_ready(desk))?;
    let session = Session { desk, profiler, traces: &traces, permit };
    let mark = traces.mark(desk.handle.snapshot().job).await.map_err(failed)?;
    let outcome = session.run(talk, length, into, &mark).await;
    if outcome.is_err() {
        drop(traces.forget(&mark).await);
    }
    outcome
}

impl Session<'_> {
    async fn run(&self, talk: &mut Talk, length: Duration, into: &Path, mark: &TraceMark) -> Result<String, Stop> {
        self.ask(self.profiler.start, BEGIN_WITHIN).await?;
        let profiled = self.wait(talk, length).await;
        let told = tell(talk, "the profile is ended, and the engine writes its traces".to_owned()).await;
        // Whatever came in between: an engine that goes on being profiled is slow, and its memory fills.
        self.ask(self.profiler.stop, WRITE_WITHIN).await?;
        profiled.and(told)?;
        let part = Part::make(into).await?;
        let (news, mut heard) = tokio::sync::mpsc::unbounded_channel::<Fetched>();
        let fetching = self.traces.fetch(mark, &part.0, |file| drop(news.send(file.clone())));
        tokio::pin!(fetching);
        let fetched = loop {
            tokio::select! {
                biased;
                Some(file) = heard.recv() => tell(talk, format!("{} ({})", visible(&file.name), size(file.bytes))).await?,
                fetched = &mut fetching => break fetched.map_err(|error| self.kept(failed(error)))?,
                left = talk.hear::<serde_json::Value>() => return Err(left_or_broke(left)),
            }
        };
        if fetched.is_empty() {
            return Err(fault(
                "the engine wrote no trace",
                "send it requests while it is profiled, or ask for longer with --for",
            ));
        }
        part.finish(into).await?;
        let bytes = fetched.iter().map(|file| file.bytes).sum();
        let files = if fetched.len() == 1 { "file" } else { "files" };
        Ok(format!("{} {files} ({}) in {}", fetched.len(), size(bytes), into.display()))
    }

    /// Until the time is over, the client leaves, or the engine ends.
    async fn wait(&self, talk: &mut Talk, length: Duration) -> Result<(), Stop> {
        tell(talk, format!("profiled for {} s: send it requests", length.as_secs_f32())).await?;
        let mut snapshots = self.desk.handle.watch();
        let down =
            async { while snapshots.borrow_and_update().phase == Phase::Ready && snapshots.changed().await.is_ok() {} };
        tokio::select! {
            () = sleep(length) => Ok(()),
            () = down => Err(fault("the engine is being ended", "profile the next one for a shorter time")),
            left = talk.hear::<serde_json::Value>() => Err(left_or_broke(left)),
        }
    }

    /// Asks one of the engine's routes.
    async fn ask(&self, path: &'static str, within: Duration) -> Result<(), Stop> {
        let mut request = Request::new(UpstreamBody::new(Empty::new().map_err(|never| match never {})));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = http::Uri::from_static(path);
        let answered = async {
            let (head, body) = self.permit.upstream().send(request, None).await.map_err(failed)?.into_parts();
            let body = Limited::new(body, REFUSAL).collect().await.map(http_body_util::Collected::to_bytes);
            Ok((head.status, body.unwrap_or_default()))
        };
        let late = || fault(&format!("the engine did not answer {path} within {} s", within.as_secs()), LOG);
        let (status, body) = timeout(within, answered).await.map_err(|_| late())??;
        if status.is_success() {
            return Ok(());
        }
        let said = visible(&String::from_utf8_lossy(&body));
        let said = if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) };
        Err(fault(&format!("the engine answers {path} with {status}{said}"), LOG))
    }

    /// The traces themselves are not lost.
    fn kept(&self, stop: Stop) -> Stop {
        let Stop::Failed(failure) = stop else { return stop };
        let hint = format!("the traces are still in {} where the engine runs", self.traces.folder());
        Stop::Failed(Failure { hint: Some(hint), ..failure })
    }
}

const LOG: &str = "`llm-proxy logs` shows what the engine says";

/// A folder that is filled, under a name that nobody takes for the whole. What is not finished is removed.
struct Part(PathBuf);

impl Part {
    async fn make(into: &Path) -> Result<Self, Stop> {
        let mut name = into.file_name().unwrap_or_default().to_owned();
        name.push(format!(".part-{:08x}", getrandom::u32().map_err(failed)?));
        let folder = into.with_file_name(name);
        tokio::fs::create_dir_all(&folder).await.map_err(|error| cannot_write(into, &error))?;
        Ok(Self(folder))
    }

    async fn finish(&self, into: &Path) -> Result<(), Stop> {
        tokio::fs::rename(&self.0, into).await.map_err(|error| cannot_write(into, &error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Once it is finished there is nothing of this name.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Before anything is profiled: nobody wants to hear afterwards that the folder is taken.
async fn check_free(into: &Path) -> Result<(), Stop> {
    let taken = match tokio::fs::read_dir(into).await {
        Ok(mut entries) => entries.next_entry().await.map_err(|error| cannot_write(into, &error))?.is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(cannot_write(into, &error)),
    };
    if taken {
        return Err(fault(&format!("{} is there already", into.display()), "give another folder with -o"));
    }
    Ok(())
}

fn cannot_write(into: &Path, error: &std::io::Error) -> Stop {
    fault(&format!("{} cannot be written: {error}", into.display()), "give another folder with -o")
}

fn off(desk: &Desk) -> Stop {
    let name = desk.handle.name();
    match desk.reach.borrow().profiling.as_ref().map(|profiling| (profiling.tool, &profiling.output_dir)) {
        Some((tool @ (ProfileTool::Nsys | ProfileTool::Amd), folder)) => fault(
            &format!("{name} is profiled by {} from its start to its end", tool.word()),
            &format!("its report is in {folder} where it runs, once `llm-proxy stop {name}` ended it"),
        ),
        Some((ProfileTool::Pytorch, _)) | None => fault(
            &format!("{name} was not started with its profiler on"),
            "start `llm-proxy serve` with --profile pytorch, or with profile: {enabled: true, tool: pytorch} in its file",
        ),
    }
}

fn not_ready(desk: &Desk) -> Stop {
    let name = desk.handle.name();
    fault(&format!("the engine of {name} is not ready"), &format!("`llm-proxy start {name} --wait` starts it"))
}

fn fault(what: &str, hint: &str) -> Stop {
    Stop::Failed(Failure { kind: FailureKind::Failure, what: what.to_owned(), hint: Some(hint.to_owned()) })
}

fn failed(error: impl std::fmt::Display) -> Stop {
    Stop::Failed(Failure { kind: FailureKind::Failure, what: error.to_string(), hint: None })
}

fn left_or_broke(heard: Result<Option<serde_json::Value>, TalkError>) -> Stop {
    heard.map_or_else(Stop::Talk, |_| Stop::Left)
}

async fn tell(talk: &mut Talk, words: String) -> Result<(), Stop> {
    talk.say(&Reply::Progress(Progress { words })).await.map_err(|error| Stop::Talk(TalkError::Io(error)))
}

/// In the largest unit that leaves something before the point.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} bytes"),
    }
}
