//! What an engine's own profiler wrote, brought to this machine over the connection that there is.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::{Place, Plan, Starter};
use crate::host::{Host, HostError, Shell};
use crate::id::JobId;
use crate::keeper::{self, Chdir, Nonce, ScriptError, TraceStep};
use crate::slurm;

/// How long nothing may come: a step of a job has to start, and a network disk may be slow.
const SILENCE: Duration = Duration::from_mins(2);

/// The longest line, and how much a host may print before our own words, in bytes.
const LONGEST_LINE: u64 = 16 * 1024;

/// Lines that a host may print before our own words.
const NOISE_LINES: usize = 1000;

/// Of the words of a script that fails, in bytes.
const LAST_WORDS: u64 = 2000;

/// Traces cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The script cannot be written.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// No random bytes.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// A file of this machine.
    #[error("{path} cannot be written: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The job is not known.
    #[error("the engine's job is not known")]
    NoJob,
    /// The script says something else, or ends early.
    #[error("the folder of the traces cannot be read where the engine runs{0}")]
    Unreadable(String),
    /// It says nothing.
    #[error("nothing came for {} s from where the engine runs", SILENCE.as_secs())]
    Silent,
    /// A name that leads out of the folder.
    #[error("{0:?} is not the name of a trace")]
    Name(String),
}

/// Where an engine writes its traces, and how they are reached.
#[derive(Clone, Debug)]
pub struct Traces {
    host: Host,
    shell: Shell,
    starter: Starter,
    chdir: Chdir,
    folder: String,
}

/// A moment, after which traces are written.
#[derive(Debug)]
pub struct TraceMark {
    nonce: Nonce,
    launcher: Vec<String>,
}

/// A file that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its name, with folders.
    pub name: String,
    /// Its length, in bytes.
    pub bytes: u64,
}

type Output = BufReader<Box<dyn AsyncRead + Send + Unpin>>;

/// A script that runs.
struct Running {
    output: Output,
    errors: Box<dyn AsyncRead + Send + Unpin>,
    _input: Box<dyn tokio::io::AsyncWrite + Send + Unpin>,
}

impl Traces {
    /// Of an engine that is started by this plan in this place, if it profiles itself.
    #[must_use]
    pub fn of(place: &Place, plan: &Plan) -> Option<Self> {
        let profiling = plan.profiling.as_ref().filter(|profiling| profiling.routes(plan.backend).is_some())?;
        Some(Self {
            host: place.host.clone(),
            shell: place.shell,
            starter: plan.starter.clone(),
            chdir: plan.chdir.clone(),
            folder: profiling.output_dir.clone(),
        })
    }

    /// The folder, as the user calls it.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Notes the moment. `job` is the engine's, if it runs in one.
    ///
    /// # Errors
    /// See [`TracesError`].
    pub async fn mark(&self, job: Option<JobId>) -> Result<TraceMark, TracesError> {
        let launcher = match &self.starter {
            Starter::Process => Vec::new(),
            // The machine that the engine writes to may share no folder with the host.
            Starter::Slurm { args, .. } => slurm::step_argv(args, job.ok_or(TracesError::NoJob)?),
        };
        let mark = TraceMark { nonce: Nonce::random()?, launcher };
        let mut running = self.run(TraceStep::Mark, &mark).await?;
        running.expect(&format!("{} marked", mark.nonce.as_str())).await?;
        Ok(mark)
    }

    /// Brings what was written since `mark` into the folder `into`, which is there; tells of each file as it comes.
    ///
    /// # Errors
    /// See [`TracesError`]. What is in the folder then may be a part.
    pub async fn fetch(
        &self,
        mark: &TraceMark,
        into: &Path,
        mut tell: impl FnMut(&Fetched),
    ) -> Result<Vec<Fetched>, TracesError> {
        let mut running = self.run(TraceStep::Send, mark).await?;
        running.expect(&format!("{} begin", mark.nonce.as_str())).await?;
        let mut fetched = Vec::new();
        loop {
            let line = running.line().await?;
            let Some(said) = line.strip_prefix(mark.nonce.as_str()) else { return Err(running.unreadable().await) };
            if said == " end" {
                return Ok(fetched);
            }
            let file = said.strip_prefix(" file ").and_then(|said| said.split_once(' '));
            let Some((Ok(bytes), name)) = file.map(|(bytes, name)| (bytes.parse(), name)) else {
                return Err(running.unreadable().await);
            };
            let file = Fetched { name: name.to_owned(), bytes };
            tell(&file);
            write(&mut running.output, &inside(into, name)?, bytes).await?;
            fetched.push(file);
        }
    }

    /// Leaves nothing of a mark behind.
    ///
    /// # Errors
    /// See [`TracesError`].
    pub async fn forget(&self, mark: &TraceMark) -> Result<(), TracesError> {
        let mut running = self.run(TraceStep::Forget, mark).await?;
        let mut nowhere = tokio::io::sink();
        let ended = tokio::io::copy(&mut running.output, &mut nowhere);
        timeout(SILENCE, ended).await.map_err(|_| TracesError::Silent)?.map_err(HostError::Io)?;
        Ok(())
    }

    async fn run(&self, step: TraceStep, mark: &TraceMark) -> Result<Running, TracesError> {
        let script = keeper::traces(step, &mark.launcher, &self.chdir, &self.folder, &mark.nonce)?;
        let mut program = self.host.spawn(self.shell).await?;
        program.give(script.expose()).await.map_err(HostError::Io)?;
        Ok(Running { output: BufReader::new(program.stdout), errors: program.stderr, _input: program.stdin })
    }
}

