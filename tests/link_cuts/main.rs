//! A laptop's day: its link is cut and comes back, or it sleeps, while requests go on; what is lost is told, what can wait
//! waits, and the job stays the same. `scripts/link-cuts` runs all of it and prints the table.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and these print the row that they measured"
)]

mod cut;
mod load;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use cut::Cut;
use load::{Load, Told};
use serde_json::Value;
use support::judge::{self, End};
use support::scene::{chat, slurm_proxy, soon, wait_until_nothing_is_left};
use support::{Cluster, Deadline, HostName, eventually};
use tokio::time::{Instant, sleep};

/// How long the load runs before the cut, and after the first answer that follows it.
const AROUND: Duration = Duration::from_secs(3);

/// What one cut came to.
struct Row {
    told: Vec<Told>,
    recovered_after: Duration,
    jobs_started: u32,
}

impl Row {
    fn count(&self, which: impl Fn(&Told) -> bool) -> usize {
        self.told.iter().filter(|told| which(told)).count()
    }

    fn print(&self, name: &str) {
        println!(
            "| {name} | {} | {} | {} | {} | {} | {:.1} |",
            self.told.len(),
            self.count(|told| matches!(told.end, End::Refused(_))),
            self.count(Told::has_waited),
            self.count(|told| matches!(told.end, End::CutWithEvent(_))),
            self.jobs_started,
            self.recovered_after.as_secs_f32(),
        );
        for told in self.told.iter().filter(|told| told.end != End::Whole) {
            println!("  after {:.1} s: {:?}", (told.done - told.sent).as_secs_f32(), told.end);
        }
    }
}

/// Cuts under load, mends, and gives what became of every request. The job that serves stays the same.
async fn row(name: &str, options: &[&str], cut: Cut, length: Duration, recovered_within: Duration) -> Row {
    let cluster = Cluster::up();
    row_on(&cluster, name, options, cut, (length, recovered_within)).await
}

async fn row_on(
    cluster: &Cluster,
    name: &str,
    options: &[&str],
    cut: Cut,
    (length, recovered_within): (Duration, Duration),
) -> Row {
    let next_job = next_job(cluster);
    let proxy = slurm_proxy(cluster, options, &judge::ENGINE).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let jobs = cluster.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let load = Load::default();
    let day = async {
        sleep(AROUND).await;
        cut.begin(cluster, &proxy);
        sleep(length).await;
        let sshd = cut.end(cluster, &proxy);
        let mended = Instant::now();
        let recovered_after = load.answered_after(mended, Deadline::from(recovered_within)).await;
        sleep(AROUND).await;
        load.stop();
        (recovered_after, sshd)
    };
    let ((), (recovered_after, sshd)) = tokio::join!(load.run(proxy.client()), day);
    let row = Row { told: load.told(), recovered_after, jobs_started: self::next_job(cluster) - next_job };
    row.print(name);
    assert_eq!(
        row.count(|told| matches!(told.end, End::False(_) | End::Unanswered(_))),
        0,
        "an answer looks whole and is not"
    );
    assert_eq!((cluster.jobs(), row.jobs_started), (jobs, 1), "the same job serves on");
    let lines = proxy.lines();
    assert!(proxy.stop("TERM", soon()).await.success(), "{:?}", lines.so_far());
    wait_until_nothing_is_left(cluster, 10).await;
    drop(sshd);
    row
}

/// The number that Slurm gives to the next job: it counts those that came and went, too.
fn next_job(cluster: &Cluster) -> u32 {
    let config = cluster.say(HostName::Login, &["scontrol", "show", "config"]);
    let line = config.lines().find_map(|line| line.strip_prefix("NEXT_JOB_ID")).expect("Slurm's next number");
    line.trim_start_matches([' ', '=']).trim().parse().expect("a number")
}

/// All that was cut or refused was so because of the link, and says so.
fn lost_only_with_the_link(row: &Row) {
    for told in &row.told {
        match &told.end {
            End::Whole => {}
            End::CutWithEvent(code) => assert!(["link_lost", "link_down"].contains(&code.as_str()), "{told:?}"),
            End::Refused(why) => assert!(["502 link_lost", "503 link_down"].contains(&why.as_str()), "{told:?}"),
            End::False(_) | End::Unanswered(_) => panic!("{told:?}"),
        }
    }
}

