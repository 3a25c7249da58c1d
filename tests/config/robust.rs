//! No file makes the program panic: what can be read can be resolved, and told.

use llm_proxy::backend::DescribedCommand;
use llm_proxy::config::Layers;
use proptest::prelude::*;

use super::file::read;

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => prop::sample::select(vec![
            "backend", "model", "command", "port", "env_vars", "config", "api_server_args", "server_args", "profile", "enabled",
            "tool", "args", "serve_config", "model_size", "idle_timeout", "startup_timeout", "debug_mode", "host", "launcher",
            "slurm", "batch", "route", "aliases", "replicas", "gpus", "hosts", "login", "defaults", "models", "listen", "access_key",
        ]).prop_map(str::to_owned),
        1 => "[a-z_\\-é]{0,6}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "1",
            "0",
            "-3",
            "99999999999999999999",
            "1e9",
            "0.5",
            "true",
            "null",
            "vllm",
            "custom",
            "slurm",
            "process",
            "auto",
            "140GB",
            "9.9TB",
            "30m",
            "3660d",
            "m",
            "'a \"b'",
            "[]",
            "{}",
            "local",
            "nsys",
            "env:X",
            "127.0.0.1",
            "''",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9{} .é-]{0,8}".prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((key(), inner), 0..6).prop_map(|pairs| mapping(&pairs)),
        ]
    })
}

fn mapping(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{}: {value}", serde_json::Value::from(key.as_str()))).collect();
    format!("{{{}}}", pairs.join(", "))
}

proptest! {
    #[test]
    fn resolving_never_panics(pairs in prop::collection::vec((key(), value()), 0..8), single in any::<bool>()) {
        let mut pairs = pairs;
        if single {
            pairs.retain(|(key, _)| !["hosts", "defaults", "models", "model"].contains(&key.as_str()));
            pairs.push(("model".to_owned(), "m".to_owned()));
        }
        match read(&mapping(&pairs)) {
            Err(told) => prop_assert!(told.lines().all(|line| !line.trim().is_empty()), "{told}"),
            Ok(file) => {
                let config = Layers { file: Some(file), ..Layers::default() }.resolve();
                drop(config.rows());
                for instance in &config.instances {
                    drop((instance.rows(), DescribedCommand::of(instance)));
                }
            }
        }
    }

    #[test]
    fn no_text_panics(text in "(model|port|[ :{}\\[\\]\n&*!-]|\\PC){0,40}") {
        drop(read(&text));
    }
}