impl Running {
    /// A line, without its end.
    async fn line(&mut self) -> Result<String, TracesError> {
        match timeout(SILENCE, line(&mut self.output)).await.map_err(|_| TracesError::Silent)? {
            Ok(Some(line)) => Ok(line),
            Ok(None) | Err(_) => Err(self.unreadable().await),
        }
    }

    /// Reads up to this line, whatever the host prints before it.
    async fn expect(&mut self, expected: &str) -> Result<(), TracesError> {
        for _ in 0..NOISE_LINES {
            if self.line().await? == expected {
                return Ok(());
            }
        }
        Err(self.unreadable().await)
    }

    /// With what was said last.
    async fn unreadable(&mut self) -> TracesError {
        let mut said = Vec::new();
        let mut errors = (&mut self.errors).take(LAST_WORDS);
        drop(timeout(Duration::from_secs(1), errors.read_to_end(&mut said)).await);
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        TracesError::Unreadable(last.map(|last| format!(": {last}")).unwrap_or_default())
    }
}

async fn line(output: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    output.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    Ok((line.pop() == Some(b'\n')).then(|| String::from_utf8_lossy(&line).into_owned()))
}

/// The place of a file in the folder, and never out of it.
fn inside(folder: &Path, name: &str) -> Result<PathBuf, TracesError> {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let visible = !name.is_empty() && !name.chars().any(char::is_control);
    if plain && visible { Ok(folder.join(name)) } else { Err(TracesError::Name(name.to_owned())) }
}

/// Exactly so many bytes.
async fn write(output: &mut Output, path: &Path, bytes: u64) -> Result<(), TracesError> {
    let fault = |source| TracesError::Write { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(fault)?;
    }
    let mut file = File::create_new(path).await.map_err(fault)?;
    let mut left = bytes;
    while left > 0 {
        let piece = timeout(SILENCE, output.fill_buf()).await.map_err(|_| TracesError::Silent)?;
        let piece = piece.map_err(HostError::Io)?;
        let length = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if length == 0 {
            return Err(TracesError::Unreadable(": it broke off".to_owned()));
        }
        file.write_all(piece.get(..length).unwrap_or_default()).await.map_err(fault)?;
        output.consume(length);
        left -= length as u64;
    }
    file.flush().await.map_err(fault)?;
    file.sync_all().await.map_err(fault)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;

    use test_case::test_case;

    use super::*;
    use crate::host::LocalHost;

    /// Of a folder of this machine.
    fn traces(folder: &Path) -> Traces {
        Traces {
            host: Host::Local(LocalHost),
            shell: Shell::Posix,
            starter: Starter::Process,
            chdir: Chdir::Folder(folder.display().to_string()),
            folder: "traces".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_was_there_before_stays_there_and_what_is_new_comes_whole() {
        let (far, near) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = far.path().join("traces");
        fs::create_dir_all(folder.join("a b")).unwrap();
        fs::write(folder.join("old"), "old").unwrap();
        let traces = traces(far.path());
        let mark = traces.mark(None).await.unwrap();
        let new = [("a b/it's", b"one\n\0".as_slice()), ("empty", b""), ("no end", b"two")];
        for (name, text) in new {
            fs::write(folder.join(name), text).unwrap();
        }
        let mut told = Vec::new();
        let mut fetched = traces.fetch(&mark, near.path(), |file| told.push(file.clone())).await.unwrap();
        assert_eq!(told, fetched);
        fetched.sort_by(|a, b| a.name.cmp(&b.name));
        let expected = new.map(|(name, text)| Fetched { name: name.to_owned(), bytes: text.len() as u64 });
        assert_eq!(fetched, expected);
        for (name, text) in new {
            assert_eq!(fs::read(near.path().join(name)).unwrap(), text, "{name}");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 4, "the mark is gone");
        let gone = traces.fetch(&mark, near.path(), |_| {}).await.unwrap_err();
        assert_eq!(gone.to_string(), "the folder of the traces cannot be read where the engine runs");
    }

    #[tokio::test]
    async fn a_mark_can_be_given_up_and_a_folder_that_is_not_there_is_named() {
        let far = tempfile::tempdir().unwrap();
        let missing = traces(far.path()).mark(None).await.unwrap_err().to_string();
        assert!(missing.starts_with("the folder of the traces cannot be read where the engine runs: "), "{missing}");
        assert!(missing.contains("traces"), "{missing}");
        fs::create_dir(far.path().join("traces")).unwrap();
        let mark = traces(far.path()).mark(None).await.unwrap();
        assert_eq!(fs::read_dir(far.path().join("traces")).unwrap().count(), 1);
        traces(far.path()).forget(&mark).await.unwrap();
        assert_eq!(fs::read_dir(far.path().join("traces")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_trace_that_breaks_off_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let cut: Box<dyn AsyncRead + Send + Unpin> = Box::new(b"half".as_slice());
        let error = write(&mut BufReader::new(cut), &folder.path().join("trace"), 8).await.unwrap_err();
        assert!(error.to_string().ends_with("it broke off"), "{error}");
    }

    #[test_case("../trace", false)]
    #[test_case("/etc/passwd", false)]
    #[test_case("a/../../b", false)]
    #[test_case("", false; "empty")]
    #[test_case("a\u{1b}[2J", false; "one that commands a terminal")]
    #[test_case("a/b c.json.gz", true)]
    fn no_name_leads_out_of_the_folder(name: &str, fits: bool) {
        assert_eq!(inside(Path::new("/here"), name).is_ok(), fits);
    }
}
