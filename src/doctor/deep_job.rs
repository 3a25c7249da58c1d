//! A job of a minute at most: a life like any other, whose engine is a small server that tells what it sees on its node.

use std::time::Duration;

use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::ask::ask;
use super::line::{shell_line, towards};
use super::programs::program;
use super::{Deep, Finding, Subject};
use crate::api::LogStream;
use crate::backend::Backend;
use crate::host::Host;
use crate::host::quote::Word;
use crate::id::InstanceName;
use crate::keeper::Nonce;
use crate::launch::{
    AskedBy, Binding, EngineKey, KeptLog, Lives, LogReader, News, NewsSender, Order, Orders, Place, Plan, RecordFile,
    Starter, Trial,
};
use crate::slurm::{JobName, SrunArgs, scancel_argv};

/// What the job does.
const JOB: &str = include_str!("deep_job.sh");

/// The variable in which it is given the word that begins its lines.
const WORD: &str = "LLM_PROXY_DOCTOR";

/// It ends by itself within some minutes of its start (Slurm looks at the clock twice a minute, and `OverTimeLimit` and `KillWait`
/// are the site's), and waits in the queue for a quarter of an hour at most, should we never be
/// able to say so.
const BOUNDS: [&str; 2] = ["--time=1", "--deadline=now+15minutes"];

/// How long its end may take to be verified: `KillWait`, an epilogue.
const GONE_WITHIN: Duration = Duration::from_mins(2);

/// From asked to end to killed: its server does not need to be asked twice.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// News that may wait to be read.
const NEWS_CAPACITY: usize = 16;

/// A short job that was asked for.
pub(super) struct DeepJob {
    /// What its words begin with, and what its server says.
    word: Nonce,
    name: JobName,
    cluster: Option<String>,
    orders: Orders,
    news: mpsc::Receiver<(u64, News)>,
    trials: Option<oneshot::Receiver<Vec<Trial>>>,
    log: LogReader,
    /// Its record and its log, for as long as it lives.
    _folder: TempDir,
}

/// What is heard of it.
pub(super) enum Told {
    /// How it moves on.
    News(News),
    /// A name and a value, from the node.
    Fact(String, String),
    /// What came of each route to it.
    Trials(Vec<Trial>),
}

impl DeepJob {
    /// Asks for it.
    ///
    /// # Errors
    /// No randomness, or no room for its record; in words.
    pub(super) fn start(subject: &Subject, host: &Host, args: &SrunArgs, deep: &Deep) -> Result<Self, String> {
        let word = Nonce::random().map_err(|error| error.to_string())?;
        let folder = tempfile::tempdir().map_err(|error| format!("its state cannot be kept: {error}"))?;
        let log = KeptLog::open(&folder.path().join("log"));
        let log = log.map_err(|error| format!("what it says cannot be kept: {error}"))?;
        let place = Place {
            host: host.clone(),
            host_name: subject.login.as_ref().map(|login| login.destination.clone()),
            login: subject.login.clone(),
            shell: subject.shell,
            record: RecordFile::new(folder.path()),
            log: log.clone(),
            routes: subject.routes.clone(),
        };
        let unique = InstanceName::from_text(&format!("doctor-{}", word.as_str())).ok_or("it cannot be named")?;
        let name = JobName::new("doctor", "deep", &unique);
        let plan = plan(subject, args, &name, &word, deep)?;
        let (news, told) = mpsc::channel(NEWS_CAPACITY);
        let (trials, tried) = oneshot::channel();
        let orders = Lives::new(place, plan, subject.tasks.clone()).try_routes(NewsSender::new(0, news), trials);
        Ok(Self {
            word,
            name,
            cluster: args.cluster().map(str::to_owned),
            orders,
            news: told,
            trials: Some(tried),
            log: LogReader::of(&log),
            _folder: folder,
        })
    }

    /// What its words begin with.
    pub(super) fn word(&self) -> &str {
        self.word.as_str()
    }

    /// The next thing that is heard of it. May be dropped while it waits: nothing is lost.
    pub(super) async fn next(&mut self) -> Told {
        loop {
            while let Ok(Some(line)) = self.log.next_line() {
                let (_, line) = LogStream::split(&line);
                let said = line.strip_prefix(self.word.as_str()).and_then(|rest| rest.trim().split_once('='));
                if let Some((name, value)) = said {
                    return Told::Fact(name.to_owned(), value.trim().to_owned());
                }
            }
            tokio::select! {
                // Nothing is told after the last news.
                news = self.news.recv() => return Told::News(news.map_or(News::Gone, |(_, news)| news)),
                trials = answered(&mut self.trials) => return Told::Trials(trials),
                () = self.log.grown() => {}
            }
        }
    }

    /// Ends it, wherever it is, and returns once it is verified gone; takes away what it may have left in the user's home.
    pub(super) async fn end(mut self, check: &'static str, subject: &Subject, host: &Host) -> Finding {
        // Where nobody takes orders any more, it is gone.
        self.orders.give(Order::End);
        self.trials = None;
        let gone = async {
            loop {
                if let Told::News(News::Gone) = self.next().await {
                    return;
                }
            }
        };
        if timeout(GONE_WITHIN, gone).await.is_err() {
            let cancel = shell_line(&scancel_argv(&self.name, self.cluster.as_deref()));
            let line = match &subject.login {
                Some(options) => towards("ssh", &[], options, &[&cancel]),
                None => cancel,
            };
            return Finding::fail(check, format!("whether {} is gone could not be learnt", self.name))
                .advice("it ends by itself within some minutes of its start; the line ends it now")
                .remedy(line);
        }
        match ask(host, subject.shell, &format!("rm -f -- \"$HOME/.{}\"", self.word())).await {
            Ok(_) => Finding::ok(check, "nothing of it is left"),
            Err(error) => Finding::warn(check, format!("~/.{} may be left on the host: {error}", self.word())),
        }
    }
}

/// The user's own plan but for what is run: in the same surroundings, on the same address, by the same routes.
fn plan(subject: &Subject, srun_args: &SrunArgs, name: &JobName, word: &Nonce, deep: &Deep) -> Result<Plan, String> {
    let hubs = deep.hubs.iter().flat_map(|hub| [hub.host.clone(), hub.port.to_string()]);
    let shell = ["/bin/sh", "-c", JOB, "doctor"].map(str::to_owned).into_iter();
    let argv: Vec<Word> = shell.chain([program(subject).unwrap_or_default()]).chain(hubs).map(Word::literal).collect();
    let mut plan = Plan {
        instance: InstanceName::from_text("doctor").ok_or("it cannot be named")?,
        starter: Starter::Slurm { asked_by: AskedBy::Srun, args: srun_args.with(&BOUNDS), job_name: name.clone() },
        backend: Backend::Custom,
        if_prohibited: subject.plan.if_prohibited.clone().map(|binding| Binding { argv: argv.clone(), ..binding }),
        argv,
        engine_key: EngineKey::OfClient,
        stop_timeout: STOP_TIMEOUT,
        profiling: None,
        model: None,
        ..subject.plan.clone()
    };
    plan.env.push((WORD.to_owned(), SecretString::from(word.as_str().to_owned())));
    Ok(plan)
}

/// The trials, once they were made.
async fn answered(trials: &mut Option<oneshot::Receiver<Vec<Trial>>>) -> Vec<Trial> {
    if let Some(waiting) = trials {
        let answer = waiting.await;
        *trials = None;
        if let Ok(answer) = answer {
            return answer;
        }
    }
    std::future::pending().await
}
