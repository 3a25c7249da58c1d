//! What Slurm says of the jobs, all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::history::History;
use crate::support::{ChildGuard, Cluster, HostName};

/// Five looks a second, and the end of each marked. One that fails is none.
const LOOK: &str = "while :; do squeue -h -o '%i %T %j %N' 2>/dev/null && echo -; sleep 0.2; done";

/// Looks until it is told to stop, and notes what changed; two jobs of the one instance are a violation.
pub(crate) fn jobs(cluster: &Cluster, history: Arc<History>, stop: Arc<AtomicBool>) -> JoinHandle<()> {
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
                before = std::mem::take(&mut now);
            }
            sleep(Duration::from_millis(100)).await;
        }
    })
}
