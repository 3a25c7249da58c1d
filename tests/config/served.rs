//! A file is served, as the same options would be.

use serde_json::json;

use super::support::{Proxy, engine_path, nsys_stand_in, vllm_stand_in};

/// A file of the custom form, for the test's own engine.
fn own_engine(more: &str) -> String {
    format!(
        "backend: custom\nmodel: tiny\ncommand: ['{}', --model, '{{model}}', --host, '{{host}}', --port, '{{port}}']\n{more}",
        engine_path().display()
    )
}

fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("fleet.yaml"), text).expect("a file in it");
    folder
}

#[tokio::test]
async fn a_file_starts_its_engine() {
    let folder = folder(&own_engine("env_vars:\n  FROM_FILE: here\n"));
    let proxy =
        Proxy::builder().folder(folder.path()).options(["--config", "fleet.yaml", "--lease", "10s"]).start().await;
    let body = json!({ "model": "tiny", "messages": [{ "role": "user", "content": "hello" }] });
    let answer = proxy.client().post("/v1/chat/completions", &body).await.ok();
    assert!(answer["choices"][0]["message"]["content"].is_string(), "{answer}");
}

#[test]
fn a_rehearsal_shows_the_example_s_command() {
    let folder = folder(include_str!("examples/whole.yaml"));
    let proxy = Proxy::builder().folder(folder.path());
    let output = proxy.run(["serve", "--config", "fleet.yaml", "--idle-timeout", "1m", "--dry-run"]);
    let (told, warned) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{warned}");
    for words in ["vllm", "serve", "meta-llama/Llama-2-7b-hf", "--tensor-parallel-size", "8000", "OMP_NUM_THREADS"] {
        assert!(told.contains(words), "{words} in {told}");
    }
    assert!(told.contains("then exec nsys profile -o ") && told.contains("'--trace=cuda,nvtx'"), "{told}");
    assert!(!warned.contains("'profile'"), "{warned}");
}

