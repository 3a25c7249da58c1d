//! Who owns the GPUs of this machine, who yields, and which ports engines get; with a stand-in for `nvidia-smi` that prints what
//! the real one prints for eight GPUs, and engines that run as children.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::instances::post;
use support::{Deadline, Home, Proxy, engine_path, eventually};

/// The third GPU's name for life.
const THIRD: &str = "GPU-5f3d9b1e-7c42-4a0e-9b65-0d2f8c1a7e02";

/// `nvidia-smi`, as its manual has it; it writes down that it was asked, and fails while there is a file `broken`.
fn nvidia_smi(folder: &Path) {
    let rows: Vec<String> = (0..8)
        .map(|index| format!("{index}, GPU-5f3d9b1e-7c42-4a0e-9b65-0d2f8c1a7e{index:02}, NVIDIA A100-SXM4-80GB, 81920"))
        .collect();
    let script = format!(
        "#!/bin/sh\ncd '{}'\necho asked >>asked\n\
         if [ -e broken ]; then echo \"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\"; exit 9; fi\n\
         case $1 in --query-compute-apps=*) exit 0 ;; esac\n\
         [ \"$*\" = '--query-gpu=index,uuid,name,memory.total --format=csv,noheader,nounits' ] || exit 2\n\
         cat <<'END'\n{}\nEND\n",
        folder.display(),
        rows.join("\n")
    );
    let program = folder.join("nvidia-smi");
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a program");
}

/// A model of the file, whose engine is the test's own.
fn model(name: &str, keys: &str, arguments: &[&str]) -> String {
    let words = ["--host", "{host}", "--port", "{port}", "--model", &format!("org/{name}")].map(str::to_owned);
    let words: Vec<_> = words.into_iter().chain(arguments.iter().map(|&word| word.to_owned())).collect();
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    format!(
        "  {name}:\n    backend: custom\n    aliases: org/{name}\n    command: ['{}', {}]\n{keys}",
        engine_path().display(),
        words.join(", ")
    )
}

/// A folder with a file of these models, whose callers may create more, and with the stand-ins.
fn folder(models: &[String]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let models = if models.is_empty() { "models: {}\n".to_owned() } else { format!("models:\n{}", models.concat()) };
    std::fs::write(folder.path().join("fleet.yaml"), format!("callers: {{create: true}}\n{models}")).expect("a file");
    nvidia_smi(folder.path());
    support::vllm_stand_in(folder.path());
    folder
}

async fn serve(folder: &Path, home: Option<&Home>, variables: &[(&str, &str)]) -> Proxy {
    let builder = Proxy::builder().of_fleet(folder).with_programs_of(folder).options(["--lease", "10s"]);
    let builder = variables.iter().fold(builder, |builder, (name, value)| builder.env(*name, *value));
    match home {
        Some(home) => builder.home(home).start().await,
        None => builder.start().await,
    }
}

fn chat(name: &str) -> Value {
    json!({ "model": format!("org/{name}"), "messages": [{ "role": "user", "content": "hi" }] })
}

async fn asked(proxy: &Proxy, name: &str) -> (u16, Value) {
    post(proxy, "/v1/chat/completions", chat(name)).await
}

async fn status(proxy: &Proxy, name: &str) -> Value {
    proxy.client().get(&format!("/status/{name}")).await.ok()
}

