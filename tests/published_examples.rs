//! The commands that published managers of engines show in their documents, run as they are written there: the same paths,
//! the same bodies, by `curl`, with a real engine behind each answer. Two are jobs of Slurm, on both nodes at once; one is a
//! child of the proxy.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use support::scene::{SRUN_ARGS, soon, wait_until_nothing_is_left};
use support::{Cluster, Deadline, HostName, Llama, Proxy, eventually};

/// What the documents of a manager of vLLM instances show; it listens on port 5000.
const CREATE_WITH_PARAMETERS: &str = r#"curl -X POST http://localhost:5000/instances -H "Content-Type: application/json" \
  -d '{"model_name": "NousResearch/Meta-Llama-3-8B-Instruct", "params": {"dtype": "float16"}}'"#;
const CREATE: &str = r#"curl -X POST http://localhost:5000/instances -H "Content-Type: application/json" -d '{"model_name": "facebook/opt-125m"}'"#;
const LIST: &str = "curl http://localhost:5000/instances";
const GET: &str = "curl http://localhost:5000/instances/{instance_id}";
const COMPLETE: &str = r#"curl -X POST http://localhost:5000/proxy/{instance_id}/v1/completions \
  -H "Content-Type: application/json" \
  -d '{"model": "NousResearch/Meta-Llama-3-8B-Instruct", "prompt": "你好，世界！", "max_tokens": 100}'"#;
const CHAT: &str = r#"curl -X POST http://localhost:5000/v1/chat/completions -H "Content-Type: application/json" \
  -d '{"model": "facebook/opt-125m", "messages": [{"role": "user", "content": "Hello"}]}'"#;
const DELETE: &str = "curl -X DELETE http://localhost:5000/instances/<instance_id>";
const HEALTH: &str = "curl http://localhost:5000/health";

/// What those of a control plane for rented GPU hosts show; it listens on port 8000.
const LAUNCH: &str = r#"curl -X POST http://localhost:8000/launch \
  -H "content-type: application/json" \
  -d '{"model":"meta-llama/Llama-3.1-8B-Instruct"}'"#;
const TAIL: &str = r#"curl "http://localhost:8000/logs/<launch_id>?offset=0""#;

/// Puts `vllm` into `folder`: it takes what vLLM takes, and is llama.cpp's server.
fn real_vllm(folder: &Path) {
    let words: Vec<_> = Llama::find().command_on("$host", "$port").iter().map(|word| format!("\"{word}\"")).collect();
    let script = format!(
        "#!/bin/sh\necho \"stand-in for vllm $*\"\nwhile [ $# -gt 0 ]; do\n  case $1 in --host) host=$2 ;; --port) port=$2 ;; \
         esac\n  shift\ndone\nLLAMA_API_KEY=$VLLM_API_KEY\nexport LLAMA_API_KEY\nexec {}\n",
        words.join(" ")
    );
    std::fs::write(folder.join("vllm"), script).expect("a script");
    std::fs::set_permissions(folder.join("vllm"), std::fs::Permissions::from_mode(0o755)).expect("a program");
}

/// Runs a line as a shell on the laptop does; curl's answer, and the status with which it came.
fn shell(cluster: &Cluster, line: &str, id: &str) -> (u16, Value) {
    let line = line.replace("{instance_id}", id).replace("<instance_id>", id).replace("<launch_id>", id);
    let line = line.replacen("curl ", "curl -sS -m 100 -w '\\n%{http_code}' ", 1);
    let output = cluster.laptop_command("bash").args(["-c", &line]).output().expect("a shell");
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{line}: {printed}{said}");
    let (body, status) = printed.rsplit_once('\n').expect("a status");
    let body = serde_json::from_str(body).unwrap_or_else(|_| panic!("{line}: no JSON: {body}"));
    (status.parse().expect("a number"), body)
}

async fn ready(cluster: &Cluster, get: &str, id: &str) -> Value {
    let state = async || Some(shell(cluster, get, id).1).filter(|one| one["state"] == "ready");
    eventually(Deadline::in_seconds(90), &format!("{id} is ready"), state).await
}

