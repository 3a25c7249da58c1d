//! Arguments as users write them, and the words that engines get.
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::needless_pass_by_value, reason = "rows of a table are made for one call")]

use proptest::prelude::*;
use serde_json::{Value, json};
use test_case::test_case;

use super::*;
use crate::backend::Backend;
use crate::config::{ArgValue, WrittenArg};

/// A JSON list or mapping as a configuration file has it: each item on a line of its own, from `line` on.
fn written(value: &Value, mut line: usize) -> Vec<WrittenArg> {
    let mut next = || {
        line += 1;
        line - 1
    };
    let argument =
        |key: Option<&String>, value, line| WrittenArg { key: key.cloned(), value: of(value), line: Some(line) };
    match value {
        Value::Array(items) => items.iter().map(|item| argument(None, item, next())).collect(),
        Value::Object(pairs) => pairs.iter().map(|(key, item)| argument(Some(key), item, next())).collect(),
        other => panic!("{other}"),
    }
}

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

fn merged(backend: Backend, layers: &[Value], callers: Option<(&Value, &CallerLeave)>) -> MergedArguments {
    let operator: Vec<Vec<WrittenArg>> = layers.iter().map(|layer| written(layer, 10)).collect();
    let caller = callers.map(|(value, _)| written(value, 1));
    let mut layers: Vec<ArgumentLayer<'_>> = Vec::new();
    layers.extend(operator.iter().map(|arguments| ArgumentLayer { source: ArgumentSource::Operator, arguments }));
    layers.extend(caller.iter().map(|arguments| ArgumentLayer { source: ArgumentSource::Caller, arguments }));
    merge_arguments(backend, &layers, callers.map_or(&CallerLeave::default(), |(_, leave)| leave))
}

fn words(backend: Backend, layers: &[Value]) -> String {
    let merged = merged(backend, layers, None);
    assert_eq!(merged.errors, []);
    merged.words.join(" ")
}

fn problems(layers: &[Value]) -> Vec<String> {
    let merged = merged(Backend::Vllm, layers, None);
    let warnings = merged.warnings.iter().map(|warning| format!("warning: {warning}"));
    merged.errors.iter().map(ToString::to_string).chain(warnings).collect()
}

#[test_case(json!({"tensor-parallel-size": "4"}), "--tensor-parallel-size 4"; "text")]
#[test_case(json!({"--max-model-len": 8192, "gpu_memory_utilization": 0.9}), "--max-model-len 8192 --gpu-memory-utilization 0.9"; "numbers, dashes, underscores")]
#[test_case(json!({"trust-remote-code": true, "enforce-eager": false, "seed": null}), "--trust-remote-code"; "flags")]
#[test_case(json!({"kv-cache-dtype": {"auto": "fp8"}}), r#"--kv-cache-dtype {"auto": "fp8"}"#; "a nested mapping")]
#[test_case(json!({"hf_overrides.rope_scaling": 2}), "--hf-overrides.rope_scaling 2"; "a key behind a dot keeps its underscores")]
#[test_case(json!({"served-model-name": ["a", "b"]}), "--served-model-name a b"; "several values behind one flag")]
#[test_case(json!({"middleware": ["a.B", "c.D"]}), "--middleware a.B --middleware c.D"; "one flag for each")]
#[test_case(json!({"allowed-origins": ["*"]}), r#"--allowed-origins ["*"]"#; "a list that is JSON")]
#[test_case(json!({"lora-modules": [{"name": "a", "path": "/p"}, "b=/q"]}), r#"--lora-modules {"name": "a", "path": "/p"} b=/q"#; "mappings in a list")]
#[test_case(json!({"-tp": 2, "chat-template": "-x", "seed": -1}), "-tp 2 --chat-template=-x --seed -1"; "dashes in values")]
#[test_case(json!({"served-model-name": []}), ""; "an empty list")]
#[test_case(json!(["--tensor-parallel-size", "4", "--trust_remote_code", "--seed=-1", "-O3"]), "--tensor-parallel-size 4 --trust_remote_code --seed=-1 -O3"; "words stay")]
#[test_case(json!(["--served-model-name", "a", "b", "--seed", -1]), "--served-model-name a b --seed -1"; "words with several values")]
#[test_case(json!(["--seed", "1", {"max-model-len": 5}, "--enforce-eager"]), "--seed 1 --max-model-len 5 --enforce-eager"; "both")]
#[test_case(json!(["org/M", "--seed", "1"]), "org/M --seed 1"; "a word before the flags")]
#[test_case(json!(["--middleware", "a", "--middleware", "b"]), "--middleware a --middleware b"; "repeated words")]
fn becomes(arguments: Value, expected: &str) {
    assert_eq!(words(Backend::Vllm, &[arguments]), expected);
}