/// Waits until its state, or its phase, is this.
async fn comes_to(proxy: &Proxy, name: &str, state: &str) -> Value {
    let deadline = Deadline::in_seconds(20);
    loop {
        let status = status(proxy, name).await;
        if status["state"] == state || status["phase"] == state {
            return status;
        }
        assert!(!deadline.is_over(), "{name} is not {state}: {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the engine was given.
async fn stats(proxy: &Proxy, name: &str) -> Value {
    proxy.client().get(&format!("/proxy/{name}/stats")).await.ok()
}

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_else(|| panic!("no error in {answer}"))
}

#[tokio::test]
async fn a_launch_owns_all_gpus_or_those_it_names_until_it_is_verified_gone() {
    let folder = folder(&[model("slow", "    gpus: [6]\n", &["--ignore-terms", "1"])]);
    let proxy = serve(folder.path(), None, &[]).await;
    let (code, made) = post(&proxy, "/launch", json!({ "model": "org/all" })).await;
    assert_eq!((code, &made["launch_id"]), (201, &json!("all")), "{made}");
    let ready = comes_to(&proxy, "all", "ready").await;
    assert_eq!(ready["gpus"], json!([0, 1, 2, 3, 4, 5, 6, 7]), "{ready}");
    assert_eq!(stats(&proxy, "all").await["gpus"], json!(null), "who has all of them is told nothing else than before");

    let (code, refused) = post(&proxy, "/launch", json!({ "model": "org/three", "gpus": [3] })).await;
    assert_eq!((code, &refused["error"]["code"]), (409, &json!("instance_conflict")), "{refused}");
    assert_eq!(message(&refused), "GPU 3 is owned by all");
    assert_eq!(proxy.client().get("/status/three").await.status.as_u16(), 404, "nothing was made");
    let (code, refused) = post(&proxy, "/instances", json!({ "model": "org/nine", "gpus": [9, 1] })).await;
    assert_eq!((code, message(&refused)), (400, "there is no GPU 9; there are 0, 1, 2, 3, 4, 5, 6, 7"), "{refused}");
    let (code, refused) = post(&proxy, "/start/slow", json!({})).await;
    assert_eq!((code, message(&refused)), (409, "GPU 6 is owned by all"), "{refused}");

    assert_eq!(post(&proxy, "/stop/all", json!({})).await.0, 202);
    comes_to(&proxy, "all", "stopped").await;
    let pair = json!({ "model": "org/pair", "gpus": [5, 4] });
    let (code, made) = post(&proxy, "/instances", pair.clone()).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(post(&proxy, "/instances", pair).await.0, 200, "it has them itself");
    assert_eq!(post(&proxy, "/start/slow", json!({})).await.0, 202, "others beside it");
    comes_to(&proxy, "slow", "ready").await;
    comes_to(&proxy, "pair", "ready").await;
    assert_eq!(stats(&proxy, "pair").await["gpus"], "4,5");
    let listed = proxy.client().get("/instances").await.ok();
    let of = |name: &str| {
        let all = listed["instances"].as_array().expect("a list");
        all.iter().find(|one| one["name"] == name).map(|one| one["gpus"].clone()).expect("an instance")
    };
    assert_eq!((of("pair"), of("slow"), of("all")), (json!([4, 5]), json!([6]), json!([])));

    // It is asked to end, and does not at once.
    assert_eq!(post(&proxy, "/stop/slow", json!({})).await.0, 202);
    let six = json!({ "model": "org/six", "gpus": [6] });
    let (code, refused) = post(&proxy, "/launch", six.clone()).await;
    assert_eq!((code, message(&refused)), (409, "GPU 6 is owned by slow"), "{refused}");
    assert_eq!(status(&proxy, "slow").await["gpus"], json!([6]));
    comes_to(&proxy, "slow", "stopped").await;
    // Of two at once, one has it.
    let other = json!({ "model": "org/other", "gpus": [6] });
    let ((one, _), (two, _)) = tokio::join!(post(&proxy, "/launch", six), post(&proxy, "/launch", other));
    assert_eq!([one.min(two), one.max(two)], [201, 409]);
    let tool = std::fs::read_to_string(folder.path().join("asked")).expect("it was asked");
    assert!(tool.lines().count() < 10, "asked once, and after each end what is left: {tool}");
}

#[tokio::test]
async fn who_is_idle_yields_to_a_request_and_who_stays_or_works_does_not() {
    let folder = folder(&[
        model("one", "", &[]),
        model("two", "", &["--tokens", "10", "--token-delay", "150"]),
        model("stays", "    gpus: [0]\n    idle_timeout: 0\n", &[]),
        model("brief", "    gpus: [0]\n    queue_timeout: 1s\n", &[]),
    ]);
    let proxy = serve(folder.path(), None, &[]).await;
    assert_eq!(asked(&proxy, "one").await.0, 200);
    // It is idle, and yields to the next; which is then busy.
    let long = asked(&proxy, "two");
    let meanwhile = async {
        let deadline = Deadline::in_seconds(20);
        while status(&proxy, "two").await["in_flight"] != 1 {
            assert!(!deadline.is_over(), "two never began");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(status(&proxy, "one").await["state"], "stopped");
        let waits = asked(&proxy, "one");
        let looks = async {
            let queued = comes_to(&proxy, "one", "queued").await;
            assert_eq!(queued["reason"], "waiting for GPUs 0, 1, 2, 3, 4, 5, 6, 7, owned by two", "{queued}");
            assert_eq!(status(&proxy, "two").await["in_flight"], 1, "it goes on");
        };
        tokio::join!(waits, looks).0
    };
    let ((two, whole), (one, _)) = tokio::join!(long, meanwhile);
    assert_eq!((two, &whole["usage"]["completion_tokens"]), (200, &json!(10)), "nothing of it was lost: {whole}");
    assert_eq!((one, status(&proxy, "two").await["state"].as_str()), (200, Some("stopped")));

    assert_eq!(asked(&proxy, "stays").await.0, 200);
    let (code, refused) = asked(&proxy, "brief").await;
    assert_eq!((code, &refused["error"]["code"]), (503, &json!("queue_timeout")), "{refused}");
    assert!(message(&refused).contains("waiting for GPU 0, owned by stays"), "{refused}");
    let waits = asked(&proxy, "one");
    let stops = async {
        comes_to(&proxy, "one", "queued").await;
        assert_eq!(status(&proxy, "stays").await["state"], "ready");
        assert_eq!(post(&proxy, "/stop/stays", json!({})).await.0, 202);
    };
    assert_eq!(tokio::join!(waits, stops).0.0, 200, "a person may end it");
}

#[tokio::test]
async fn a_variable_of_the_user_s_own_is_the_claim_and_stays_as_it_is() {
    let ours = format!("    env_vars: {{CUDA_VISIBLE_DEVICES: '{THIRD}'}}\n");
    let folder = folder(&[model("own", &ours, &[]), model("none", "    gpus: []\n", &[])]);
    // Of the eight, this program itself was given four.
    let proxy = serve(folder.path(), None, &[("CUDA_VISIBLE_DEVICES", "0,1,2,3")]).await;
    assert_eq!(asked(&proxy, "own").await.0, 200);
    assert_eq!(
        (&stats(&proxy, "own").await["gpus"], &status(&proxy, "own").await["gpus"]),
        (&json!(THIRD), &json!([2]))
    );
    assert_eq!(asked(&proxy, "none").await.0, 200, "who needs none waits for none");
    assert_eq!(stats(&proxy, "none").await["gpus"], "");
    let (code, refused) = post(&proxy, "/launch", json!({ "model": "org/m", "gpus": [2, 4] })).await;
    assert_eq!((code, message(&refused)), (400, "there is no GPU 4; there are 0, 1, 2, 3"));
    let (code, refused) = post(&proxy, "/launch", json!({ "model": "org/m" })).await;
    assert_eq!((code, message(&refused)), (409, "GPU 2 is owned by own"));
    let (code, made) = post(&proxy, "/launch", json!({ "model": "org/m", "gpus": [1, 3] })).await;
    assert_eq!(code, 201, "{made}");
}

#[tokio::test]
async fn a_life_that_is_found_again_owns_its_gpus_and_a_tool_that_failed_is_asked_again() {
    let folder =
        folder(&[model("one", "    gpus: [0, 1]\n", &[]), model("two", "    gpus: [1]\n", &[]), model("any", "", &[])]);
    std::fs::write(folder.path().join("broken"), "").expect("a file");
    let proxy = serve(folder.path(), None, &[]).await;
    let (code, refused) = asked(&proxy, "one").await;
    assert_eq!((code, &refused["error"]["code"]), (503, &json!("no_such_gpu")), "none is known: {refused}");
    assert_eq!(asked(&proxy, "any").await.0, 200, "who names none starts without");
    assert_eq!((&stats(&proxy, "any").await["gpus"], &status(&proxy, "any").await["gpus"]), (&json!(null), &json!([])));
    std::fs::remove_file(folder.path().join("broken")).expect("it was there");
    assert_eq!(post(&proxy, "/start/one", json!({})).await.0, 202);
    comes_to(&proxy, "one", "ready").await;
    let engine = stats(&proxy, "one").await["pid"].clone();

    let home = proxy.home();
    proxy.stop("KILL", Deadline::in_seconds(10)).await;
    let proxy = serve(folder.path(), Some(&home), &[]).await;
    let (code, refused) = post(&proxy, "/start/two", json!({})).await;
    assert_eq!((code, message(&refused)), (409, "GPU 1 is owned by one"));
    assert_eq!(asked(&proxy, "one").await.0, 200);
    assert_eq!(stats(&proxy, "one").await["pid"], engine, "the same engine");
    assert_eq!(status(&proxy, "one").await["gpus"], json!([0, 1]));
    // A request has it yield, as any other.
    assert_eq!(asked(&proxy, "two").await.0, 200);
    assert_eq!(status(&proxy, "one").await["gpus"], json!([]));
}

#[tokio::test]
async fn no_more_run_than_may_and_the_one_idle_longest_makes_room() {
    let models = ["one", "two", "three"].map(|name| model(name, "    gpus: []\n", &[]));
    let folder = folder(&models);
    let proxy = serve(folder.path(), None, &[("VLLM_MAX_INSTANCES", "2")]).await;
    for name in ["one", "two", "one"] {
        assert_eq!(asked(&proxy, name).await.0, 200);
        // Its client has the answer a moment before its engine is idle.
        let idle = async || (status(&proxy, name).await["in_flight"] == 0).then_some(());
        eventually(Deadline::in_seconds(10), "it is idle", idle).await;
    }
    let (code, refused) = post(&proxy, "/start/three", json!({})).await;
    assert_eq!((code, message(&refused)), (409, "as many engines run as may, 2: one, two"));
    let (code, refused) = post(&proxy, "/launch", json!({ "model": "org/m", "gpus": [] })).await;
    assert_eq!(code, 409, "{refused}");
    assert_eq!(asked(&proxy, "three").await.0, 200);
    assert_eq!(status(&proxy, "two").await["state"], "stopped", "it was idle longest");
    assert_eq!(status(&proxy, "one").await["state"], "ready");
}

#[tokio::test]
async fn replicas_that_would_take_each_other_s_gpus_do_not() {
    let folder = folder(&[model("twins", "    replicas: 2\n    gpus: [0]\n", &[])]);
    let proxy = serve(folder.path(), None, &[]).await;
    assert_eq!(asked(&proxy, "twins").await.0, 200);
    let refused = async || {
        let states = [status(&proxy, "twins").await, status(&proxy, "twins-2").await];
        let problem = states.iter().find(|one| one["state"] == "failed")?["problem"].clone();
        (problem["code"] == "no_gpu_left").then_some(problem)
    };
    let problem = eventually(Deadline::in_seconds(20), "one of them is refused", refused).await;
    assert!(problem["what"].as_str().is_some_and(|what| what.contains("twins")), "{problem}");
    let gpus = [status(&proxy, "twins").await["gpus"].clone(), status(&proxy, "twins-2").await["gpus"].clone()];
    assert!(gpus.contains(&json!([0])) && gpus.contains(&json!([])), "{gpus:?}");
    assert_eq!(asked(&proxy, "twins").await.0, 200, "the other one goes on");
}

/// Three ports in a row that nobody has, below those that the system and other tests take.
fn free_range() -> u16 {
    let first = 11_000 + u16::try_from(std::process::id() % 2_000).expect("small") * 4;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (first..19_997).step_by(4).find(|first| (*first..first + 3).all(is_free)).expect("three free ports")
}

#[tokio::test]
async fn ports_come_from_the_range_and_none_that_somebody_has() {
    let models = ["one", "two", "three"].map(|name| model(name, "    gpus: []\n", &[]));
    let folder = folder(&models);
    let first = free_range();
    let stranger = TcpListener::bind(("127.0.0.1", first)).expect("the first port");
    let (start, end) = (first.to_string(), (first + 2).to_string());
    let proxy = serve(folder.path(), None, &[("VLLM_LAUNCH_PORT_START", &start), ("VLLM_LAUNCH_PORT_END", &end)]).await;
    let port = |stats: &Value| {
        let words = stats["arguments"].as_array().expect("words").clone();
        let at = words.iter().position(|word| word == "--port").expect("a port");
        words[at + 1].as_str().expect("a text").parse::<u16>().expect("a port")
    };
    assert_eq!((asked(&proxy, "one").await.0, asked(&proxy, "two").await.0), (200, 200));
    let mut ports = [port(&stats(&proxy, "one").await), port(&stats(&proxy, "two").await)];
    ports.sort_unstable();
    assert_eq!(ports, [first + 1, first + 2]);
    let (code, refused) = asked(&proxy, "three").await;
    assert_eq!((code, &refused["error"]["code"]), (503, &json!("no_free_port")), "{refused}");
    let said = message(&refused);
    assert!(said.contains(&format!("every port from {first} to {} is in use", first + 2)), "{said}");
    assert!(said.contains("by one") && said.contains("by two") && said.contains("1 by other programs"), "{said}");
    drop(stranger);
    assert_eq!(post(&proxy, "/start/three", json!({})).await.0, 202);
    comes_to(&proxy, "three", "ready").await;
    assert_eq!(port(&stats(&proxy, "three").await), first);
}

#[tokio::test]
async fn a_tool_that_hangs_is_waited_for_once_and_not_at_all_by_who_needs_no_gpu() {
    let folder = folder(&[model("none", "    gpus: []\n", &[]), model("one", "", &[]), model("two", "", &[])]);
    let (tool, asked_file) = (folder.path().join("nvidia-smi"), folder.path().join("asked"));
    // What it is asked after an engine's end is the keeper's business.
    let hangs = format!(
        "#!/bin/sh\ncase $1 in --query-gpu=*) ;; *) exit 0 ;; esac\necho asked >>'{}'\nexec sleep 600\n",
        asked_file.display()
    );
    std::fs::write(&tool, hangs).expect("a script");
    let proxy = serve(folder.path(), None, &[]).await;
    assert_eq!(asked(&proxy, "none").await.0, 200);
    assert_eq!(stats(&proxy, "none").await["gpus"], "", "whatever there is");
    assert!(!asked_file.exists(), "it was asked");
    let asked_times = || std::fs::read_to_string(&asked_file).expect("it was asked").lines().count();
    // Both at once: one after the other, they would wait twice.
    let (one, two) = tokio::join!(asked(&proxy, "one"), asked(&proxy, "two"));
    assert_eq!((one.0, two.0, asked_times()), (200, 200, 1));
    assert_eq!(post(&proxy, "/stop/one", json!({})).await.0, 202);
    comes_to(&proxy, "one", "stopped").await;
    assert_eq!((asked(&proxy, "one").await.0, asked_times()), (200, 1));
}

#[tokio::test]
async fn an_engine_of_which_no_record_says_what_it_has_owns_all_gpus_when_it_is_found_again() {
    let folder = folder(&[model("old", "", &[]), model("new", "    gpus: [1]\n", &[])]);
    let proxy = serve(folder.path(), None, &[]).await;
    assert_eq!(asked(&proxy, "old").await.0, 200);
    let home = proxy.home();
    proxy.stop("KILL", Deadline::in_seconds(10)).await;
    // As it was written before there were shares.
    let mut record = home.record("old");
    record.as_object_mut().expect("a record").remove("share").expect("its share");
    std::fs::write(home.record_file("old"), record.to_string()).expect("a file");
    let proxy = serve(folder.path(), Some(&home), &[]).await;
    let (code, refused) = post(&proxy, "/start/new", json!({})).await;
    assert_eq!((code, message(&refused)), (409, "GPU 1 is owned by old"), "{refused}");
    assert_eq!(asked(&proxy, "new").await.0, 200, "it is idle, and yields");
    assert_eq!(status(&proxy, "old").await["state"], "stopped");
}

/// What is free may be what somebody waits for, with more: an order to start takes its turn behind him.
#[tokio::test]
async fn an_order_to_start_does_not_pass_who_waits_in_line() {
    let busy = ["--tokens", "20", "--token-delay", "150"];
    let folder = folder(&[
        model("busy", "    gpus: [0]\n", &busy),
        model("pair", "    gpus: [0, 1]\n", &["--tokens", "5", "--token-delay", "150"]),
        model("late", "    gpus: [1]\n", &[]),
    ]);
    let proxy = serve(folder.path(), None, &[]).await;
    let long = asked(&proxy, "busy");
    let meanwhile = async {
        comes_to(&proxy, "busy", "ready").await;
        let waits = asked(&proxy, "pair");
        let order = async {
            comes_to(&proxy, "pair", "queued").await;
            let (code, started) = post(&proxy, "/start/late", json!({})).await;
            assert_eq!(code, 202, "{started}");
            let queued = comes_to(&proxy, "late", "queued").await;
            assert_eq!(queued["reason"], "waiting for its turn: others have waited longer", "{queued}");
            let busy = status(&proxy, "busy").await;
            assert_eq!(busy["in_flight"], 1, "it still works, and nothing else is in the way: {busy}");
        };
        tokio::join!(waits, order).0
    };
    let ((busy, _), (pair, _)) = tokio::join!(long, meanwhile);
    assert_eq!((busy, pair), (200, 200));
    assert_eq!(post(&proxy, "/stop/pair", json!({})).await.0, 202);
    comes_to(&proxy, "late", "ready").await;
}

#[tokio::test]
async fn one_that_is_slurm_s_from_now_on_keeps_its_gpus_here_until_it_is_gone() {
    let folder = folder(&[model("old", "", &["--ignore-terms", "1"]), model("new", "    gpus: [1]\n", &[])]);
    let proxy = serve(folder.path(), None, &[]).await;
    assert_eq!(asked(&proxy, "old").await.0, 200);
    let home = proxy.home();
    proxy.stop("KILL", Deadline::in_seconds(10)).await;
    let file = folder.path().join("fleet.yaml");
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, text.replacen("  old:\n", "  old:\n    launcher: slurm\n", 1)).expect("a file");
    let proxy = serve(folder.path(), Some(&home), &[]).await;
    let (code, refused) = post(&proxy, "/start/new", json!({})).await;
    assert_eq!((code, message(&refused)), (409, "GPU 1 is owned by old"), "{refused}");
    comes_to(&proxy, "old", "stopped").await;
    assert_eq!(post(&proxy, "/start/new", json!({})).await.0, 202);
    comes_to(&proxy, "new", "ready").await;
}