fn nothing_is_lost(row: &Row) {
    assert_eq!(row.count(|told| told.end != End::Whole), 0, "a request was lost");
    assert!(row.count(Told::has_waited) > 0, "nothing was cut at all");
}

/// A dead link is found within three seconds instead of a minute.
fn with_short_keep_alive() -> Cluster {
    let cluster = Cluster::up();
    let config = std::fs::read_to_string(cluster.ssh_config()).expect("the laptop's ssh_config");
    // It ends with what is meant for all hosts.
    let config = format!("{config}  ServerAliveInterval 1\n  ServerAliveCountMax 2\n");
    std::fs::write(cluster.ssh_config(), config).expect("the laptop's ssh_config");
    cluster
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_cable_that_is_out_for_5_s_loses_nothing() {
    nothing_is_lost(&row("cable out for 5 s", &[], Cut::Cable, seconds(5), seconds(15)).await);
}

#[tokio::test]
async fn packets_that_vanish_for_5_s_lose_nothing() {
    nothing_is_lost(&row("packets vanish for 5 s", &[], Cut::Silent, seconds(5), seconds(15)).await);
}

#[tokio::test]
async fn a_lid_that_is_closed_for_5_s_loses_nothing() {
    nothing_is_lost(&row("stopped for 5 s", &[], Cut::Stopped, seconds(5), seconds(10)).await);
}

#[tokio::test]
async fn packets_that_vanish_for_longer_than_the_keep_alive_waits() {
    let cluster = with_short_keep_alive();
    let name = "packets vanish for 12 s, keep-alive 1 s x 2";
    let row = row_on(&cluster, name, &[], Cut::Silent, (seconds(12), seconds(30))).await;
    lost_only_with_the_link(&row);
    assert!(row.count(Told::has_waited) > 3, "those who came meanwhile waited");
}

#[tokio::test]
#[ignore = "takes minutes: scripts/link-cuts"]
async fn a_cable_that_is_out_for_a_minute_with_a_short_keep_alive() {
    let cluster = with_short_keep_alive();
    let name = "cable out for 60 s, keep-alive 1 s x 2";
    lost_only_with_the_link(&row_on(&cluster, name, &[], Cut::Cable, (seconds(60), seconds(10))).await);
}

#[tokio::test]
#[ignore = "takes minutes: scripts/link-cuts"]
async fn packets_that_vanish_for_ten_minutes() {
    let cluster = with_short_keep_alive();
    let name = "packets vanish for 10 min, keep-alive 1 s x 2, lease 30 min";
    let lengths = (Duration::from_mins(10), seconds(45));
    lost_only_with_the_link(&row_on(&cluster, name, &["--lease", "30m"], Cut::Silent, lengths).await);
}

#[tokio::test]
#[ignore = "takes minutes: scripts/link-cuts"]
async fn a_cable_that_is_out_for_a_minute() {
    lost_only_with_the_link(&row("cable out for 60 s", &[], Cut::Cable, seconds(60), seconds(20)).await);
}

#[tokio::test]
#[ignore = "takes minutes: scripts/link-cuts"]
async fn packets_that_vanish_for_a_minute() {
    lost_only_with_the_link(&row("packets vanish for 60 s", &[], Cut::Silent, seconds(60), seconds(45)).await);
}

#[tokio::test]
#[ignore = "takes minutes: scripts/link-cuts"]
async fn a_lid_that_is_closed_for_a_minute() {
    nothing_is_lost(&row("stopped for 60 s", &[], Cut::Stopped, seconds(60), seconds(10)).await);
}

#[tokio::test]
async fn a_server_that_is_away_for_5_s_costs_what_was_under_way_and_no_more() {
    let row = row("sshd away for 5 s", &[], Cut::Server, seconds(5), seconds(20)).await;
    lost_only_with_the_link(&row);
    assert!(row.count(|told| matches!(told.end, End::CutWithEvent(_))) > 0, "no stream was cut");
    assert!(row.count(Told::has_waited) > 0, "nobody waited");
}

/// It would otherwise be the keep-alive's to find out, which takes a minute.
#[tokio::test]
async fn a_link_that_died_while_the_laptop_slept_is_found_dead_at_once() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let jobs = cluster.jobs();
    Cut::Stopped.begin(&cluster, &proxy);
    sleep(seconds(5)).await;
    Cut::Silent.begin(&cluster, &proxy);
    Cut::Stopped.end(&cluster, &proxy);
    let woken = Instant::now();
    proxy.wait_for_line("lost the connection", Deadline::from(seconds(15))).await;
    println!("after {:.1} s the link was given up", woken.elapsed().as_secs_f32());
    Cut::Silent.end(&cluster, &proxy);
    let mended = Instant::now();
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    println!("and a request was answered {:.1} s after the network was there", mended.elapsed().as_secs_f32());
    assert!(mended.elapsed() < seconds(25));
    assert_eq!(cluster.jobs(), jobs, "the same job serves on");
    assert!(proxy.stop("TERM", soon()).await.success());
}

