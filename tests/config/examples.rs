//! The documented files, word for word, and the same written in other ways.

use llm_proxy::config::{BackendName, ProfileTool, schema};
use serde_json::Value;

use super::file::{command as command_of, resolved};
use super::judge;

const WHOLE: &str = include_str!("examples/whole.yaml");
const LIST: &str = include_str!("examples/arguments_list.yaml");
const MAPPING: &str = include_str!("examples/arguments_mapping.yaml");
const SGLANG: &str = include_str!("examples/sglang.yaml");
const FLEET: &str = include_str!("examples/fleet.yaml");
const PROFILES: [(&str, ProfileTool); 3] = [
    (include_str!("examples/profile_nsys.yaml"), ProfileTool::Nsys),
    (include_str!("examples/profile_pytorch.yaml"), ProfileTool::Pytorch),
    (include_str!("examples/profile_amd.yaml"), ProfileTool::Amd),
];

fn command(text: &str) -> String {
    command_of(resolved(text).choose(None).expect("one instance"))
}

#[test]
fn the_whole_example() {
    let config = resolved(WHOLE);
    let instance = config.choose(None).expect("one instance");
    let server = &instance.server;
    assert_eq!(server.backend.as_ref().map(|found| found.value), Some(BackendName::Vllm));
    assert_eq!(server.port.as_ref().map(|found| found.value), Some(8000));
    assert_eq!(
        server.output_dir.as_ref().map(|found| found.value.display().to_string()).as_deref(),
        Some("./server_logs")
    );
    let variables: Vec<_> = server.env_vars.iter().map(|found| (found.value.name(), found.value.value())).collect();
    assert_eq!(variables, [("CUDA_VISIBLE_DEVICES", "0"), ("OMP_NUM_THREADS", "16")]);
    let profile = &server.profile.as_ref().expect("a profile").value;
    assert_eq!(profile.enabled.as_ref().map(|found| found.value), Some(true));
    assert_eq!(profile.args.as_ref().map(|found| found.value.clone()), Some(vec!["--trace=cuda,nvtx".to_owned()]));
    assert_eq!(command(WHOLE), "vllm serve meta-llama/Llama-2-7b-hf --tensor-parallel-size 1");
}

#[test]
fn arguments_as_a_list_and_as_a_mapping() {
    assert_eq!(
        command(LIST),
        "vllm serve meta-llama/Llama-2-7b-hf --tensor-parallel-size 4 --gpu-memory-utilization 0.9 --max-model-len 8192 \
         --trust-remote-code --disable-log-requests"
    );
    assert_eq!(
        command(MAPPING),
        "vllm serve openai/gpt-oss-120b --tensor-parallel-size 4 --gpu-memory-utilization 0.9 --max-model-len 8192 \
         --trust-remote-code --disable-log-requests --kv-cache-dtype {\"auto\": \"fp8\"}"
    );
    let mixed = "model: m\nconfig:\n  api_server_args:\n    - --dtype\n    - bfloat16\n    - max_num_seqs: 512\n      \
                 trust-remote-code: false\n      lora-modules: [a=1, b=2]\n";
    assert_eq!(command(mixed), "vllm serve m --dtype bfloat16 --max-num-seqs 512 --lora-modules a=1 b=2");
}

#[test]
fn sglang_has_its_own_arguments() {
    assert_eq!(
        command(SGLANG),
        "python3 -m sglang.launch_server --model-path meta-llama/Llama-2-7b-hf --tp 4 --context-length 8192 \
         --mem-fraction-static 0.9"
    );
}

#[test]
fn each_tool_of_profiling() {
    for (text, tool) in PROFILES {
        let config = resolved(&format!("model: m\n{text}"));
        let profile = config.choose(None).expect("one instance").server.profile.as_ref().expect("a profile").clone();
        assert_eq!(profile.value.tool.map(|found| found.value), Some(tool));
    }
}

#[test]
fn a_fleet_shares_hosts_and_defaults() {
    let config = resolved(FLEET);
    let names: Vec<_> = config.instances.iter().filter_map(|instance| instance.name.as_deref()).collect();
    assert_eq!(names, ["llama", "small"]);
    let llama = config.choose(Some("llama")).expect("llama");
    assert_eq!(llama.host.login.as_ref().map(|found| found.value.as_str()), Some("me@login.example.org"));
    assert_eq!(
        llama.server.slurm.as_ref().and_then(|slurm| slurm.args.clone()).map(|args| args.value.join(" ")).as_deref(),
        Some("--mem=300G --gres=gpu:4")
    );
    assert_eq!(
        command_of(llama),
        "vllm serve meta-llama/Llama-3.1-70B-Instruct --dtype bfloat16 --tensor-parallel-size 4 \
         --served-model-name meta-llama/Llama-3.1-70B-Instruct llama llama-70b"
    );
    let small = config.choose(Some("small")).expect("small");
    assert_eq!((small.host.login.as_ref().map(|_| ()), command_of(small).as_str()), (None, "my-server --port {port}"));
    assert!(config.choose(None).expect_err("two").to_string().contains("2 models"));
}

/// An editor says of a file what we say.
#[test]
fn the_schema_agrees() {
    let schema = serde_json::to_value(schema()).expect("JSON");
    let profiles = PROFILES.map(|(text, _)| format!("model: m\n{text}"));
    for replicas in ["2", "{min: 1, max: 4, by: prefix, busy_at: 8, scale_after: 10s}", "{hosts: [a, b]}"] {
        assert!(judge::is_valid(&json(&format!("model: m\nreplicas: {replicas}\n")), &schema), "{replicas}");
    }
    for text in [WHOLE, LIST, MAPPING, SGLANG, FLEET].into_iter().chain(profiles.iter().map(String::as_str)) {
        assert!(judge::is_valid(&json(text), &schema), "{text}");
    }
    for text in [
        "model: m\nprot: 1\n",
        "model: m\nport: 70000\n",
        "backend: wllm\nmodel: m\n",
        "models: {a: {modell: m}}\n",
        "idle_timeout: soon\n",
        "model: m\nreplicas: 0\n",
        "model: m\nreplicas: {mim: 1}\n",
    ] {
        assert!(!judge::is_valid(&json(text), &schema), "{text}");
    }
}

/// What a file's YAML is as JSON, which is all that a schema sees.
fn json(text: &str) -> Value {
    struct Tree(Vec<(Option<Value>, Value)>, Value);
    use saphyr_parser::{Event, Parser, ScalarStyle};
    let mut tree = Tree(Vec::new(), Value::Null);
    for event in Parser::new_from_str(text) {
        let done = match event.expect("YAML").0 {
            Event::Scalar(word, ScalarStyle::Plain, ..) => {
                serde_json::from_str(&word).unwrap_or(Value::from(word.as_ref()))
            }
            Event::Scalar(word, ..) => Value::from(word.as_ref()),
            Event::SequenceStart(..) => {
                tree.0.push((None, Value::Array(Vec::new())));
                continue;
            }
            Event::MappingStart(..) => {
                tree.0.push((None, Value::Object(serde_json::Map::new())));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => tree.0.pop().expect("something open").1,
            _ => continue,
        };
        match tree.0.last_mut() {
            None => tree.1 = done,
            Some((_, Value::Array(items))) => items.push(done),
            Some((key, Value::Object(pairs))) => match key.take() {
                None => *key = Some(done),
                Some(name) => drop(pairs.insert(name.as_str().expect("a word").to_owned(), done)),
            },
            Some(_) => panic!("only lists and mappings are open"),
        }
    }
    tree.1
}