#[tokio::test]
async fn a_manager_of_instances() {
    let cluster = Cluster::up();
    let folder = tempfile::tempdir().expect("a folder");
    real_vllm(cluster.share());
    let file = format!(
        "callers: {{create: true}}\ndefaults:\n  launcher: slurm\n  slurm: {{args: '{SRUN_ARGS}'}}\n  \
         prelude: 'PATH={}:$PATH'\nmodels: {{}}\n",
        cluster.share().display()
    );
    std::fs::write(folder.path().join("fleet.yaml"), file).expect("a file");
    let proxy = Proxy::builder().on_laptop(&cluster).folder(folder.path());
    let proxy = proxy.port(5000).options(["--config", "fleet.yaml"]).start().await;

    let (status, first) = shell(&cluster, CREATE_WITH_PARAMETERS, "");
    assert_eq!(status, 201, "{first}");
    let first = first["instance_id"].as_str().expect("its id").to_owned();
    let (status, second) = shell(&cluster, CREATE, "");
    assert_eq!(status, 201, "{second}");
    let second = second["instance_id"].as_str().expect("its id").to_owned();

    let (status, list) = shell(&cluster, LIST, "");
    let ids = |list: &Value| -> Vec<Value> {
        list["instances"].as_array().expect("a list").iter().map(|one| one["instance_id"].clone()).collect()
    };
    assert_eq!((status, ids(&list)), (200, vec![json!(first), json!(second)]));
    let (at_first, at_second) = (ready(&cluster, GET, &first).await, ready(&cluster, GET, &second).await);
    let nodes = [&at_first["node"], &at_second["node"]].map(|node| node.as_str().expect("a node").to_owned());
    assert_ne!(nodes[0], nodes[1], "each has a node of its own: {at_first} {at_second}");
    assert_eq!(cluster.jobs().len(), 2);

    let (status, answer) = shell(&cluster, COMPLETE, &first);
    assert_eq!((status, &answer["usage"]["completion_tokens"]), (200, &json!(100)), "{answer}");
    let log = proxy.client().get(&format!("/logs/{first}?offset=0")).await.ok();
    assert!(log["log"].as_str().is_some_and(|log| log.contains("--dtype float16")), "{log}");
    let (status, answer) = shell(&cluster, CHAT, "");
    assert_eq!((status, &answer["object"]), (200, &json!("chat.completion")), "{answer}");
    let (status, health) = shell(&cluster, HEALTH, "");
    let counts = (&health["instances"], &health["processes"]);
    assert_eq!((status, &health["status"], counts), (200, &json!("ok"), (&json!(2), &json!(2))), "{health}");

    for id in [&first, &second] {
        assert_eq!(shell(&cluster, DELETE, id).0, 202);
        let gone = async || (shell(&cluster, GET, id).0 == 404).then_some(());
        eventually(Deadline::in_seconds(60), "it is ended and forgotten", gone).await;
    }
    assert_eq!(ids(&shell(&cluster, LIST, "").1), Vec::<Value>::new());
    wait_until_nothing_is_left(&cluster, 10).await;
    assert!(proxy.stop("TERM", soon()).await.success());
}

#[tokio::test]
async fn a_control_plane_of_a_gpu_host() {
    let cluster = Cluster::up();
    let folder = tempfile::tempdir().expect("a folder");
    real_vllm(folder.path());
    std::fs::write(folder.path().join("fleet.yaml"), "callers: {create: true}\nmodels: {}\n").expect("a file");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").expect("a PATH"));
    // The laptop's address is its own; nothing is started by SSH.
    let mut command = cluster.command(HostName::Laptop, env!("CARGO_BIN_EXE_llm-proxy"));
    let home = folder.path().join("home");
    command.env_clear().env("PATH", path).env("HOME", &home).env("XDG_STATE_HOME", home.join("state"));
    command.env("XDG_RUNTIME_DIR", home.join("run")).current_dir(folder.path());
    for folder in ["state", "run"] {
        std::fs::create_dir_all(home.join(folder)).expect("a folder");
    }
    command.args(["serve", "--port", "8000", "--config", "fleet.yaml"]);
    let mut proxy = support::ChildGuard::start("llm-proxy", &mut command);
    proxy.stderr().wait_for("listening on", soon()).await;

    let (status, launched) = shell(&cluster, LAUNCH, "");
    assert_eq!(status, 201, "{launched}");
    let id = launched["launch_id"].as_str().expect("its id").to_owned();
    let at_once = shell(&cluster, "curl http://localhost:8000/proxy/<launch_id>/v1/models", &id);
    assert!(matches!(at_once.0, 409 | 200), "{at_once:?}");
    let status = ready(&cluster, "curl http://localhost:8000/status/<launch_id>", &id).await;
    assert_eq!(status["model"], "meta-llama/Llama-3.1-8B-Instruct", "{status}");
    let (code, log) = shell(&cluster, TAIL, &id);
    assert!(code == 200 && log["log"].as_str().is_some_and(|log| log.contains("stand-in for vllm")), "{log}");
    assert!(log["next_offset"].as_u64() > Some(0), "{log}");
    let (code, models) = shell(&cluster, "curl http://localhost:8000/proxy/<launch_id>/v1/models", &id);
    assert!(code == 200 && models["data"].is_array(), "{models}");

    let (code, stopping) = shell(&cluster, "curl -X POST http://localhost:8000/stop/<launch_id>", &id);
    assert_eq!(code, 202, "{stopping}");
    let stopped = async || {
        let (_, status) = shell(&cluster, "curl http://localhost:8000/status/<launch_id>", &id);
        (status["state"] == "stopped").then_some(())
    };
    eventually(Deadline::in_seconds(60), "it is stopped", stopped).await;
    let (code, refused) = shell(&cluster, "curl http://localhost:8000/proxy/<launch_id>/v1/models", &id);
    assert_eq!(code, 409, "{refused}");
    proxy.signal("TERM");
    assert!(proxy.wait(soon()).await.success());
}
