//! What only a job on a node can tell.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::ask::ask;
use super::deep_job::{DeepJob, end};
use super::forwarding::not_direct;
use super::{Deep, Finding, Subject};
use crate::host::{Address, Host};
use crate::route::Wish;
use crate::slurm::SrunArgs;

const JOB: &str = "short job";
const PORT: &str = "node's port";
const HOME: &str = "shared home";
const GPU: &str = "gpu";
const HUB: &str = "node's network";
const COMMAND: &str = "command on the node";
const END: &str = "end of the job";

/// How long the job may wait in the queue.
const QUEUE_PATIENCE: Duration = Duration::from_mins(5);

/// How long it may run: its time limit, and what Slurm takes to enforce that.
const RUN_PATIENCE: Duration = Duration::from_secs(100);

/// How long a channel to a node may take to open.
const DIAL_PATIENCE: Duration = Duration::from_secs(15);

/// How often the login host looks for a file of the node: a shared file system may remember for some seconds that there was
/// none.
const LOOKS: u32 = 10;

/// Runs the job, and sees to its end whatever becomes of it.
pub(super) async fn check(subject: &Subject, host: &Host, args: &SrunArgs, deep: &Deep) -> Vec<Finding> {
    let names = match DeepJob::new_name() {
        Ok(names) => names,
        Err(problem) => return vec![Finding::fail(JOB, problem)],
    };
    let (name, nonce) = names.clone();
    let mut findings = Vec::new();
    let visit = async {
        match DeepJob::ask_for(subject, host, args, names, &deep.hubs).await {
            Ok(job) => listen(subject, host, job, &mut findings).await,
            Err(problem) => findings.push(Finding::fail(JOB, problem)),
        }
    };
    if subject.stop.run_until_cancelled(visit).await.is_none() {
        findings.push(Finding::skipped(JOB, "interrupted"));
    }
    findings.push(match end(host, subject.shell, args, &name, &nonce).await {
        Ok(()) => Finding::ok(END, "nothing of it is left"),
        Err(problem) => Finding::fail(END, problem),
    });
    findings
}

/// Hears what the job says, and does our part.
async fn listen(subject: &Subject, host: &Host, mut job: DeepJob, findings: &mut Vec<Finding>) {
    let asked = Instant::now();
    let node = match timeout(QUEUE_PATIENCE, job.next()).await {
        Ok(Some((_, node))) => node,
        Ok(None) => {
            let words = job.complaints().await;
            findings.push(Finding::fail(JOB, format!("it did not run: {words}")));
            return;
        }
        Err(_) => {
            let waited = format!("it did not start within {} min", QUEUE_PATIENCE.as_secs() / 60);
            findings
                .push(Finding::warn(JOB, waited).advice("the queue is long: try again later, or another partition"));
            return;
        }
    };
    findings.push(Finding::ok(JOB, format!("it ran on {node} after {} s", asked.elapsed().as_secs())));
    let until = Instant::now() + RUN_PATIENCE;
    let (mut gpus, mut hubs) = (Vec::new(), Vec::new());
    while let Ok(Some((name, value))) = timeout_at(until, job.next()).await {
        match name.as_str() {
            "home" => findings.push(shared_home(subject, host, &job, &value).await),
            "gpu" => gpus.push(value),
            "no-gpu-program" => findings.push(no_gpu_program(args_ask_for_gpu(subject))),
            "hub" => hubs.push(value),
            "command" if subject.has_command => findings.push(command(&value)),
            "port" => {
                findings.extend(gpu(&gpus));
                findings.extend(hub(&hubs));
                findings.push(port(host, subject.plan.route, &job, &node, &value).await);
            }
            _ => {}
        }
    }
}

fn args_ask_for_gpu(subject: &Subject) -> bool {
    subject.plan.starter.argv().iter().any(|word| word.contains("gpu"))
}

fn no_gpu_program(asked_for: bool) -> Finding {
    if asked_for {
        Finding::warn(GPU, "there is no nvidia-smi on the node, so its GPU was not seen")
    } else {
        Finding::ok(GPU, "none was asked for")
    }
}