#[test]
fn of_several_models_all_are_served_or_one_is_chosen() {
    let folder = folder(
        "models:\n  llama: {model: a/llama}\n  qwen: {model: b/qwen, slurm: {batch: true}, env_vars: {CUDA_VISIBLE_DEVICES: 3}}\n",
    );
    let proxy = Proxy::builder().folder(folder.path());
    let serve = |more: &[&str]| {
        let output = proxy.run(["serve", "--config", "fleet.yaml", "--dry-run"].iter().chain(more).copied());
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, scripts, told) = serve(&[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(scripts.contains("\n# llama\n") && scripts.contains("a/llama"), "{scripts}");
    assert!(scripts.contains("\n# qwen\n") && scripts.contains("b/qwen"), "{scripts}");
    let (code, _, told) = serve(&["--name", "qwem"]);
    assert_eq!(code, Some(2));
    assert!(told.contains("no model named 'qwem'") && told.contains("did you mean --name qwen?"), "{told}");
    let (code, script, told) = serve(&["--name", "qwen"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(script.contains("b/qwen") && script.contains("sbatch"), "{script}");
    assert!(told.contains("CUDA_VISIBLE_DEVICES (fleet.yaml:3) is left out: Slurm sets it for the job"), "{told}");
}

#[test]
fn the_environment_and_its_file_are_read_without_a_configuration_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join(".env"), "APP_PORT=5001\nVLLM_ACCESS_KEY=hunter2\nMINE=1\n").expect("a file");
    let proxy = Proxy::builder().folder(folder.path()).env("APP_HOST", "127.0.0.7");
    let output = proxy.run(["serve", "--dry-run", "vllm", "serve", "m"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("# Listens on 127.0.0.7:5001."), "{told}");
    assert!(!told.contains("VLLM_ACCESS_KEY") && !told.contains("hunter2"), "{told}");
    let output = proxy.run(["serve", "--dry-run", "--port", "5002", "vllm", "serve", "m"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("# Listens on 127.0.0.7:5002."));
}

#[tokio::test]
async fn the_access_key_may_have_its_other_name() {
    let folder = folder(&own_engine(""));
    let proxy = Proxy::builder().folder(folder.path()).env("VLLM_ACCESS_KEY", "hunter2").options([
        "--config",
        "fleet.yaml",
        "--lease",
        "10s",
    ]);
    let proxy = proxy.start().await;
    assert_eq!(proxy.client().get("/v1/models").await.status.as_u16(), 401);
}

/// The names in the list of models.
async fn names(proxy: &Proxy) -> Vec<String> {
    let list = proxy.client().get("/v1/models").await.ok();
    let list = list.pointer("/data").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    list.iter().filter_map(|model| Some(model.get("id")?.as_str()?.to_owned())).collect()
}

/// What the engine itself says of a request for each name.
async fn answers(proxy: &Proxy, names: &[&str]) -> Vec<u16> {
    let mut told = Vec::new();
    for name in names {
        let body = json!({ "model": name, "messages": [{ "role": "user", "content": "hello" }] });
        told.push(proxy.client().post("/v1/chat/completions", &body).await.status.as_u16());
    }
    told
}

#[tokio::test]
async fn aliases_are_listed_while_the_engine_sleeps_and_answered() {
    let command = format!(
        "command: ['{}', --model, nick, --model, '{{model}}', --host, '{{host}}', --port, '{{port}}']\n",
        engine_path().display()
    );
    let folder = folder(&format!("backend: custom\nmodel: tiny\naliases: nick\n{command}"));
    let proxy = Proxy::builder().folder(folder.path()).options(["--config", "fleet.yaml", "--wake-on", "inference"]);
    let proxy = proxy.start().await;
    assert_eq!(names(&proxy).await, ["tiny", "nick"]);
    assert_eq!(answers(&proxy, &["nick", "tiny", "stranger"]).await, [200, 200, 404]);
    assert!(!proxy.lines().so_far().join("\n").contains("does nothing yet"));
}

/// A program of vLLM's name that takes its words, and serves by the test's own engine.
fn like_vllm(folder: &std::path::Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let script = format!(
        "#!/bin/sh\nset -- \"$@\" --end\nmodel=$2 host='' port='' names=''\nshift 2\n\
         while [ \"$1\" != --end ]; do\n  case $1 in\n    --host) host=$2; shift ;;\n    --port) port=$2; shift ;;\n\
         \x20   --served-model-name) while case $2 in -*) false ;; esac; do names=\"$names --model $2\"; shift; done ;;\n\
         \x20 esac\n  shift\ndone\n\
         exec {} --host \"$host\" --port \"$port\" ${{names:---model $model}}\n",
        engine_path().display()
    );
    let path = folder.join("vllm");
    std::fs::write(&path, script).expect("a program");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("it can be run");
    path
}

#[tokio::test]
async fn vllm_is_told_its_aliases() {
    let text = "backend: vllm\nmodel: org/tiny\naliases: [nick, other]\n";
    let folder = folder(text);
    like_vllm(folder.path());
    let builder = Proxy::builder().of_fleet(folder.path()).with_programs_of(folder.path());
    let proxy = builder.options(["--wake-on", "inference"]).start().await;
    assert_eq!(names(&proxy).await, ["org/tiny", "nick", "other"], "asleep");
    assert_eq!(answers(&proxy, &["nick", "other", "org/tiny", "stranger"]).await, [200, 200, 200, 404]);
    assert_eq!(names(&proxy).await, ["org/tiny", "nick", "other"], "by the engine itself");
}

#[test]
fn what_a_command_says_of_its_names_is_left_alone_and_told() {
    let arguments = "config:\n  api_server_args: [--served-model-name, mine, nick]\n";
    let folder = folder(&format!("model: org/tiny\naliases: [nick, other]\n{arguments}"));
    let proxy = Proxy::builder().folder(folder.path());
    let output = proxy.run(["serve", "--config", "fleet.yaml", "--dry-run"]);
    let (told, warned) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("--served-model-name mine nick"), "{told}");
    assert!(!told.contains("--served-model-name org/tiny"), "{told}");
    let warning = "'aliases' (fleet.yaml:2) cannot be told to the engine, whose command names its model itself: write other \
                   there, too";
    assert!(warned.contains(warning), "{warned}");
}

/// The engine's usual path says for an hour that it loads.
#[tokio::test]
async fn an_engine_is_ready_by_the_path_that_the_file_or_the_option_names() {
    let loads = own_engine("").replace("--model", "--load-delay, '1h', --model").replace("'1h'", "'3600'");
    for (more, option) in
        [("ready_path: /stats?now\n", None), ("", Some("/stats")), ("ready_path: /none\n", Some("/stats"))]
    {
        let folder = folder(&format!("{loads}{more}"));
        let options =
            ["--config", "fleet.yaml"].into_iter().chain(option.into_iter().flat_map(|path| ["--ready-path", path]));
        let proxy = Proxy::builder().folder(folder.path()).options(options).start().await;
        assert_eq!(answers(&proxy, &["tiny"]).await, [200]);
    }
    let output = Proxy::builder().run(["serve", "--ready-path", "stats", "--dry-run", "vllm", "serve", "m"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("must be a path such as /health, and is 'stats'"));
}

#[tokio::test]
async fn the_example_of_one_server_runs_word_for_word() {
    let folder = folder(include_str!("examples/whole.yaml"));
    vllm_stand_in(folder.path());
    let recorded = nsys_stand_in(folder.path());
    let proxy = Proxy::builder().of_fleet(folder.path()).with_programs_of(folder.path());
    let proxy = proxy.options(["--lease", "10s"]).start().await;
    let body = json!({ "model": "meta-llama/Llama-2-7b-hf", "messages": [{ "role": "user", "content": "hello" }] });
    let answer = proxy.client().post("/v1/chat/completions", &body).await.ok();
    assert!(answer["choices"][0]["message"]["content"].is_string(), "{answer}");
    let told = std::fs::read_to_string(folder.path().join("argv")).expect("the engine's arguments");
    for words in ["serve\nmeta-llama/Llama-2-7b-hf\n", "--tensor-parallel-size\n1\n", "--port\n8000\n"] {
        assert!(told.contains(words), "{words:?} in {told}");
    }
    let told = std::fs::read_to_string(recorded).expect("the profiler's arguments");
    assert!(told.starts_with("profile\n") && told.contains("--trace=cuda,nvtx\n"), "{told}");
    let log = std::fs::read_to_string(folder.path().join("server_logs/llama-2-7b-hf/engine.log")).expect("its log");
    assert!(log.contains("stdout | this is a stand-in for vllm"), "{log}");
}
