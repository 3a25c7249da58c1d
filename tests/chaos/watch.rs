//! What Slurm says of the jobs, all the time, and whether each has somebody in it who would end it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::history::History;
use crate::support::{ChildGuard, Cluster, HostName};

/// Five looks a second, and the end of each marked. One that fails is none.
const LOOK: &str = "while :; do squeue -h -o '%i %T %j %N' 2>/dev/null && echo -; sleep 0.2; done";

/// How long a job may hold its node without its keeper, as while it begins, or until a proxy that is back has ended what
/// never began: a fault lasts 12 s, the proxy looks after 15 s more and gives a start 30 s, and Slurm has to be told.
const ALONE_FOR: Duration = Duration::from_secs(75);

/// The jobs that hold a node while no keeper of theirs runs: nothing but their walltime would end them.
struct Alone {
    /// Where each life has its folder on the cluster.
    lives: PathBuf,
    /// The one that was seen last, and since when.
    job: Option<(String, Instant)>,
    told: bool,
}

impl Alone {
    /// Takes in one look: lines of number, state and more.
    fn look(&mut self, jobs: &[String], history: &History) {
        let number = |job: &String| {
            let mut words = job.split_whitespace();
            let (number, state) = (words.next()?, words.next()?);
            let holds = matches!(state, "RUNNING" | "SUSPENDED" | "STOPPED");
            (holds && !keeper_runs(&self.lives, number)).then(|| number.to_owned())
        };
        let Some(job) = jobs.iter().find_map(number) else {
            if let Some((job, since)) = self.job.take()
                && since.elapsed() > Duration::from_secs(5)
            {
                history
                    .note("keeper", &format!("job {job} was without one for {:.1} s", since.elapsed().as_secs_f32()));
            }
            self.told = false;
            return;
        };
        let known = self.job.take().filter(|(known, _)| *known == job);
        let (job, since) = known.unwrap_or_else(|| (job, Instant::now()));
        if since.elapsed() > ALONE_FOR && !std::mem::replace(&mut self.told, true) {
            history.violation(&format!("job {job} has had no keeper for {} s", ALONE_FOR.as_secs()));
        }
        self.job = Some((job, since));
    }
}

/// Whether the process lives that said in some life's reports that it is this job's keeper. One that left a process of its
/// own behind is gone all the same.
fn keeper_runs(lives: &Path, job: &str) -> bool {
    let job = format!("job={job}");
    let says_hello = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let pid = words.iter().find_map(|word| word.strip_prefix("pid="));
        pid.filter(|_| words.contains(&"hello") && words.contains(&job.as_str())).map(str::to_owned)
    };
    let folders = std::fs::read_dir(lives).into_iter().flatten().flatten();
    let reports = folders.filter_map(|folder| std::fs::read_to_string(folder.path().join("reports")).ok());
    let mut pids = reports.filter_map(|reports| reports.lines().find_map(says_hello));
    // Its number may be another's by now.
    let is_keeper = |pid: String| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|argv| argv == KEEPER);
    pids.any(is_keeper)
}

/// The words of a keeper's process; one that has ended, and is not yet missed, has none.
const KEEPER: &[u8] = b"/bin/sh\0-s\0";

/// Looks until it is told to stop, and notes what changed; two jobs of the one instance are a violation, and so is one
/// without its keeper.
pub(crate) fn jobs(cluster: &Cluster, history: Arc<History>, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    let lives = cluster.home().join(".local/state/llm-proxy/lives");
    let mut alone = Alone { lives, job: None, told: false };
    let looks = ChildGuard::start("squeue", cluster.command(HostName::Login, "sh").args(["-c", LOOK]));
    tokio::spawn(async move {
        let (mut seen, mut now, mut before, mut told) = (0, Vec::new(), Vec::new(), false);
        while !stop.load(Ordering::SeqCst) {
            for line in looks.stdout().after(seen) {
                seen += 1;
                if line != "-" {
                    now.push(line);
                    continue;
                }
                if now != before {
                    history.note("squeue", &if now.is_empty() { "no job".to_owned() } else { now.join(" | ") });
                }
                let two = now.len() > 1;
                if two && !told {
                    history.violation(&format!("two jobs at the same time: {}", now.join(" | ")));
                }
                told = two;
                alone.look(&now, &history);
                before = std::mem::take(&mut now);
            }
            sleep(Duration::from_millis(100)).await;
        }
    })
}
