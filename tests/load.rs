//! Many instances and many clients at once, who create, ask, stop and delete at random, while the file is read again: every
//! answer is right or says why not, no instance is stuck, one that nobody touches goes on, and in the end nothing is left.
//! `scripts/load` does it with a hundred instances and a thousand clients for five minutes; here it is a small one.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints a table"
)]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use support::draw::Draw;
use support::instances::write_fleet;
use support::judge::{ENGINE, End, judged_of};
use support::scene::soon;
use support::{Client, Deadline, Proxy, engine_path, eventually};
use tokio::time::{Instant, sleep, timeout};

/// Longer than any answer may take here.
const LIMIT: Duration = Duration::from_secs(150);
/// An instance that is on its way from one state to another for so long is stuck.
const STUCK: Duration = Duration::from_secs(90);
/// Between two looks at what the proxy holds.
const LOOK: Duration = Duration::from_secs(5);
/// A run shorter than this says nothing of memory.
const TELLS_OF_MEMORY: Duration = Duration::from_secs(200);

fn variable(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// How large the run is.
#[derive(Clone, Copy)]
struct Size {
    instances: u64,
    clients: u64,
    length: Duration,
    seed: u64,
}

/// What came of it all.
#[derive(Default)]
struct Outcome {
    counts: Mutex<BTreeMap<String, u64>>,
    violations: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Outcome {
    fn count(&self, what: &str) {
        *self.counts.lock().expect("no one panics with it").entry(what.to_owned()).or_default() += 1;
    }

    fn violation(&self, what: String) {
        println!("VIOLATION: {what}");
        self.violations.lock().expect("no one panics with it").push(what);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// A file with one model that no client touches, and with one that each reading changes a little.
fn write_file(folder: &Path, idle_minutes: u64) {
    let engine = engine_path();
    let model = |name: &str, idle: u64| {
        format!(
            "  {name}:\n    backend: custom\n    model: org/{name}\n    idle_timeout: {idle}m\n    \
             command: ['{}', --model, '{{model}}', --host, '{{host}}', --port, '{{port}}', '{}']\n",
            engine.display(),
            ENGINE.join("', '"),
        )
    };
    let text = format!("callers: {{create: true}}\nmodels:\n{}{}", model("still", 30), model("changed", idle_minutes));
    write_fleet(folder, &text);
}

/// Does one thing at random, and judges what comes back.
async fn act(client: &Client, draw: &mut Draw, size: Size, outcome: &Outcome) {
    let which = draw.below(size.instances);
    let (name, model) = (format!("m-{which}"), format!("org/m-{which}"));
    let what = match draw.below(1000) {
        0..3 => return told(client, (Method::DELETE, format!("/instances/{name}")), None, &[202, 404], outcome).await,
        3..13 => {
            // Some of them are idle soon, and end by themselves.
            let body = json!({ "model_name": model, "timeout": 5 });
            return told(client, (Method::POST, "/instances".to_owned()), Some(body), &[200, 201, 409], outcome).await;
        }
        13..16 => return told(client, (Method::POST, format!("/stop/{name}")), None, &[202, 404], outcome).await,
        // Where another has just had it deleted, it cannot be started.
        16..20 => return told(client, (Method::POST, format!("/start/{name}")), None, &[202, 404, 409], outcome).await,
        20..60 => return told(client, (Method::GET, format!("/status/{name}")), None, &[200, 404], outcome).await,
        60..80 => return told(client, (Method::GET, "/v1/models".to_owned()), None, &[200], outcome).await,
        80..90 => return told(client, (Method::GET, "/health".to_owned()), None, &[200], outcome).await,
        90..100 => return told(client, (Method::GET, format!("/logs/{name}")), None, &[200, 404], outcome).await,
        100..150 => "org/still",
        150..200 => "org/changed",
        _ => model.as_str(),
    };
    let stream = draw.below(2) == 0;
    match timeout(LIMIT, judged_of(client, what, stream)).await {
        Ok(End::Whole) => outcome.count("whole"),
        Ok(End::Refused(why)) if why != "broken off" && what != "org/still" => {
            outcome.count(&format!("refused: {why}"));
        }
        // A stop or a deletion that cannot wait for the end of a stream says so in it.
        Ok(End::CutWithEvent(why)) if what != "org/still" => outcome.count(&format!("cut, and told: {why}")),
        Ok(other) => outcome.violation(format!("{what}, stream {stream}: {other:?}")),
        Err(_) => outcome.violation(format!("{what}: no end after {LIMIT:?}")),
    }
}

async fn told(
    client: &Client,
    (method, path): (Method, String),
    body: Option<Value>,
    right: &[u16],
    outcome: &Outcome,
) {
    let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
    let answer = timeout(LIMIT, client.send(method.clone(), &path, body)).await;
    let Ok(answer) = answer else { return outcome.violation(format!("{method} {path}: no answer after {LIMIT:?}")) };
    let status = answer.status.as_u16();
    let is_json = serde_json::from_slice::<Value>(&answer.body).is_ok();
    if right.contains(&status) && answer.complete && is_json {
        let kind = path.split('/').nth(1).unwrap_or_default();
        outcome.count(&format!("{method} /{kind}: {status}"));
    } else {
        outcome.violation(format!("{method} {path}: {status} {}", answer.text()));
    }
}

/// Looks at how long each instance has been on its way.
async fn watch_states(client: Client, outcome: Arc<Outcome>) {
    let mut since: HashMap<String, (String, Instant)> = HashMap::new();
    while !outcome.is_over() {
        let list = client.get("/instances").await.ok();
        for one in list["instances"].as_array().into_iter().flatten() {
            let (name, state) = (one["name"].to_string(), format!("{} {}", one["state"], one["since"]));
            let entry = since.entry(name).or_insert_with(|| (state.clone(), Instant::now()));
            if entry.0 != state {
                *entry = (state, Instant::now());
            }
            let under_way = matches!(one["state"].as_str(), Some("bootstrapping" | "stopping"));
            if under_way && entry.1.elapsed() > STUCK {
                outcome.violation(format!("stuck: {one}"));
            }
        }
        sleep(LOOK).await;
    }
}

/// Resident memory in KiB and open files, every few seconds.
async fn watch_process(pid: u32, outcome: Arc<Outcome>) -> Vec<(u64, usize)> {
    let mut seen = Vec::new();
    while !outcome.is_over() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the proxy lives");
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its files").count();
        seen.push((resident.expect("a size"), files));
        sleep(LOOK).await;
    }
    seen
}

async fn reload(proxy: &Proxy, folder: PathBuf, outcome: &Outcome) -> u64 {
    let mut times = 0;
    while !outcome.is_over() {
        sleep(LOOK).await;
        times += 1;
        write_file(&folder, 10 + times % 7);
        proxy.signal("HUP");
    }
    times
}

/// Processes whose command or environment names this folder.
fn left(folder: &Path) -> Vec<String> {
    let wanted = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let surroundings = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let named = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(&wanted);
        if !words.is_empty() && (named(&words) || named(&surroundings)) {
            found.push(String::from_utf8_lossy(&words).replace('\0', " "));
        }
    }
    found
}

async fn one_client(address: String, number: u64, size: Size, outcome: Arc<Outcome>) {
    let (client, mut draw) = (Client::tcp(&address), Draw::new(size.seed.wrapping_add(number.wrapping_mul(7919))));
    while !outcome.is_over() {
        // All together ask about as often, however many they are.
        let breath = Duration::from_millis(size.clients * 4);
        sleep(draw.between((breath / 2, breath * 3 / 2))).await;
        act(&client, &mut draw, size, &outcome).await;
    }
}

fn print(size: Size, outcome: &Outcome, seen: &[(u64, usize)], reloads: u64) {
    println!(
        "seed {}: {} instances, {} clients, {} s, the file read again {reloads} times",
        size.seed,
        size.instances,
        size.clients,
        size.length.as_secs()
    );
    for (what, times) in outcome.counts.lock().expect("no one panics with it").iter() {
        println!("{times:>8}  {what}");
    }
    let told: Vec<_> = seen.iter().map(|(resident, files)| format!("{} MiB {files} files", resident / 1024)).collect();
    println!("the proxy, every {} s: {}", LOOK.as_secs(), told.join(", "));
}

/// The mean of a part of what was seen, in KiB.
fn mean(seen: &[(u64, usize)]) -> u64 {
    seen.iter().map(|(resident, _)| resident).sum::<u64>() / seen.len().max(1) as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_instances_and_many_clients_at_once() {
    let size = Size {
        instances: variable("LOAD_INSTANCES", 12),
        clients: variable("LOAD_CLIENTS", 60),
        length: Duration::from_secs(variable("LOAD_SECONDS", 12)),
        seed: variable("LOAD_SEED", 20_261),
    };
    let folder = tempfile::tempdir().expect("a folder");
    write_file(folder.path(), 10);
    support::vllm_stand_in(folder.path());
    let proxy = Proxy::builder().of_fleet(folder.path()).with_programs_of(folder.path());
    let proxy = proxy.env("STAND_IN_OPTIONS", ENGINE.join(" "));
    let proxy = proxy.env("VLLM_MAX_INSTANCES", (size.instances + 2).to_string());
    let proxy = proxy.options(["--lease", "60s", "--stop-timeout", "10s"]).start().await;
    let client = Client::tcp(proxy.address());
    for which in 0..size.instances {
        let body = json!({ "model_name": format!("org/m-{which}"), "timeout": 20 });
        let made = client.post("/instances", &body).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.text());
    }
    assert_eq!(judged_of(&client, "org/still", true).await, End::Whole);

    let outcome = Arc::new(Outcome::default());
    let clients: Vec<_> = (0..size.clients)
        .map(|number| tokio::spawn(one_client(proxy.address().to_owned(), number, size, Arc::clone(&outcome))))
        .collect();
    let states = tokio::spawn(watch_states(Client::tcp(proxy.address()), Arc::clone(&outcome)));
    let process = tokio::spawn(watch_process(proxy.pid(), Arc::clone(&outcome)));
    let end = async {
        sleep(size.length).await;
        outcome.over.store(true, Ordering::Relaxed);
    };
    let (reloads, ()) = tokio::join!(reload(&proxy, folder.path().to_owned(), &outcome), end);
    for task in clients.into_iter().chain([states]) {
        task.await.expect("no client panics");
    }
    let seen = process.await.expect("it was watched");
    print(size, &outcome, &seen, reloads);

    let still = client.get("/health").await.ok();
    let still = still["detail"].as_array().expect("a list").iter().find(|one| one["name"] == "still").cloned();
    assert_eq!(still.expect("it is there")["life"], 1, "nobody touched it, and nothing else did");
    for which in 0..size.instances {
        client.send(Method::DELETE, &format!("/instances/m-{which}"), Bytes::new()).await;
    }
    let names = || async { client.get("/instances").await.ok()["instances"].as_array().map_or(0, Vec::len) };
    eventually(Deadline::from(STUCK), "only the file's models are there", async || (names().await == 2).then_some(()))
        .await;
    let lines = proxy.lines();
    assert!(proxy.stop("TERM", soon()).await.success(), "{}", lines.so_far().join("\n"));
    let nothing = async || left(folder.path()).is_empty().then_some(());
    eventually(soon(), "no process is left", nothing).await;
    assert_eq!(*outcome.violations.lock().expect("no one panics with it"), Vec::<String>::new());
    assert!(
        outcome.counts.lock().expect("no one panics with it")["whole"] > size.length.as_secs(),
        "few were answered"
    );
    if size.length >= TELLS_OF_MEMORY {
        let fifth = seen.len() / 5;
        let (early, late) = (mean(&seen[fifth..2 * fifth]), mean(&seen[4 * fifth..]));
        assert!(late < early * 5 / 4, "its memory grew from {early} to {late} KiB");
    }
}