#[test_case(Backend::Sglang, json!({"cuda-graph-bs-decode": [1, 2]}), "--cuda-graph-bs-decode 1 2"; "sglang takes several")]
#[test_case(Backend::Sglang, json!(["--tp", "4", "--context-length", "8192"]), "--tp 4 --context-length 8192"; "sglang words")]
#[test_case(Backend::Custom, json!(["-v", "/a", "-v", "/b"]), "-v /a -v /b"; "nobody knows what may repeat")]
#[test_case(Backend::Custom, json!({"lora": ["a", "b"]}), "--lora a --lora b"; "nor what takes several")]
fn depends_on_the_engine(backend: Backend, arguments: Value, expected: &str) {
    assert_eq!(words(backend, &[arguments]), expected);
}

#[test_case(&[json!({"max-model-len": 1, "seed": 0}), json!({"max_model_len": 2})], "--max-model-len 2 --seed 0"; "in its place")]
#[test_case(&[json!({"tensor-parallel-size": 4}), json!(["-tp", "2"])], "-tp 2"; "by its short name")]
#[test_case(&[json!({"enforce-eager": true, "seed": 1}), json!({"enforce-eager": false})], "--seed 1"; "left out again")]
#[test_case(&[json!({"enable-prefix-caching": true}), json!({"no-enable-prefix-caching": true})], "--no-enable-prefix-caching"; "the opposite")]
#[test_case(&[json!({"middleware": ["a", "b"]}), json!(["--middleware", "c", "--middleware", "d"])], "--middleware c --middleware d"; "all of them")]
#[test_case(&[json!({"seed": 1}), json!({}), json!({"max-model-len": 3})], "--seed 1 --max-model-len 3"; "three sources")]
#[test_case(&[json!({"seed": 1}), json!(["org/M"])], "org/M --seed 1"; "a word never becomes a value")]
fn a_later_source_counts_more(layers: &[Value], expected: &str) {
    assert_eq!(words(Backend::Vllm, layers), expected);
}

#[test_case(json!({"--tensor-parallel-size": "4", "tensor-parallel-size": 4}), "warning: --tensor-parallel-size is given twice with the same value, on lines 10 and 11; once is enough")]
#[test_case(json!({"--tensor-parallel-size": "4", "tensor-parallel-size": 2}), "--tensor-parallel-size is given twice with different values, on lines 10 and 11; keep one of them"; "different")]
#[test_case(json!(["--seed", "1", "--seed", "2"]), "--seed is given twice with different values, on lines 10 and 12; keep one of them"; "in a list")]
#[test_case(json!(["-tp", "1", "--tensor_parallel_size=2"]), "--tensor_parallel_size is given twice with different values, on lines 10 and 12; keep one of them"; "by a short name")]
#[test_case(json!({"enforce-eager": true, "no_enforce_eager": true}), "--no-enforce-eager is given twice with different values, on lines 10 and 11; keep one of them"; "and the opposite")]
#[test_case(json!({"--": 1}), "'--' on line 10 is not the name of a flag"; "no name")]
#[test_case(json!({"seed 1": 1}), "'seed 1' on line 10 is not the name of a flag"; "a space")]
#[test_case(json!(["--seed", null]), "a list of arguments has an empty item on line 11; its items are words, as on a command line"; "empty item")]
#[test_case(json!(["--enforce-eager", true]), "a list of arguments has a bare true or false on line 11; its items are words, as on a command line"; "a bare true")]
#[test_case(json!({"served-model-name": ["a", "--trust-remote-code"]}), "a value of --served-model-name on line 10 begins with a dash, and would be read as a flag"; "a flag in disguise")]
fn is_told(arguments: Value, expected: &str) {
    assert_eq!(problems(&[arguments]), [expected]);
}

#[test]
fn no_problem_shows_a_value() {
    let told = problems(&[json!({"api-key": "Zq9Zq9", "--api-key": "Yq9Yq9"})]);
    assert!(told.len() == 1 && !told.concat().contains("q9"), "{told:?}");
}

fn leave(harmless: bool, also: &[&str]) -> CallerLeave {
    CallerLeave { harmless, also: also.iter().map(|name| (*name).to_owned()).collect() }
}

