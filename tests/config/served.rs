//! A file is served, as the same options would be.

use serde_json::json;

use super::support::{Proxy, engine_path};

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
    let proxy = Proxy::builder().folder(folder.path()).options(["--config", "fleet.yaml"]).start().await;
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
    assert!(warned.contains("'profile' (fleet.yaml:15) is understood, and does nothing yet"), "{warned}");
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
    let proxy =
        Proxy::builder().folder(folder.path()).env("VLLM_ACCESS_KEY", "hunter2").options(["--config", "fleet.yaml"]);
    let proxy = proxy.start().await;
    assert_eq!(proxy.client().get("/v1/models").await.status.as_u16(), 401);
}
