//! Whether Slurm would take the job, asked of `srun --test-only`: nothing is queued.

use super::ask::ask;
use super::association::{self, Association, Refused};
use super::line::shell_line;
use super::suggestion::{Offer, better};
use super::{Finding, Subject};
use crate::backend;
use crate::host::{Host, Shell};
use crate::slurm::SrunArgs;

const CHECK: &str = "job";

/// Inside somebody's allocation these would make our job a step of it; what a site sets once for all jobs stays.
const FORGET_SLURM: &str = r"
for name in $(env | sed -n -e 's/^\(S[LRAB][A-Z]*_[A-Za-z0-9_]*\)=.*/\1/p'); do
  case $name in
    SLURM_CONF | SLURM_CLUSTERS | SLURM_ACCOUNT | SLURM_PARTITION | SLURM_QOS | SLURM_RESERVATION) ;;
    SLURM_CONSTRAINT | SLURM_TIMELIMIT | SLURM_WCKEY) ;;
    SLURM_* | SRUN_* | SALLOC_* | SBATCH_*) unset $name ;;
  esac
done
";

/// Asks.
pub(super) async fn check(subject: &Subject, host: &Host, args: &SrunArgs) -> Finding {
    let mut words = vec!["srun".to_owned()];
    words.extend_from_slice(args.words());
    words.extend(["--nodes=1", "--ntasks=1", "--test-only", "/bin/true"].map(str::to_owned));
    let script = format!("{FORGET_SLURM}\n{}", shell_line(&words));
    let said = match ask(host, subject.shell, &script).await {
        Ok(said) => said,
        Err(error) => return Finding::fail(CHECK, error.to_string()),
    };
    let words = said.stderr.lines().chain(said.stdout.lines()).map(|line| line.trim().trim_start_matches("srun: "));
    let words: Vec<&str> = words.filter(|line| !line.is_empty()).collect();
    if said.code == 0 {
        let told = words.iter().find(|line| line.contains(" to start at ")).or(words.last());
        return Finding::ok(CHECK, told.map_or_else(|| "Slurm would take it".to_owned(), |told| (*told).to_owned()));
    }
    let problem = words.join("; ");
    let finding = Finding::fail(CHECK, format!("Slurm would not take it: {problem}"));
    let offers = offers(subject.shell, host, args).await;
    let better = match (better(args.words(), &problem, &offers), Refused::by(&problem)) {
        _ if is_limit(&problem) => None,
        (None, Some(refused)) => {
            association::better(args.words(), refused, &associations(subject.shell, host, args).await)
        }
        (known, _) => known,
    };
    match better {
        Some(better) => finding
            .advice(format!("ask for {} instead", backend::redact(&shell_line(&better))))
            .again(&subject.typed.without("--srun-arg").with("--srun-args", &shell_line(&better))),
        None => finding.advice(advice(&problem, &offers)),
    }
}

/// The user's own limits: which of them, and how much would be within it, Slurm does not tell.
fn is_limit(problem: &str) -> bool {
    problem.to_ascii_lowercase().contains("violates accounting/qos policy")
}

/// What the user may have on this cluster; nothing where nobody tells.
async fn associations(shell: Shell, host: &Host, args: &SrunArgs) -> Vec<Association> {
    match ask(host, shell, association::ASK).await {
        Ok(said) => {
            let all = said.facts("may").filter_map(Association::parse).collect();
            Association::of_cluster(all, args.cluster().or_else(|| said.fact("cluster")))
        }
        Err(_) => Vec::new(),
    }
}

/// What Slurm has.
async fn offers(shell: Shell, host: &Host, args: &SrunArgs) -> Vec<Offer> {
    let mut words = vec!["sinfo".to_owned(), "--noheader".to_owned(), "--format=offer=%P|%a|%l|%m|%G".to_owned()];
    words.extend(args.cluster().map(|cluster| format!("--clusters={cluster}")));
    match ask(host, shell, &shell_line(&words)).await {
        Ok(said) => said.facts("offer").filter_map(Offer::parse).collect(),
        Err(_) => Vec::new(),
    }
}

fn advice(problem: &str, offers: &[Offer]) -> String {
    if is_limit(problem) {
        return "your limits there forbid it: ask for less (--time, --mem, --gres), end other jobs, or name another --qos or --account".to_owned();
    }
    if Refused::by(problem).is_some() {
        return "`sacctmgr show associations user=$USER format=account,partition,qos` on the host lists what you may use".to_owned();
    }
    if offers.is_empty() {
        return "Slurm cannot be asked from there: is this one of the cluster's login hosts, and do `sinfo` and `squeue` answer on it?".to_owned();
    }
    let mut seen: Vec<String> = offers.iter().map(Offer::words).collect();
    seen.dedup();
    format!("it has: {}", seen.join("; "))
}
