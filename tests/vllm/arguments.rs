//! What we make of configurations, read by vLLM's own parser.

use std::io::Write;
use std::process::{Command, Stdio};

use llm_proxy::backend::{ArgumentLayer, ArgumentSource, Backend, CallerLeave, LaunchCommand, merge_arguments};
use llm_proxy::config::{ArgValue, WrittenArg};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use super::support::Vllm;

/// So many generated configurations: one start of Python reads them all.
const GENERATED: usize = 400;

fn of(value: &Value) -> ArgValue {
    match value {
        Value::Null => ArgValue::Null,
        Value::Bool(yes) => ArgValue::Bool(*yes),
        Value::Number(number) => ArgValue::Number(number.to_string()),
        Value::String(text) => ArgValue::Text(text.clone()),
        Value::Array(items) => ArgValue::List(items.iter().map(of).collect()),
        Value::Object(pairs) => ArgValue::Map(pairs.iter().map(|(key, value)| (key.clone(), of(value))).collect()),
    }
}

fn argv(configuration: &Value) -> Vec<String> {
    let argument = |key: Option<&String>, value: &Value| WrittenArg { key: key.cloned(), value: of(value), line: None };
    let written: Vec<WrittenArg> = match configuration {
        Value::Array(items) => items.iter().map(|item| argument(None, item)).collect(),
        Value::Object(pairs) => pairs.iter().map(|(key, value)| argument(Some(key), value)).collect(),
        other => panic!("{other}"),
    };
    let layer = ArgumentLayer { source: ArgumentSource::Operator, arguments: &written };
    let merged = merge_arguments(Backend::Vllm, &[layer], &CallerLeave::default());
    assert_eq!(merged.errors, [], "{configuration}");
    let arguments = &merged.words;
    let (wrapper, as_module, program, on_socket) = (&[][..], false, None, false);
    let command = LaunchCommand {
        backend: Backend::Vllm,
        model: "org/M",
        names: &[],
        wrapper,
        as_module,
        program,
        arguments,
        on_socket,
    };
    command.words().expect("a command").split_off(1)
}

