//! Jobs that Slurm ends for the sake of others: one that has to make room, and one that takes more memory than it asked for.

use std::time::Duration;

use crate::scene::{ask, code, ends_well, job, problem, proxy_with, status, until_served};
use crate::support::scene::{chat, engine_processes, wait_for_state};
use crate::support::{Cluster, Deadline, HostName, Proxy, eventually};

/// A more important job takes the node for some seconds; says its number.
fn take_node(cluster: &Cluster, node: &str) -> String {
    let urgent = ["sbatch", "--parsable", "--partition=urgent", "--gres=gpu:1", "--output=/dev/null", "--wrap=sleep 3"];
    cluster.say(HostName::Login, &[&urgent[..], &["-w", node]].concat())
}

/// What `status` says to do.
fn hint(proxy: &Proxy) -> String {
    let status = status(&proxy.home());
    status.pointer("/problem/hint").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_job_that_makes_room_for_another_is_told_and_the_next_request_gets_one_new_job() {
    // A partition whose jobs are cancelled for others, and one whose jobs are requeued where they may be. Ours may not.
    for (partition, batch) in [("spare", false), ("spare", true), ("again", false), ("again", true)] {
        let cluster = Cluster::up();
        let options: &[&str] = if batch { &["--batch"] } else { &[] };
        let engine = ["--token-delay", "300", "--tokens", "100"];
        let proxy = proxy_with(&cluster, &format!("--partition={partition}"), options, &engine).start().await;
        let home = proxy.home();
        let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
        stream.event().await.expect("an event").expect("an event");
        assert_eq!(job(&cluster), "1");
        let node = cluster.say(HostName::Login, &["squeue", "-h", "-o", "%N"]);
        assert_eq!(take_node(&cluster, &node), "2");
        let (events, _) = tokio::time::timeout(Duration::from_mins(1), stream.events()).await.expect("it ends");
        let last = events.last().map(String::as_str).unwrap_or_default();
        assert!(last.contains("error") && !events.iter().any(|event| event.contains("[DONE]")), "{batch}: {last}");
        let told = async || problem(&home);
        let told = eventually(Deadline::in_seconds(60), "it is told", told).await;
        assert_eq!(told, "preempted", "{partition}, batch {batch}");
        wait_for_state(&proxy, "failed", 60).await;
        assert!(hint(&proxy).contains("without preemption"), "{}", hint(&proxy));
        let refused = ask(&proxy).await;
        assert_eq!((refused.status.as_u16(), code(&refused).as_str()), (503, "preempted"), "{}", refused.text());
        assert!(refused.text().contains("without preemption"), "{}", refused.text());
        let engines: Vec<_> = engine_processes(&cluster).into_iter().filter(|line| line.contains("--tokens")).collect();
        assert_eq!(engines, Vec::<String>::new(), "nothing of it is left");
        let mut short = chat(false);
        short["max_tokens"] = 1.into();
        let served = async || (proxy.client().post("/v1/chat/completions", &short).await.status == 200).then_some(());
        eventually(Deadline::in_seconds(60), "it is started afresh", served).await;
        let jobs = cluster.jobs().into_iter().filter(|job| !job.contains("wrap")).collect::<Vec<_>>();
        assert!(matches!(jobs.as_slice(), [job] if job.starts_with("3 ")), "{partition}, batch {batch}: {jobs:?}");
        ends_well(proxy, &cluster).await;
    }
}

/// The first start takes a gigabyte of a hundred megabytes, the second one is modest.
const EATS_ONCE: &str = "mkdir \"$HOME/ate\" 2>/dev/null && exec python3 -c 'x = bytearray(1 << 30)'; exec \"$0\" --host $HOST --port $PORT";

#[tokio::test]
async fn a_job_that_takes_more_memory_than_it_asked_for_is_told_and_the_next_request_gets_one_new_job() {
    for batch in [false, true] {
        let cluster = Cluster::builder().memory_limits().up();
        let proxy = Proxy::builder()
            .on_laptop(&cluster)
            .options(["--use-slurm", "--srun-args", "--mem=100M --gres=gpu:1"])
            .options(batch.then_some("--batch"))
            .command(["sh", "-c", EATS_ONCE])
            .command([cluster.engine()])
            .start()
            .await;
        let home = proxy.home();
        let refused = ask(&proxy).await;
        assert_eq!(refused.status.as_u16(), 503, "{}", refused.text());
        let words = refused.text();
        assert!(words.contains("memory") && words.contains("--mem in --srun-args"), "batch {batch}: {words}");
        let told = async || problem(&home).filter(|told| told == "host_out_of_memory");
        eventually(Deadline::in_seconds(30), "Slurm's own word of it is told", told).await;
        wait_for_state(&proxy, "failed", 60).await;
        assert_eq!(cluster.jobs(), Vec::<String>::new());
        until_served(&proxy, 60).await;
        assert_eq!(job(&cluster), "2", "batch {batch}");
        ends_well(proxy, &cluster).await;
    }
}