#[tokio::test]
async fn who_waits_for_the_link_is_told_so() {
    let cluster = Cluster::up();
    let options = ["--stream-headers-after", "1s", "--keep-alive", "1s"];
    let proxy = slurm_proxy(&cluster, &options, &judge::ENGINE).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    Cut::Server.begin(&cluster, &proxy);
    proxy.wait_for_line("lost the connection", soon()).await;
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    assert_eq!(stream.status(), 200);
    let sign = stream.event().await.expect("a sign").expect("a sign");
    assert!(sign.starts_with(": llm-proxy reconnecting to the host"), "{sign}");
    let sshd = Cut::Server.end(&cluster, &proxy);
    let (events, whole) = stream.events().await;
    assert!(whole && events.last().is_some_and(|last| last == "data: [DONE]"), "{events:?}");
    assert!(proxy.stop("TERM", soon()).await.success());
    drop(sshd);
}

/// Sites bar whoever fails to log in too often: one attempt, and then a person is waited for.
#[tokio::test]
async fn a_host_that_asks_for_a_person_is_not_tried_again_without_one() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let jobs = cluster.jobs();
    let keys = cluster.home().join(".ssh/authorized_keys");
    let away = keys.with_extension("away");
    std::fs::rename(&keys, &away).expect("the keys can be moved");
    cut::end_sessions(&cluster);
    proxy.wait_for_line("run `llm-proxy login", soon()).await;
    // The first login, and the one that failed.
    let tried = async || (cut::logins(&cluster) == 2).then_some(());
    eventually(soon(), "the server has written down that it refused us", tried).await;
    let health = proxy.client().get("/health").await.ok();
    let link = health.pointer("/detail/0/link").and_then(Value::as_str);
    assert_eq!(link, Some("needs-login"), "{health}");
    let refused = proxy.client().post("/v1/chat/completions", &chat(false)).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(
        refused.text().contains("llm-proxy login") && refused.text().contains("login_required"),
        "{}",
        refused.text()
    );
    sleep(seconds(5)).await;
    assert_eq!(cut::logins(&cluster), 2, "nobody was there to answer");
    assert_eq!(cluster.jobs(), jobs, "what was started there goes on");
}

/// Longer than the lease: the job has ended itself, and that is told; the next one starts another.
#[tokio::test]
async fn a_cut_that_outlasts_the_lease_ends_the_job() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &["--lease", "3s"], &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let jobs = cluster.jobs();
    Cut::Server.begin(&cluster, &proxy);
    proxy.wait_for_line("lost the connection", soon()).await;
    let gone = async || cluster.jobs().is_empty().then_some(());
    eventually(soon(), "the job has ended itself", gone).await;
    let sshd = Cut::Server.end(&cluster, &proxy);
    proxy.wait_for_line("heard nothing from this program for 3 s", soon()).await;
    let again = async || (proxy.client().post("/v1/chat/completions", &chat(false)).await.status == 200).then_some(());
    eventually(soon(), "another engine serves", again).await;
    assert_ne!(cluster.jobs(), jobs);
    assert!(proxy.stop("TERM", soon()).await.success());
    drop(sshd);
}
