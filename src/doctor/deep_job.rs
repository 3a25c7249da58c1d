//! A job of a minute at most: asked for, heard, and ended, whatever happens.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::time::{Instant, sleep, timeout};

use super::Subject;
use super::ask::ask;
use super::line::shell_line;
use super::programs::{program, surroundings};
use super::submission::FORGET_SLURM;
use crate::host::quote::quote_word;
use crate::host::{Address, Host, HostError, Shell};
use crate::id::InstanceName;
use crate::keeper::Nonce;
use crate::slurm::{JobName, SrunArgs, parse_squeue, scancel_argv, squeue_argv};

/// What the job does.
const JOB: &str = include_str!("deep_job.sh");

/// How long Slurm may take to make an ended job vanish from its queue: `KillWait`, an epilogue.
const GONE_WITHIN: Duration = Duration::from_mins(2);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How many bytes of the job's complaints are read.
const MOST_BYTES: u64 = 16 * 1024;

type Reader = BufReader<Box<dyn tokio::io::AsyncRead + Send + Unpin>>;

/// A short job that was asked for.
pub(super) struct DeepJob {
    /// What the job's words begin with, and what its port answers.
    pub(super) nonce: Nonce,
    /// A file that the job makes in the user's home, for as long as it runs.
    pub(super) file: String,
    lines: Lines<Reader>,
    stderr: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
}

impl DeepJob {
    /// Its name, which no other job has.
    ///
    /// # Errors
    /// No randomness.
    pub(super) fn new_name() -> Result<(JobName, Nonce), String> {
        let nonce = Nonce::random().map_err(|error| error.to_string())?;
        let instance = InstanceName::from_text(&format!("doctor-{}", nonce.as_str())).ok_or("no name")?;
        Ok((JobName::new("doctor", "deep", &instance), nonce))
    }

    /// Asks for it. It ends by itself within a minute of its start, and waits in the queue for a quarter of an hour at most,
    /// should we never be able to say so.
    ///
    /// # Errors
    /// The host cannot be reached.
    pub(super) async fn ask_for(
        subject: &Subject,
        host: &Host,
        args: &SrunArgs,
        (name, nonce): (JobName, Nonce),
        hubs: &[Address],
    ) -> Result<Self, String> {
        let file = format!(".{}", nonce.as_str());
        let mut words = vec!["srun".to_owned()];
        words.extend_from_slice(args.words());
        words.push(format!("--job-name={name}"));
        words.extend(["--nodes=1", "--ntasks=1", "--time=1", "--deadline=now+15minutes"].map(str::to_owned));
        words.extend(["/bin/sh", "-s"].map(str::to_owned));
        let script = format!("{FORGET_SLURM}\nexec {}\n", shell_line(&words));
        // On standard input and in no argument, for a prelude may name secrets.
        let job = job_script(subject, &nonce, &file, hubs)?;
        let failed = |error: HostError| error.to_string();
        let mut program = host.spawn(subject.shell).await.map_err(failed)?;
        let written = program.stdin.write_all(format!("{{ {script} }}\n{{\n{job}\nexit; }}\n").as_bytes()).await;
        written.map_err(|error| error.to_string())?;
        let lines = BufReader::new(program.stdout).lines();
        // Its standard input may close: nothing reads it.
        Ok(Self { nonce, file, lines, stderr: program.stderr })
    }

    /// The next thing that it says, as a name and a value; nothing at its end, or where it was cut off.
    pub(super) async fn next(&mut self) -> Option<(String, String)> {
        while let Ok(Some(line)) = self.lines.next_line().await {
            let said = line.strip_prefix(self.nonce.as_str()).and_then(|rest| rest.trim().split_once('='));
            if let Some((name, value)) = said {
                return Some((name.to_owned(), value.trim().to_owned()));
            }
        }
        None
    }

    /// What was complained about, once it has ended.
    pub(super) async fn complaints(&mut self) -> String {
        let mut heard = Vec::new();
        let mut bounded = (&mut self.stderr).take(MOST_BYTES);
        let _ = timeout(Duration::from_secs(5), bounded.read_to_end(&mut heard)).await;
        let text = String::from_utf8_lossy(&heard).into_owned();
        text.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("; ")
    }
}

/// Ends all jobs of this name, and looks until none is left; takes away what the job may have left in the user's home.
///
/// # Errors
/// Some may be left; in words.
pub(super) async fn end(
    host: &Host,
    shell: Shell,
    args: &SrunArgs,
    name: &JobName,
    nonce: &Nonce,
) -> Result<(), String> {
    let cancel = shell_line(&scancel_argv(name, args.cluster()));
    let look = shell_line(&squeue_argv(name, args.cluster()));
    let until = Instant::now() + GONE_WITHIN;
    let mut last = "it was not asked".to_owned();
    while Instant::now() < until {
        let _ = ask(host, shell, &cancel).await;
        match ask(host, shell, &look).await {
            Ok(said) => match parse_squeue(said.code, &said.stdout, &said.stderr) {
                Ok(jobs) if jobs.live.is_empty() => {
                    let file = format!("rm -f -- \"$HOME/.{}\"", nonce.as_str());
                    return ask(host, shell, &file).await.map(drop).map_err(|error| error.to_string());
                }
                Ok(_) => "it still ends".clone_into(&mut last),
                Err(error) => last = error.to_string(),
            },
            Err(error) => last = error.to_string(),
        }
        sleep(LOOK_AGAIN).await;
    }
    Err(format!("whether its job is gone is not known ({last}); run on the host: {cancel}"))
}

fn job_script(subject: &Subject, nonce: &Nonce, file: &str, hubs: &[Address]) -> Result<String, String> {
    let around = surroundings(subject)?;
    let program = program(subject).unwrap_or_default();
    let hubs: Vec<String> = hubs.iter().map(|hub| format!("{} {}", hub.host, hub.port)).collect();
    let word = |text: &str| quote_word(text).map_err(|error| error.to_string());
    Ok(format!(
        "NONCE={}\nFILE={}\nHUBS={}\nPROGRAM={}\nlook_for_command() {{\n{around}\n\
         COMMAND_PATH=$([ -z \"$PROGRAM\" ] || command -v \"$PROGRAM\")\n}}\n{JOB}",
        word(nonce.as_str())?,
        word(file)?,
        word(&hubs.join("\n"))?,
        word(&program)?,
    ))
}
