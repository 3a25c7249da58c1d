//! What nobody goes on with is told of, and ended when that is asked for.

use crate::support::scene::{chat, slurm_proxy, soon, wait_until_nothing_is_left};
use crate::support::{Cluster, HostName, Proxy};

#[tokio::test]
async fn what_was_left_behind_is_told_and_ended() {
    let cluster = Cluster::up();
    let first = slurm_proxy(&cluster, &["--name", "first"], &[]).start().await;
    first.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let home = first.home();
    let (jobs, node) = (cluster.jobs(), cluster.say(HostName::Login, &["squeue", "-h", "-o", "%N"]));
    let [job] = jobs.as_slice() else { panic!("{jobs:?}") };
    let job = job.split_whitespace().next().expect("a number").to_owned();
    first.stop("KILL", soon()).await;

    let other = slurm_proxy(&cluster, &["--name", "other"], &[]).home(&home).start().await;
    let told = other.wait_for_line("was left behind by an earlier run", soon()).await;
    assert!(told.contains(&format!("job {job} of first on {} (login)", node.trim())), "{told}");
    assert!(told.contains("`llm-proxy stop --orphans` ends it"), "{told}");

    let verb = Proxy::builder().on_laptop(&cluster).home(&home);
    let ended = verb.run(["stop", "--orphans"]);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{said}");
    assert!(said.contains(&format!("ending job {job} of first")) && said.contains("gone: "), "{said}");
    wait_until_nothing_is_left(&cluster, 20).await;
    let again = verb.run(["stop", "--orphans"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing was left behind"), "{again:?}");
    assert!(other.stop("INT", soon()).await.success());
}

/// One whose host is not the one that is wanted now.
#[tokio::test]
async fn a_life_on_another_host_is_set_aside() {
    let cluster = Cluster::up();
    let first = slurm_proxy(&cluster, &["--name", "one"], &[]).start().await;
    first.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let home = first.home();
    first.stop("KILL", soon()).await;

    let here = Proxy::builder().home(&home).options(["--name", "one"]).command(["sleep", "1000"]).start().await;
    let told = here.wait_for_line("was left behind by an earlier run", soon()).await;
    assert!(told.contains("(login)"), "{told}");
    // Though the proxy of its name runs.
    let ended = Proxy::builder().on_laptop(&cluster).home(&home).run(["stop", "--orphans", "one"]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    wait_until_nothing_is_left(&cluster, 20).await;
    assert!(here.stop("INT", soon()).await.success());
}
