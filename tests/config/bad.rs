//! Bad files, and what is said of them.

use super::file::read;

#[test]
fn each_fault_has_its_line_and_what_to_write() {
    let table: &[(&str, &str)] = &[
        ("", "f.yaml:1: 'model' is missing; write its name or path, as in 'model: meta-llama/Llama-2-7b-hf'"),
        ("- a\n", "f.yaml:1: the file must be a mapping, and is a list"),
        ("model: m\nprot: 8000\n", "f.yaml:2: 'prot' is not known; did you mean 'port'?"),
        ("model: m\nslurm:\n  arg: x\n", "f.yaml:3: 'slurm.arg' is not known; did you mean 'slurm.args'?"),
        (
            "model: m\nserve_config: {colour: red}\n",
            "f.yaml:2: 'serve_config.colour' is not known; known here: model_size",
        ),
        ("model: m\nport: eighty\n", "f.yaml:2: 'port' must be a whole number from 1 to 65535, and is 'eighty'"),
        ("model: m\nport: 70000\n", "f.yaml:2: 'port' must be a whole number from 1 to 65535, and is '70000'"),
        ("model: m\nport: [1]\n", "f.yaml:2: 'port' must be a whole number from 1 to 65535, and is a list"),
        ("model: m\ngpus: 0\n", "f.yaml:2: 'gpus' must be a list of numbers such as [0, 1], and is a number"),
        (
            "model: m\ngpus: [0, all]\n",
            "f.yaml:2: 'gpus' has an entry that must be a whole number from 0 to 1023, and is 'all'",
        ),
        ("model: [m]\n", "f.yaml:1: 'model' must be a text, and is a list"),
        ("model: m\ndebug_mode: yes\n", "f.yaml:2: 'debug_mode' must be true or false; 'yes' is a text in YAML 1.2"),
        ("model: m\ndebug_mode: 1\n", "f.yaml:2: 'debug_mode' must be true or false, and is a number"),
        (
            "model: m\nidle_timeout: soon\n",
            "f.yaml:2: 'idle_timeout' is no duration: 'soon' is not a duration; write for example 90s, 30m, 1h30m or a number \
             of seconds",
        ),
        ("model: m\nready_path: health\n", "f.yaml:2: 'ready_path' must be a path such as /health, and is 'health'"),
        ("model: m\nready_path: '/a b'\n", "f.yaml:2: 'ready_path' must be a path such as /health, and is '/a b'"),
        ("model: m\nheartbeat_interval: 0\n", "f.yaml:2: 'heartbeat_interval' must be more than 0"),
        (
            "backend: vlm\nmodel: m\n",
            "f.yaml:1: 'backend' must be one of vllm, sglang, custom, and is 'vlm'; did you mean 'vllm'?",
        ),
        ("backend: custom\n", "f.yaml:1: 'command' is missing; a custom backend has no command of its own"),
        (
            "model: m\nconfig:\n  server_args: [--tp, 4]\n",
            "f.yaml:3: 'config.server_args' is not for vllm, which takes 'config.api_server_args'",
        ),
        (
            "model: m\nconfig:\n  api_server_args: fast\n",
            "f.yaml:3: 'config.api_server_args' must be a list of arguments or a mapping of them, and is a text",
        ),
        (
            "model: m\nenv_vars:\n  HF-TOKEN: hunter2\n",
            "f.yaml:3: 'env_vars.HF-TOKEN' cannot be set: 'HF-TOKEN' cannot be the name of a variable; a name has letters, \
             digits and _ and starts with no digit",
        ),
        ("model: m\nenv_vars:\n  A: [hunter2]\n", "f.yaml:3: 'env_vars.A' must be a text, and is a list"),
        (
            "model: m\nport: 1\nport: 2\n",
            "f.yaml:3: 'port' is written twice, here and in line 2; leave one of them out",
        ),
        (
            "model: m\naccess_key: hunter2\n",
            "f.yaml:2: 'access_key' takes the place of a key, env:NAME or file:PATH, and not the key itself",
        ),
        (
            "model: m\nserve_config:\n  model_size: big\n",
            "f.yaml:3: 'serve_config.model_size' must be a size such as 140GB or 130GiB, and is 'big'",
        ),
        (
            "model: m\nlauncher: process\nslurm: {batch: true}\n",
            "f.yaml:2: 'launcher' is process, and there is a 'slurm' block; leave one of them out",
        ),
        ("model: m\n<<: {port: 1}\n", "f.yaml:2: '<<' is not taken; write what several models share under 'defaults'"),
        ("models: {}\n", "f.yaml:1: there is no model; write at least one under 'models', as NAME: {model: …}"),
        (
            "models:\n  a:\n    port: 1\n",
            "f.yaml:2: 'model' is missing; write its name or path, as in 'model: meta-llama/Llama-2-7b-hf'",
        ),
        (
            "port: 1\nmodels:\n  a: {model: m}\n",
            "f.yaml:1: 'port' belongs to a model, or under 'defaults', in a file with 'models'",
        ),
        (
            "hosts:\n  cluster: {login: l}\nmodels:\n  a: {model: m, host: clutser}\n",
            "f.yaml:4: 'models.a.host' is 'clutser', which 'hosts' does not have; did you mean 'cluster'?",
        ),
        (
            "hosts:\n  cluster: {jump: j}\nmodels:\n  a: {model: m}\n",
            "f.yaml:2: 'hosts.cluster' has no 'login'; write where it is, as [user@]host[:port]",
        ),
        ("model: m\n\tport: 1\n", "f.yaml:1: this is not YAML: while scanning a plain scalar, found a tab"),
    ];
    let mut wrong = Vec::new();
    for (text, message) in table {
        match read(text) {
            Ok(_) => wrong.push(format!("taken: {text:?}")),
            Err(told) if told != *message => wrong.push(format!("{text:?}\n   told: {told}\n wanted: {message}")),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_is_told_at_once_in_the_order_of_the_lines() {
    let told = read("model: m\nprot: 1\nidle_timeout: soon\nslurm:\n  bach: true\n  args: 'a\"b'\n").expect_err("bad");
    let lines: Vec<&str> = told.lines().map(|line| line.trim_start().split(": ").next().unwrap_or_default()).collect();
    assert_eq!(lines, ["f.yaml:2", "f.yaml:3", "f.yaml:5", "f.yaml:6"], "{told}");
}

/// A file of configuration may hold keys and tokens.
#[test]
fn no_fault_tells_a_value_that_may_be_a_secret() {
    for text in [
        "model: m\nenv_vars:\n  HF_TOKEN: {a: hunter2}\n  B: [hunter2]\n  C-D: hunter2\n",
        "model: m\nconfig:\n  api_server_args: hunter2\n",
        "model: m\nconfig:\n  api_server_args:\n    api-key: \"hunter2\n",
        "model: m\naccess_key: hunter2\n",
    ] {
        let told = read(text).expect_err("bad");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let file = read("model: m\nenv_vars: {T: hunter2}\nconfig: {api_server_args: {api-key: hunter2}}\n").expect("good");
    assert!(!format!("{file:?}").contains("hunter2"));
}