/// What vLLM's parser makes of these, each in its place.
fn parsed(argvs: &[Vec<String>]) -> Vec<Value> {
    let vllm = Vllm::find();
    let python = vllm.serve()[0].replace("bin/vllm", "bin/python");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vllm/parse_arguments.py");
    let mut child = Command::new("timeout")
        .args(["300", &python, script])
        .envs([("HF_HUB_OFFLINE", "1"), ("VLLM_NO_USAGE_STATS", "1"), ("VLLM_LOGGING_LEVEL", "ERROR")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let text = serde_json::to_vec(argvs).expect("it is JSON");
    child.stdin.take().expect("its standard input").write_all(&text).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).expect("it answers in JSON")
}

/// A flag as a configuration has it, and what vLLM must then know; nothing where it makes an object of its own of it.
type Pair = (&'static str, Value, Option<Value>);

fn same(flag: &'static str) -> impl Fn(Value) -> Pair {
    move |value| (flag, value.clone(), Some(value))
}

fn word() -> impl Strategy<Value = String> {
    "[a-z0-9][a-zA-Z0-9_./-]{0,8}"
}

fn words() -> impl Strategy<Value = Value> {
    proptest::collection::vec(word(), 1..4).prop_map(Value::from)
}

fn pair() -> impl Strategy<Value = Pair> {
    let nested = || {
        let leaf =
            prop_oneof![any::<i32>().prop_map(Value::from), "[a-z \"']{0,6}".prop_map(Value::from), Just(json!(null))];
        proptest::collection::vec(("[a-z_]{1,6}", leaf), 1..4)
            .prop_map(|pairs| json!({"outer_key": pairs.into_iter().collect::<Map<_, _>>()}))
    };
    prop_oneof![
        (1..200_000_u32).prop_map(Value::from).prop_map(same("max-model-len")),
        (1..99_i32).prop_map(|percent| json!(f64::from(percent) / 100.0)).prop_map(same("gpu-memory-utilization")),
        (1..9_u32).prop_map(|size| ("tensor-parallel-size", json!(size.to_string()), Some(json!(size)))),
        any::<i32>().prop_map(Value::from).prop_map(same("seed")),
        proptest::sample::select(vec!["auto", "bfloat16", "half"]).prop_map(Value::from).prop_map(same("dtype")),
        any::<bool>().prop_map(|yes| ("enforce-eager", json!(yes), yes.then_some(json!(true)))),
        any::<bool>().prop_map(|yes| ("trust-remote-code", json!(yes), yes.then_some(json!(true)))),
        Just(("no-enable-prefix-caching", json!(true), None)),
        Just(("quantization", Value::Null, Some(Value::Null))),
        words().prop_map(same("served-model-name")),
        words().prop_map(same("api-key")),
        words().prop_map(same("middleware")),
        words().prop_map(same("allowed-origins")),
        proptest::collection::vec(1..64_u32, 1..5).prop_map(Value::from).prop_map(|sizes| (
            "cudagraph-capture-sizes",
            sizes,
            None
        )),
        // Nothing is `None` to it.
        "[-{}%' a-z\"\\\\]{1,12}".prop_map(Value::from).prop_map(same("chat-template")),
        nested().prop_map(same("hf-overrides")),
        nested().prop_map(same("override-generation-config")),
        nested().prop_map(same("default-chat-template-kwargs")),
        word().prop_map(|name| ("lora-modules", json!([{"name": name, "path": "/p"}, "b=/q"]), None)),
        (1..9_u32).prop_map(|count| ("limit-mm-per-prompt", json!({"image": count}), None)),
        (0..4_u32).prop_map(|mode| ("compilation-config", json!({"mode": mode}), None)),
    ]
}

fn spelled(flag: &str, way: usize) -> String {
    match way {
        0 => flag.to_owned(),
        1 => format!("--{flag}"),
        _ => flag.replace('-', "_"),
    }
}

#[test]
#[ignore = "takes minutes: scripts/test --engines"]
fn its_parser_takes_what_we_make_of_any_configuration_and_means_the_same() {
    let mut runner = TestRunner::deterministic();
    let pairs = proptest::collection::btree_map(0..21_usize, (pair(), 0..3_usize), 0..9);
    let mut cases: Vec<(Value, Vec<Pair>)> = vec![];
    for _ in 0..GENERATED {
        let pairs = pairs.new_tree(&mut runner).expect("a configuration").current().into_values();
        let mut kept: Vec<(Pair, usize)> = vec![];
        for (pair, way) in pairs {
            if kept.iter().all(|(other, _)| other.0 != pair.0) {
                kept.push((pair, way));
            }
        }
        let configuration: Map<_, _> = kept.iter().map(|(pair, way)| (spelled(pair.0, *way), pair.1.clone())).collect();
        cases.push((Value::Object(configuration), kept.into_iter().map(|(pair, _)| pair).collect()));
    }
    let list = json!(["--tensor-parallel-size", "4", "--gpu_memory_utilization=0.9", "--trust-remote-code", "-O3"]);
    let meant = vec![
        ("tensor-parallel-size", Value::Null, Some(json!(4))),
        ("gpu-memory-utilization", Value::Null, Some(json!(0.9))),
        ("trust-remote-code", Value::Null, Some(json!(true))),
    ];
    cases.push((list, meant));
    let nested = json!({"hf_overrides.rope_scaling.factor": 2});
    cases.push((nested, vec![("hf-overrides", Value::Null, Some(json!({"rope_scaling": {"factor": 2}})))]));

    let argvs: Vec<Vec<String>> = cases.iter().map(|(configuration, _)| argv(configuration)).collect();
    let answers = parsed(&argvs);
    assert_eq!(answers.len(), cases.len());
    for ((argv, answer), (configuration, meant)) in argvs.iter().zip(&answers).zip(&cases) {
        let values = answer["values"].as_object().unwrap_or_else(|| panic!("{configuration}\n{argv:?}\n{answer}"));
        assert_eq!(values["model_tag"], "org/M");
        for (flag, _, expected) in meant {
            let name = flag.replace('-', "_");
            if let Some(expected) = expected {
                assert_eq!(&values[&name], expected, "{flag} of {argv:?}");
            }
        }
    }
}
