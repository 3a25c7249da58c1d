//! A cluster, a proxy on its laptop that is started again and again on one home, and those who ask it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::draw::{Midst, Moment, Rest, Round};
use crate::history::History;
use crate::load::{Count, Load};
use crate::support::judge::ENGINE;
use crate::support::scene::{engine_processes, life_folders, slurm_proxy};
use crate::support::{ChildGuard, Cluster, Deadline, Home, HostName, Lines, Proxy, ProxyBuilder};
use crate::watch;

/// How long the engine goes on by itself.
pub(crate) const LEASE: Duration = Duration::from_secs(7);

/// The name of the one instance.
const NAME: &str = "chaos";

const OPTIONS: [&str; 19] = [
    "--name",
    NAME,
    "--lease",
    "7s",
    "--hung-timeout",
    "3s",
    "--idle-timeout",
    "5s",
    "--stop-timeout",
    "3s",
    "--startup-timeout",
    "30s",
    "--queue-timeout",
    "60s",
    "--stream-headers-after",
    "2s",
    "--keep-alive",
    "1s",
    "-vv",
];

/// How long it may take after a fault until somebody who asks is answered.
const BACK_WITHIN: Duration = Duration::from_secs(150);

/// How long it may take until nothing is left.
const QUIET_WITHIN: Duration = Duration::from_mins(1);

/// How long a proxy that was told to end may take.
const END_WITHIN: Duration = Duration::from_mins(1);

/// Where Debian's `faketime` has what it puts under a program.
const FAKE_TIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

/// The one cluster, its proxy, and what is known of both.
pub(crate) struct Stage {
    proxy: Option<Proxy>,
    pub(crate) cluster: Cluster,
    batch: bool,
    home: Home,
    pub(crate) history: Arc<History>,
    load: Arc<Load>,
    tasks: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    daemons: HashMap<&'static str, ChildGuard>,
    ports: Vec<String>,
    disk: Disk,
    midst: Midst,
}

/// What became of a round.
#[derive(Default)]
pub(crate) struct Came {
    pub(crate) violations: Vec<String>,
    pub(crate) back_after: Duration,
}

impl Stage {
    pub(crate) async fn up(batch: bool) -> Self {
        let cluster = Cluster::up();
        // A dead link is found within three seconds instead of a minute.
        let config = std::fs::read_to_string(cluster.ssh_config()).expect("the laptop's settings");
        let config = format!("{config}  ServerAliveInterval 1\n  ServerAliveCountMax 2\n  ConnectTimeout 3\n");
        std::fs::write(cluster.ssh_config(), config).expect("the laptop's settings");
        let home = Proxy::builder().its_home();
        let disk = Disk::mount(home.path().join("state"));
        let (history, stop) = (Arc::new(History::new()), Arc::new(AtomicBool::default()));
        let ports = ports(&cluster);
        let (load, mut tasks) = Load::start(Arc::clone(&history));
        tasks.push(watch::jobs(&cluster, Arc::clone(&history), Arc::clone(&stop)));
        let (daemons, midst) = (HashMap::new(), Midst::Lives);
        let mut stage =
            Self { proxy: None, cluster, batch, home, history, load, tasks, stop, daemons, ports, disk, midst };
        stage.set_clock("+0");
        stage.start_proxy().await;
        stage
    }