#[test_case(true, &[], json!({"max_model_len": 4, "-tp": 2}))]
#[test_case(true, &["trust_remote_code"], json!({"trust-remote-code": true}); "the operator named it")]
#[test_case(true, &["hf-overrides"], json!({"hf_overrides.rope_scaling": 1}); "a key in what the operator named")]
#[test_case(true, &[], json!({"chat-template": "/operators.jinja"}); "what the operator has said already")]
#[test_case(true, &[], json!({"trust-remote-code": false}); "to leave out what is not there")]
#[test_case(false, &["--max-model-len"], json!(["--max-model-len", "4"]); "only what is named")]
fn a_caller_may(harmless: bool, also: &[&str], arguments: Value) {
    let operators = [json!({"chat-template": "/operators.jinja"})];
    let merged = merged(Backend::Vllm, &operators, Some((&arguments, &leave(harmless, also))));
    assert_eq!(merged.errors, []);
}

#[test_case(true, json!({"trust-remote-code": true}), "--trust-remote-code", HeldBack::Dangerous)]
#[test_case(true, json!(["--trust_remote_code"]), "--trust_remote_code", HeldBack::Dangerous; "by a list")]
#[test_case(true, json!(["--trust-rem"]), "--trust-rem", HeldBack::Dangerous; "abbreviated as argparse lets it")]
#[test_case(true, json!({"hf_overrides.auto_map": "x"}), "--hf-overrides.auto_map", HeldBack::Dangerous; "a key in it")]
#[test_case(true, json!(["-cc{}"]), "-cc{}", HeldBack::NotAllowed; "a short flag with its value")]
#[test_case(true, json!({"chat-template": "/theirs.jinja"}), "--chat-template", HeldBack::Dangerous; "another template")]
#[test_case(true, json!({"chat-template": null}), "--chat-template", HeldBack::Dangerous; "no template")]
#[test_case(true, json!({"sse-keep-alive-interval": 4}), "--sse-keep-alive-interval", HeldBack::NotAllowed)]
#[test_case(false, json!({"max-model-len": 4}), "--max-model-len", HeldBack::NotAllowed; "nothing at all")]
#[test_case(true, json!(["evil/M"]), "a word without a flag", HeldBack::NoFlag; "another model")]
#[test_case(true, json!(["--max-model-len", "4", "evil/M"]), "--max-model-len", HeldBack::NoFlag; "another model behind a value")]
fn a_caller_may_not(harmless: bool, arguments: Value, flag: &str, why: HeldBack) {
    let operators = [json!({"chat-template": "/operators.jinja"})];
    let merged = merged(Backend::Vllm, &operators, Some((&arguments, &leave(harmless, &[]))));
    assert_eq!(merged.errors, [ArgumentError::Held { flag: flag.to_owned(), why }]);
}

#[test]
fn of_an_unknown_program_nothing_may_be_set_that_is_not_named() {
    let theirs = json!({"max-model-len": 1});
    let told = |also| merged(Backend::Custom, &[], Some((&theirs, &leave(true, also)))).errors.len();
    assert_eq!((told(&[]), told(&["max_model_len"])), (1, 0));
}

/// The flags of an engine as it declares them, and what each takes.
fn declared(backend: Backend) -> Vec<(Vec<&'static str>, &'static str)> {
    let text = match backend {
        Backend::Vllm => include_str!("../../../tests/fixtures/backend/vllm-flags.txt"),
        Backend::Sglang => include_str!("../../../tests/fixtures/backend/sglang-flags.txt"),
        Backend::Custom => "",
    };
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines.map(|(spellings, takes)| (spellings.split(' ').collect(), takes)).collect()
}

#[test_case(Backend::Vllm)]
#[test_case(Backend::Sglang)]
fn what_is_known_of_flags_is_what_the_engine_declares(backend: Backend) {
    let flags = &backend.profile().flags;
    let mut seen = 0;
    for (spellings, takes) in declared(backend) {
        let canonical = flags.canonical(spellings[0]);
        for spelling in &spellings {
            assert_eq!(flags.canonical(spelling), canonical, "{spellings:?}");
        }
        assert_eq!(flags.several.contains(&canonical.as_str()), takes == "several", "{canonical}");
        assert_eq!(flags.may_repeat(&canonical), takes == "repeated", "{canonical}");
        assert!(takes == "json" || !flags.json_lists.contains(&canonical.as_str()), "{canonical}");
        seen += 1;
    }
    assert!(seen > 300, "{seen}");
}

/// A flag that an engine does not have may still be an abbreviation of one that it has.
#[test_case(Backend::Vllm)]
#[test_case(Backend::Sglang)]
fn what_is_harmless_abbreviates_nothing(backend: Backend) {
    let all: Vec<&str> = declared(backend).into_iter().flat_map(|(spellings, _)| spellings).collect();
    for flag in backend.profile().flags.harmless {
        assert!(all.contains(flag) || !all.iter().any(|other| other.starts_with(flag)), "{flag}");
    }
}