fn gpu(gpus: &[String]) -> Option<Finding> {
    let first = gpus.first()?;
    Some(if gpus.iter().any(|line| line.starts_with("GPU ")) {
        Finding::ok(GPU, gpus.join("; "))
    } else {
        Finding::warn(GPU, format!("nvidia-smi says: {first}")).advice("ask for a GPU: --srun-args '--gres=gpu:1'")
    })
}

fn hub(hubs: &[String]) -> Option<Finding> {
    let parted = |line: &str| {
        let mut fields = line.splitn(3, ' ').map(str::to_owned);
        Some((format!("{}:{}", fields.next()?, fields.next()?), fields.next().unwrap_or_default()))
    };
    let (reached, missed): (Vec<_>, Vec<_>) =
        hubs.iter().filter_map(|line| parted(line)).partition(|(_, words)| words == "yes");
    if missed.is_empty() {
        let names: Vec<String> = reached.into_iter().map(|(name, _)| name).collect();
        return (!names.is_empty()).then(|| Finding::ok(HUB, format!("the node reaches {}", names.join(", "))));
    }
    let words: Vec<String> = missed.iter().map(|(name, words)| format!("{name} ({words})")).collect();
    Some(
        Finding::warn(HUB, format!("the node does not reach {}", words.join(", "))).advice(
            "fetch models and packages beforehand, on the login host: `uvx hf download MODEL` (or `huggingface-cli download \
             MODEL`), and start the engine with --env HF_HUB_OFFLINE=1",
        ),
    )
}

fn command(path: &str) -> Finding {
    if path.is_empty() {
        Finding::fail(COMMAND, "its first word is not found there")
            .advice("let --prelude make it known, or give a path that the node has")
    } else {
        Finding::ok(COMMAND, format!("its first word is {path}"))
    }
}

async fn shared_home(subject: &Subject, host: &Host, job: &DeepJob, home: &str) -> Finding {
    if home.is_empty() {
        return Finding::warn(HOME, "the node cannot write to the user's home");
    }
    let script = format!(
        "n=0; while [ $n -lt {LOOKS} ]; do ls -a \"$HOME\" >/dev/null 2>&1; [ ! -e \"$HOME/{}\" ] || exit 0; n=$((n + 1)); \
         sleep 1; done; exit 1",
        job.file
    );
    match ask(host, subject.shell, &script).await {
        Ok(said) if said.code == 0 => Finding::ok(HOME, format!("the node and the login host share {home}")),
        Ok(_) => Finding::warn(HOME, format!("{home} on the node is not the login host's")).advice(
            "what you install or download on the login host is not there: use a folder that both have, or let the node fetch it",
        ),
        Err(error) => Finding::warn(HOME, error.to_string()),
    }
}

/// Whether the login host reaches a port of the node.
async fn port(host: &Host, wish: Wish, job: &DeepJob, node: &str, value: &str) -> Finding {
    let Ok(port) = value.parse::<u16>() else {
        return Finding::skipped(PORT, "there is no python3 on the node to listen with");
    };
    let address = Address { host: node.to_owned(), port };
    let dialling = async {
        let mut stream = host.dial(&address.clone().into()).await.map_err(|error| error.to_string())?;
        let mut heard = String::new();
        // A node that answers with something else is not ours.
        let reading = tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut heard);
        match reading.await {
            Ok(_) if heard.trim() == job.nonce.as_str() => Ok(()),
            Ok(_) => Err("something else answered there".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    };
    let tried = tokio::select! {
        tried = dialling => tried,
        () = sleep(DIAL_PATIENCE) => Err(format!("no answer within {} s", DIAL_PATIENCE.as_secs())),
    };
    match tried {
        Ok(()) => Finding::ok(PORT, format!("a channel through the login host reaches {address}")),
        Err(problem) => {
            let seen = format!("{address} is not reached through the login host: {problem}");
            let ask = "ask your site whether a firewall stands between the login host and the nodes";
            not_direct(PORT, wish, seen, ask)
        }
    }
}
