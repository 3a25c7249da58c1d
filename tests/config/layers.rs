//! Who wins: flags, the environment, `.env`, the file, the default; and what a reload would touch.

use std::time::Duration;

use llm_proxy::config::{
    Environment, Flags, Instance, Layers, ServerBlock, Source, Sourced, VARIABLES, Variable, read_environment,
};

use super::file::{command as command_of, read};

fn environment(set: &[(&str, &str)], dotenv: &[(&str, &str)]) -> Result<Environment, String> {
    let dotenv: Vec<Variable> =
        dotenv.iter().map(|(name, value)| Variable::new(name, *value).expect("a variable")).collect();
    let look = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    read_environment(&look, &dotenv).map_err(|error| error.to_string())
}

fn idle(layers: &Layers) -> (u64, String) {
    let config = layers.resolve();
    let found = config.instances.first().and_then(|instance| instance.server.idle_timeout.clone()).expect("a timeout");
    (found.value.as_secs(), found.source.to_string())
}

fn timeout(seconds: u64, source: Source) -> Flags {
    let idle_timeout = Some(Sourced::new(Duration::from_secs(seconds), source));
    Flags { server: ServerBlock { idle_timeout, ..ServerBlock::default() }, ..Flags::default() }
}

#[test]
fn each_layer_wins_over_the_next() {
    let mut layers = Layers { defaults: timeout(1, Source::Default), ..Layers::default() };
    assert_eq!(idle(&layers), (1, "default".to_owned()));
    layers.file = Some(read("defaults:\n  idle_timeout: 2\nmodels:\n  a: {model: m}\n").expect("good"));
    assert_eq!(idle(&layers), (2, "f.yaml:2".to_owned()));
    layers.environment = environment(&[], &[("VLLM_DEFAULT_TIMEOUT", "3")]).expect("good");
    assert_eq!(idle(&layers), (3, "VLLM_DEFAULT_TIMEOUT in .env".to_owned()));
    layers.environment = environment(&[("VLLM_DEFAULT_TIMEOUT", "4")], &[("VLLM_DEFAULT_TIMEOUT", "3")]).expect("good");
    assert_eq!(idle(&layers), (4, "VLLM_DEFAULT_TIMEOUT in the environment".to_owned()));
    // What is a default for all yields to what one model says for itself.
    layers.file = Some(read("models:\n  a: {model: m, idle_timeout: 5}\n").expect("good"));
    assert_eq!(idle(&layers), (5, "f.yaml:2".to_owned()));
    layers.typed = timeout(6, Source::Flag("--idle-timeout"));
    assert_eq!(idle(&layers), (6, "--idle-timeout".to_owned()));
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = read("model: m\nlisten: {host: 127.0.0.2, port: 1}\noutput_dir: a\ndebug_mode: false\n").expect("good");
    let set =
        [("APP_HOST", "127.0.0.3"), ("APP_PORT", "5000"), ("APP_DEBUG", "true"), ("VLLM_BOOTSTRAP_LOG_DIR", "/logs")];
    let environment = environment(&set, &[]).expect("good");
    let config = Layers { file: Some(file), environment, ..Layers::default() }.resolve();
    let told: Vec<String> = config
        .rows()
        .iter()
        .chain(&config.instances[0].rows())
        .map(|row| format!("{}={}", row.key, row.value))
        .collect();
    assert_eq!(told, ["listen.host=127.0.0.3", "listen.port=5000", "model=m", "output_dir=/logs", "debug_mode=true"]);
}

