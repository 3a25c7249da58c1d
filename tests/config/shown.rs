//! `config check`, `show`, `schema` and `env`.

use std::process::Output;

use super::support::Proxy;

fn config(text: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("c.yaml"), text).expect("a file in it");
    let proxy = Proxy::builder().folder(folder.path()).env("APP_PORT", "5000");
    proxy.run(["config"].iter().chain(arguments).copied())
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn check_tells_all_problems() {
    let (code, _, told) = told(&config("model: m\nprot: 1\nidle_timeout: soon\n", &["check", "c.yaml"]));
    assert_eq!(code, Some(2));
    assert!(told.contains("c.yaml:2: 'prot' is not known; did you mean 'port'?"), "{told}");
    assert!(told.contains("c.yaml:3: 'idle_timeout' is no duration"), "{told}");
}

#[test]
fn check_says_that_nothing_is_wrong() {
    let (code, said, faults) = told(&config(include_str!("examples/fleet.yaml"), &["check", "c.yaml"]));
    assert_eq!((code, said.lines().last()), (Some(0), Some("nothing is wrong: llama, small")), "{faults}");
    let (code, _, faults) = told(&config("model: m\nslurm: {args: --pty}\n", &["check", "c.yaml"]));
    assert_eq!(code, Some(2), "what srun may not be given is a fault of the file, too");
    assert!(faults.contains("--pty"), "{faults}");
}

#[test]
fn check_sees_what_serve_would_refuse_of_several_models_together() {
    let two = "models:\n  a: {model: x/a, aliases: [gpt]}\n  b: {model: x/b, aliases: [gpt]}\n";
    let (code, _, faults) = told(&config(two, &["check", "c.yaml"]));
    assert_eq!(code, Some(2), "{faults}");
    assert!(faults.contains("a and b are both to answer to the model name 'gpt'"), "{faults}");
    let (code, said, faults) = told(&config(two, &["check", "--name", "b", "c.yaml"]));
    assert_eq!((code, said.lines().last()), (Some(0), Some("nothing is wrong: b")), "{faults}");
}

#[test]
fn check_warns_of_more_models_than_the_bound() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("c.yaml"), "models:\n  a: {model: x/a}\n  b: {model: x/b}\n")
        .expect("a file in it");
    let proxy = Proxy::builder().folder(folder.path()).env("VLLM_MAX_INSTANCES", "1");
    let (code, said, faults) = told(&proxy.run(["config", "check", "c.yaml"]));
    assert_eq!(code, Some(0), "{faults}");
    assert!(said.contains("warning: VLLM_MAX_INSTANCES is 1") && said.contains("the file has 2 models"), "{said}");
}

#[test]
fn show_names_each_source_and_no_secret() {
    let text = "model: m\nenv_vars: {T: hunter2}\nconfig: {api_server_args: {api-key: hunter2, seed: 1}}\n";
    let (code, said, faults) = told(&config(text, &["show", "--idle-timeout", "5m", "c.yaml"]));
    assert_eq!(code, Some(0), "{faults}");
    let line = |key: &str| {
        let found = said.lines().find(|line| line.split_whitespace().next() == Some(key));
        found.unwrap_or_else(|| panic!("no {key} in\n{said}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("listen.port"), "listen.port 5000 # APP_PORT in the environment");
    assert_eq!(line("listen.host"), "listen.host 127.0.0.1 # default");
    assert_eq!(line("model"), "model m # c.yaml:1");
    assert_eq!(line("env_vars.T"), "env_vars.T … # c.yaml:2");
    assert_eq!(line("idle_timeout"), "idle_timeout 5m # --idle-timeout");
    assert_eq!(line("stop_timeout"), "stop_timeout 1m # default");
    assert!(line("command").starts_with("command vllm serve m --api-key"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn schema_and_variables_are_printed() {
    let (code, said, _) = told(&config("", &["schema"]));
    let schema: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, schema["title"].as_str()), (Some(0), Some("llm-proxy")));
    let (code, said, _) = told(&config("", &["env"]));
    assert_eq!(code, Some(0));
    assert!(
        said.lines().any(|line| line.starts_with("VLLM_MAX_INSTANCES ") && line.ends_with("[default: 20]")),
        "{said}"
    );
}