    /// The proxy to be, and its verbs.
    fn builder(&self) -> ProxyBuilder<'_> {
        let fake_time = FAKE_TIME.into_iter().find(|path| Path::new(path).exists());
        let fake_time = fake_time.expect("no libfaketime: apt-get install faketime, or run by scripts/test");
        slurm_proxy(&self.cluster, &OPTIONS, &ENGINE)
            .options(self.batch.then_some("--batch"))
            .command(["--start-delay", "500ms"])
            .home(&self.home)
            .env("LD_PRELOAD", fake_time)
            .env("FAKETIME_TIMESTAMP_FILE", self.home.path().join("clock"))
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }

    pub(crate) async fn start_proxy(&mut self) {
        let proxy = self.builder().start().await;
        self.history.note("proxy", &format!("--- {} listens on {} ---", proxy.pid(), proxy.address()));
        self.tasks.push(tokio::spawn(keep(proxy.lines(), Arc::clone(&self.history), Arc::clone(&self.stop))));
        self.load.open(self.cluster.client(HostName::Laptop, proxy.address()).await);
        self.proxy = Some(proxy);
    }

    pub(crate) async fn kill_proxy(&mut self) {
        self.load.close();
        if let Some(proxy) = self.proxy.take() {
            proxy.stop("KILL", Duration::from_secs(10)).await;
        }
    }

    pub(crate) fn proxy_pid(&self) -> u32 {
        self.proxy.as_ref().map(Proxy::pid).expect("a proxy runs")
    }

    /// Where the cluster keeps what is its own.
    pub(crate) fn folder(&self) -> PathBuf {
        self.cluster.key().parent().and_then(Path::parent).expect("a folder in a folder").to_owned()
    }

    pub(crate) fn pid_in(&self, file: &str) -> u32 {
        let file = self.folder().join(file);
        let pid = std::fs::read_to_string(&file).ok().and_then(|pid| pid.trim().parse().ok());
        pid.unwrap_or_else(|| panic!("no pid in {}", file.display()))
    }

    /// A daemon that was started again, in place of the one before.
    pub(crate) fn keep(&mut self, name: &'static str, daemon: ChildGuard) {
        self.daemons.insert(name, daemon);
    }

    pub(crate) fn state_home(&self) -> &Path {
        &self.disk.0
    }

    /// The proxy's wall clock, as an offset of the machine's.
    pub(crate) fn set_clock(&self, offset: &str) {
        self.history.note("fault", &format!("the clock is {offset} s off"));
        std::fs::write(self.home.path().join("clock"), format!("{offset}\n")).expect("a file in a home");
    }

    /// One round, and all that is asked of it.
    pub(crate) async fn play(&mut self, round: &Round) -> Came {
        self.history.note("ROUND", &format!("{round:?}"));
        self.approach(round.moment).await;
        sleep(round.delay).await;
        self.history.note("fault", &format!(">>> {}", round.fault.name()));
        self.midst = round.midst;
        round.fault.happen(self, round.length).await;
        if round.midst == Midst::Told {
            self.ends_and_leaves_nothing().await;
        }
        if self.proxy.is_none() {
            self.start_proxy().await;
        }
        self.history.note("fault", &format!("<<< {}", round.fault.name()));
        let ended = Instant::now();
        self.load.set_on(true);
        self.until_back(ended).await;
        let back_after = ended.elapsed();
        match round.rest {
            Rest::None => {}
            Rest::Idle => self.idle().await,
            Rest::Told => self.told_to_end().await,
        }
        Came { violations: self.history.take_violations(), back_after }
    }

    /// The time from a fault's beginning to its end.
    pub(crate) async fn pass(&mut self, length: Duration) {
        let midst = std::mem::replace(&mut self.midst, Midst::Lives);
        sleep(length / 2).await;
        match midst {
            Midst::Lives => {}
            Midst::Killed => self.kill_proxy().await,
            Midst::KilledAndStarted => {
                self.kill_proxy().await;
                self.start_proxy().await;
            }
            Midst::Told => self.tell_to_end(),
        }
        sleep(length / 2).await;
    }

    async fn approach(&self, moment: Moment) {
        match moment {
            Moment::Serving => {}
            Moment::Starting => {
                self.load.set_on(false);
                self.until("the engine is stopped", QUIET_WITHIN, async |stage| {
                    ["stopped", "failed"].contains(&stage.state().await.as_str())
                })
                .await;
                self.load.set_on(true);
            }
            Moment::Stopping => self.load.set_on(false),
        }
    }

    /// Waits; what does not come in time is a violation.
    async fn until(&self, what: &str, within: Duration, mut holds: impl AsyncFnMut(&Self) -> bool) -> bool {
        let deadline = Deadline::from(within);
        while !holds(self).await {
            if deadline.is_over() {
                self.history.violation(&format!("not within {} s: {what}", within.as_secs()));
                return false;
            }
            sleep(Duration::from_millis(200)).await;
        }
        true
    }

    /// A person whose engine failed says `start`, as the proxy tells them: nobody waits for minutes here.
    async fn until_back(&self, moment: Instant) {
        let mut looked = Instant::now();
        self.until("somebody who asks is answered again", BACK_WITHIN, async |stage| {
            if looked.elapsed() > Duration::from_secs(3) && stage.state().await == "failed" {
                looked = Instant::now();
                stage.history.note("person", "llm-proxy start");
                let mut start = stage.builder().spawn_verb(["start", NAME]);
                let _ = tokio::time::timeout(Duration::from_secs(10), start.wait(Duration::from_secs(20))).await;
            }
            stage.load.answered_since(moment)
        })
        .await;
    }

    async fn state(&self) -> String {
        let proxy = self.proxy.as_ref().expect("a proxy runs");
        let health = tokio::time::timeout(Duration::from_secs(20), proxy.client().get("/health")).await;
        let Ok(health) = health else { return "silent".to_owned() };
        let health: serde_json::Value = serde_json::from_slice(&health.body).unwrap_or_default();
        health.pointer("/detail/0/state").and_then(serde_json::Value::as_str).unwrap_or("none").to_owned()
    }

    async fn idle(&self) {
        self.load.set_on(false);
        self.load.until_all_answered().await;
        self.until("idle, the engine is stopped", QUIET_WITHIN, async |stage| stage.state().await == "stopped").await;
        self.nothing_is_left().await;
        self.load.set_on(true);
    }

    /// Ends it as a person does, looks, and starts the next.
    async fn told_to_end(&mut self) {
        self.tell_to_end();
        self.ends_and_leaves_nothing().await;
        self.start_proxy().await;
        self.load.set_on(true);
    }

    fn tell_to_end(&self) {
        self.history.note("person", "TERM to the proxy");
        self.load.close();
        if let Some(proxy) = &self.proxy {
            proxy.signal("TERM");
        }
    }

    async fn ends_and_leaves_nothing(&mut self) {
        self.load.set_on(false);
        let Some(proxy) = self.proxy.take() else { return };
        let lines = proxy.lines();
        let ended = tokio::time::timeout(END_WITHIN, proxy.ended(END_WITHIN * 2)).await;
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => {
                self.history.violation(&format!("the proxy ended with {status}: {:?}", lines.so_far().last()));
            }
            Err(_) => self.history.violation("the proxy that was told to end did not"),
        }
        self.load.until_all_answered().await;
        self.nothing_is_left().await;
    }

    async fn nothing_is_left(&self) {
        let mut left = String::new();
        let none = self
            .until("nothing is left", QUIET_WITHIN, async |stage| {
                left = stage.left();
                left.is_empty()
            })
            .await;
        if !none {
            self.history.violation(&format!("left: {left}"));
        }
    }

    /// What is left of the instance anywhere.
    fn left(&self) -> String {
        let mut left = Vec::new();
        let jobs = self.cluster.on(HostName::Login, &["squeue", "-h", "-o", "%i %T %j"]);
        if !jobs.status.success() {
            left.push("Slurm does not answer".to_owned());
        }
        left.extend(String::from_utf8_lossy(&jobs.stdout).lines().map(|job| format!("job {job}")));
        left.extend(engine_processes(&self.cluster).into_iter().map(|process| format!("process {process}")));
        left.extend(life_folders(&self.cluster).into_iter().map(|folder| format!("folder {folder}")));
        left.extend(ports(&self.cluster).into_iter().filter(|port| !self.ports.contains(port)));
        let state = std::fs::read_dir(self.state_home().join("llm-proxy").join(NAME));
        let records =
            state.into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        left.extend(records.filter(|name| name.contains(".json")).map(|name| format!("record {name}")));
        left.join("; ")
    }

    /// The end of it all, and what is found then.
    pub(crate) async fn down(mut self) -> (Vec<String>, Count) {
        self.tell_to_end();
        self.ends_and_leaves_nothing().await;
        (self.history.take_violations(), self.give_up())
    }

    /// The end of one on which nothing can be relied on any more.
    pub(crate) fn give_up(&mut self) -> Count {
        self.load.stop();
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks.drain(..) {
            task.abort();
        }
        self.load.count()
    }
}

/// What listens on the hosts of the cluster.
fn ports(cluster: &Cluster) -> Vec<String> {
    let on_host = |host: HostName| {
        let said = cluster.on(host, &["ss", "-Hltn"]).stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        let port = |line: &str| line.split_whitespace().nth(3).map(|at| format!("port {at} of {}", host.as_str()));
        said.lines().filter_map(port).collect::<Vec<_>>()
    };
    [HostName::Login, HostName::Node1, HostName::Node2].into_iter().flat_map(on_host).collect()
}

/// Notes a proxy's lines with their times.
async fn keep(lines: Lines, history: Arc<History>, stop: Arc<AtomicBool>) {
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        for line in lines.after(count) {
            count += 1;
            history.note("proxy", &line);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A small disk, gone with the value.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Self {
        std::fs::create_dir_all(&at).expect("a folder in a temporary one");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m,mode=700", "chaos"]).arg(&at).status();
        assert!(mounted.is_ok_and(|status| status.success()), "cannot mount a tmpfs: run as root");
        Self(at)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What still holds it ends with the cluster.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}