#[test]
fn variables_give_arguments_that_a_model_overrides() {
    let set =
        [("VLLM_DEFAULT_DTYPE", "float16"), ("VLLM_DEFAULT_TRUST_REMOTE_CODE", "true"), ("VLLM_BASE_PORT", "9000")];
    let environment = environment(&set, &[]).expect("good");
    let command = |text: &str| {
        let layers =
            Layers { file: Some(read(text).expect("good")), environment: environment.clone(), ..Layers::default() };
        let config = layers.resolve();
        let Some(Instance { server, .. }) = config.instances.first() else { panic!("one instance") };
        (command_of(&config.instances[0]), server.port.as_ref().map(|port| port.value))
    };
    assert_eq!(command("model: m\n"), ("vllm serve m --dtype float16 --trust-remote-code".to_owned(), Some(9000)));
    let own = "model: m\nport: 1\nconfig: {api_server_args: {dtype: auto, trust_remote_code: false}}\n";
    assert_eq!(command(own), ("vllm serve m --dtype auto".to_owned(), Some(1)));
    assert_eq!(command("backend: sglang\nmodel: m\n").0, "python3 -m sglang.launch_server --model-path m");
}

#[test]
fn each_model_of_a_fleet_has_a_port_of_its_own_as_long_as_there_are_some() {
    let set = [("VLLM_BASE_PORT", "8000"), ("VLLM_LAUNCH_PORT_END", "8003")];
    let environment = environment(&set, &[]).expect("good");
    let text = "models:\n  a: {model: m}\n  b: {model: m, port: 8001}\n  c: {model: m}\n  d: {model: m, port: 9000}\n  \
                e: {model: m}\n  f: {model: m}\n";
    let layers = Layers { file: Some(read(text).expect("good")), environment, ..Layers::default() };
    let port = |instance: &Instance| instance.server.port.as_ref().map(|port| port.value);
    let ports: Vec<_> = layers.resolve().instances.iter().map(port).collect();
    assert_eq!(ports, [Some(8000), Some(8001), Some(8002), Some(9000), Some(8003), None]);
    let own = ServerBlock::default();
    assert_eq!(port(&layers.of_caller("g".to_owned(), &own)), None, "nobody knows how many a caller makes");
}

#[test]
fn bad_variables_are_told_at_once() {
    let set = [
        ("APP_PORT", "many"),
        ("VLLM_BASE_PORT", "9000"),
        ("VLLM_LAUNCH_PORT_START", "9001"),
        ("APP_DEBUG", "perhaps"),
    ];
    assert_eq!(
        environment(&set, &[("VLLM_MAX_INSTANCES", "0")]).expect_err("bad"),
        "APP_PORT in the environment must be a whole number from 0 to 65535, and is 'many'\n       \
         APP_DEBUG in the environment must be true or false, and is a text\n       \
         VLLM_BASE_PORT in the environment is 9000, and VLLM_LAUNCH_PORT_START in the environment is 9001; they mean the \
         same, so unset one\n       \
         VLLM_MAX_INSTANCES in .env must be a whole number from 1 to 10000, and is '0'"
    );
    assert_eq!(
        environment(&[("APP_PORT", ""), ("VLLM_CONFIG", "null")], &[]).map(|found| found.listen.port.is_none()),
        Ok(true)
    );
}

#[test]
fn each_variable_is_listed_once() {
    let mut names: Vec<&str> = VARIABLES.iter().map(|known| known.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), VARIABLES.len());
    let asked = [
        "APP_HOST",
        "APP_PORT",
        "APP_DEBUG",
        "VLLM_BASE_PORT",
        "VLLM_MAX_INSTANCES",
        "VLLM_DEFAULT_DTYPE",
        "VLLM_DEFAULT_KV_CACHE_DTYPE",
        "VLLM_DEFAULT_TRUST_REMOTE_CODE",
        "VLLM_DEFAULT_TIMEOUT",
        "VLLM_CONFIG",
        "HF_ENDPOINT",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "HF_HOME",
        "VLLM_LAUNCH_PORT_START",
        "VLLM_LAUNCH_PORT_END",
        "VLLM_BOOTSTRAP_LOG_DIR",
        "VLLM_ACCESS_KEY",
    ];
    assert!(asked.iter().all(|name| names.contains(name)), "{names:?}");
}