/// A pair for a declared flag, as a user may write it, of a kind that the flag takes.
fn pair_of(spelling: &'static str, takes: &'static str) -> BoxedStrategy<(String, Value)> {
    let word = || "[a-zA-Z0-9_./ -]{1,8}".prop_map(Value::from);
    let value = match takes {
        "switch" => any::<bool>().prop_map(Value::from).boxed(),
        "several" => proptest::collection::vec("[a-z0-9][a-z0-9 -]{0,5}".prop_map(Value::from), 1..4)
            .prop_map(Value::from)
            .boxed(),
        "repeated" => proptest::collection::vec(word(), 1..4).prop_map(Value::from).boxed(),
        "json" => prop_oneof![Just(json!({"a": [1, null]})), Just(json!({"b c": "d"}))].boxed(),
        _ => prop_oneof![word(), any::<i32>().prop_map(Value::from), Just(Value::Null)].boxed(),
    };
    let key = prop_oneof![Just(spelling.to_owned()), Just(spelling.trim_start_matches("--").replace('-', "_"))];
    (key, value)
        .prop_filter("a single dash is its own", |(key, _)| key.starts_with("--") || !key.starts_with('-'))
        .boxed()
}

fn configuration(backend: Backend) -> impl Strategy<Value = serde_json::Map<String, Value>> {
    let declared: Vec<_> =
        declared(backend).into_iter().filter(|(spellings, _)| spellings[0].starts_with("--")).collect();
    let one = proptest::sample::select(declared).prop_flat_map(|(spellings, takes)| pair_of(spellings[0], takes));
    proptest::collection::vec(one, 0..8).prop_map(|pairs| pairs.into_iter().collect())
}

/// What Python's argparse would make of the words, with these declarations: how often it would see a flag.
fn parsed(backend: Backend, words: &[String]) -> Result<usize, String> {
    let declared = declared(backend);
    let (mut at, mut flags) = (0, 0);
    while let Some(word) = words.get(at) {
        let (spelled, attached) = word.split_once('=').map_or((word.as_str(), false), |(spelled, _)| (spelled, true));
        let found = declared.iter().find(|(spellings, _)| spellings.contains(&spelled));
        let (_, takes) = found.ok_or_else(|| format!("unrecognized: {word}"))?;
        let is_value = |word: &&String| !word.starts_with('-') || word.parse::<i64>().is_ok();
        let values = words.iter().skip(at + 1).take_while(is_value).count();
        let right = match *takes {
            "switch" => values == 0 && !attached,
            "several" => (values > 0) != attached,
            _ => values + usize::from(attached) == 1,
        };
        if !right {
            return Err(format!("{word} takes {takes}, and has {values}"));
        }
        (at, flags) = (at + 1 + values, flags + 1);
    }
    Ok(flags)
}

proptest! {
    #[test]
    fn any_configuration_becomes_words_that_are_declared(
        (backend, configuration) in prop_oneof![
            configuration(Backend::Vllm).prop_map(|map| (Backend::Vllm, map)),
            configuration(Backend::Sglang).prop_map(|map| (Backend::Sglang, map)),
        ],
    ) {
        let merged = merged(backend, &[Value::Object(configuration.clone())], None);
        // The same flag in both spellings, with different values, is the one thing that may be wrong.
        prop_assert!(merged.errors.iter().all(|error| matches!(error, ArgumentError::Differs { .. })), "{:?}", merged.errors);
        if merged.errors.is_empty() {
            let parsed = parsed(backend, &merged.words);
            prop_assert!(parsed.is_ok(), "{parsed:?}");
        }
    }

    #[test]
    fn the_last_source_alone_decides_what_it_names(
        (first, second) in (configuration(Backend::Vllm), configuration(Backend::Vllm)),
    ) {
        let both = merged(Backend::Vllm, &[Value::Object(first), Value::Object(second.clone())], None);
        let alone = merged(Backend::Vllm, &[Value::Object(second)], None);
        prop_assume!(both.errors.is_empty());
        let contains = |word: &String| both.words.contains(word);
        prop_assert!(alone.words.iter().all(contains));
    }

    #[test]
    fn nothing_a_caller_writes_gets_past_the_leave(
        items in proptest::collection::vec("(--(trust[-_]rem|max-model-len|seed|tr|model|config)(=[a-z]*)?|-[a-z]{0,3}|[a-z/]{0,4})", 0..8),
    ) {
        let list = Value::from(items);
        let merged = merged(Backend::Vllm, &[], Some((&list, &CallerLeave::default())));
        if merged.errors.is_empty() {
            let allowed = |word: &String| ["--max-model-len", "--seed"].iter().any(|flag| word.starts_with(flag));
            prop_assert!(merged.words.iter().filter(|word| word.starts_with("--")).all(allowed), "{:?}", merged.words);
        }
    }
}
