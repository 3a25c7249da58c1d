//! Named access keys: as they are written, shown, and refused where several do not go together.

use serde_json::Value;

use super::file::{read, resolved};
use super::judge;
use super::support::Proxy;

const WHOLE: &str = "\
model: m
access_key: file:door
access_keys:
  class:
    key_env: LLM_PROXY_CLASS_KEY
    models: [m, small]
    requests_in_flight: 60
    requests_per_minute: 600
  ops: {key_file: /etc/keys/ops, for: management}
  lab: {key_sha256: 8c3ea2ec6c3dbf7ffc10ac0ef03a0bd3cf10ac0ef03a0bd3cf10ac0ef03a0bd3, for: both}
requests_in_flight: 8
";

#[test]
fn each_value_is_shown_with_its_line_and_no_key_is() {
    let config = resolved(WHOLE);
    let rows = config.rows().into_iter().chain(config.instances[0].rows());
    let shown: Vec<String> = rows.map(|row| format!("{} = {} ({})", row.key, row.value, row.source)).collect();
    let shown = shown.join("\n");
    for row in [
        "access_key = file:door (f.yaml:2)",
        "access_keys.class.key_env = LLM_PROXY_CLASS_KEY (f.yaml:5)",
        "access_keys.class.models = m, small (f.yaml:6)",
        "access_keys.class.requests_in_flight = 60 (f.yaml:7)",
        "access_keys.class.requests_per_minute = 600 (f.yaml:8)",
        "access_keys.ops.key_file = /etc/keys/ops (f.yaml:9)",
        "access_keys.ops.for = management (f.yaml:9)",
        "access_keys.lab.key_sha256 = … (f.yaml:10)",
        "requests_in_flight = 8 (f.yaml:11)",
    ] {
        assert!(shown.lines().any(|line| line == row), "{row} in\n{shown}");
    }
    assert!(!shown.contains("8c3ea2"), "{shown}");
    assert!(!format!("{:?}", read(WHOLE)).contains("8c3ea2"));
}

#[test]
fn the_schema_takes_it_in_both_forms_of_a_file() {
    let schema = serde_json::to_value(llm_proxy::config::schema()).expect("a schema");
    let keys = serde_json::json!({
        "class": { "key_env": "LLM_PROXY_K", "models": ["m"], "requests_in_flight": 1, "requests_per_minute": 2 },
        "ops": { "key_file": "f", "for": "management" },
    });
    let with = |keys: &Value| {
        let (single, fleet) = (
            serde_json::json!({ "model": "m", "access_keys": keys, "requests_in_flight": 3 }),
            serde_json::json!({ "models": { "a": { "model": "m" } }, "access_keys": keys }),
        );
        [judge::is_valid(&single, &schema), judge::is_valid(&fleet, &schema)]
    };
    assert_eq!(with(&keys), [true, true]);
    for wrong in [
        serde_json::json!({ "class": { "key": "hunter2" } }),
        serde_json::json!({ "class": { "key_sha256": "hunter2" } }),
        serde_json::json!({ "class": { "key_file": "f", "for": "all" } }),
        serde_json::json!({ "class": { "key_file": "f", "requests_in_flight": 0 } }),
        serde_json::json!([]),
    ] {
        assert_eq!(with(&wrong), [false, false], "{wrong}");
    }
}

#[test]
fn each_fault_has_its_line_and_what_to_write() {
    let table: &[(&str, &str)] = &[
        ("model: m\naccess_keys: [{name: class}]\n", "f.yaml:2: 'access_keys' must be a mapping, and is a list"),
        (
            "model: m\naccess_keys:\n  class: {}\n",
            "f.yaml:3: 'access_keys.class' has no key; write key_file: PATH, key_env: LLM_PROXY_NAME, or key_sha256: DIGITS",
        ),
        (
            "model: m\naccess_keys:\n  class: {key_file: f, key_env: LLM_PROXY_K}\n",
            "f.yaml:3: 'access_keys.class' has key_env and key_file; leave one of them",
        ),
        (
            "model: m\naccess_keys:\n  class:\n    key: hunter2\n",
            "f.yaml:4: 'access_keys.class.key' would be the key itself, and a file like this is shown, copied and kept with \
             others; put the key into a file of its own and write key_file: PATH, or into a variable and write key_env: \
             LLM_PROXY_NAME, or write its key_sha256",
        ),
        (
            "model: m\naccess_keys:\n  class: {key_env: hunter2}\n",
            "f.yaml:3: 'access_keys.class.key_env' must be the name of a variable that begins with LLM_PROXY_, so that no \
             engine inherits the key",
        ),
        (
            "model: m\naccess_keys:\n  class: {key_sha256: hunter2}\n",
            "f.yaml:3: 'access_keys.class.key_sha256' must be the SHA-256 of the key, 64 hexadecimal digits, and not the key \
             itself",
        ),
        (
            "model: m\naccess_keys:\n  class: {key_file: f, for: inferense}\n",
            "f.yaml:3: 'access_keys.class.for' must be one of inference, management, both, and is 'inferense'; did you mean \
             'inference'?",
        ),
        (
            "model: m\naccess_keys:\n  ops: {key_file: f, for: both, models: [m]}\n",
            "f.yaml:3: 'access_keys.ops.models' is for inference alone: who manages sees all instances; leave it out, or give \
             two keys",
        ),
        (
            "model: m\naccess_keys:\n  class: {key_file: f, models: []}\n",
            "f.yaml:3: 'access_keys.class.models' is empty; leave it out where all are meant",
        ),
        (
            "model: m\naccess_keys:\n  class: {key_file: f, requests_per_minute: 0}\n",
            "f.yaml:3: 'access_keys.class.requests_per_minute' must be a whole number from 1 to 1000000, and is '0'",
        ),
        (
            "model: m\naccess_keys:\n  class: hunter2\n",
            "f.yaml:3: 'access_keys.class' must be a mapping, and is a text",
        ),
        (
            "model: m\nrequests_in_flight: many\n",
            "f.yaml:2: 'requests_in_flight' must be a whole number from 1 to 1000000, and is 'many'",
        ),
    ];
    for (text, message) in table {
        assert_eq!(read(text).expect_err("a bad file"), *message, "{text}");
    }
}

/// What `config check` tells of a file beside these keys, and how it ends.
fn checked(text: &str, keys: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("c.yaml"), text).expect("a file in it");
    for (name, key) in keys {
        std::fs::write(folder.path().join(name), key).expect("a key in it");
    }
    let told = Proxy::builder().folder(folder.path()).run(["config", "check", "c.yaml"]);
    let words = [told.stdout, told.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (told.status.code(), words.concat())
}

#[test]
fn check_reads_the_keys_and_tells_which_cannot_be_used() {
    let two = "models:\n  a: {model: x/a}\naccess_keys:\n  one: {key_file: one}\n  two: {key_file: two}\n";
    assert_eq!(checked(two, &[("one", "k1"), ("two", "k2")]).0, Some(0));
    let (code, told) = checked(two, &[("one", "k1")]);
    assert!(code == Some(2) && told.contains("access_keys.two: the access key in two cannot be read"), "{told}");
    let (code, told) = checked(two, &[("one", "hunter2"), ("two", "hunter2\n")]);
    assert!(code == Some(2) && told.contains("the access keys 'one' and 'two' are the same key"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    let (code, told) = checked(two, &[("one", "k1"), ("two", " \n")]);
    assert!(code == Some(2) && told.contains("access_keys.two: the access key is empty"), "{told}");
    let unset = "model: m\naccess_keys:\n  one: {key_env: LLM_PROXY_NO_SUCH}\n";
    let (code, told) = checked(unset, &[]);
    assert!(code == Some(2) && told.contains("LLM_PROXY_NO_SUCH"), "{told}");
    let for_nothing = "models:\n  a: {model: x/a}\naccess_keys:\n  one: {key_file: one, models: [a, x/b]}\n";
    let (code, told) = checked(for_nothing, &[("one", "k1")]);
    assert!(code == Some(0) && told.contains("is for the model 'x/b' (c.yaml:4), which nothing here serves"), "{told}");
    assert!(!told.contains("model 'a'"), "{told}");
}

#[test]
fn named_keys_are_enough_to_listen_for_others() {
    let open = "listen: {host: 0.0.0.0}\nmodels:\n  a: {model: x/a}\n";
    let (code, told) = checked(open, &[]);
    assert!(code == Some(2) && told.contains("there is no access key"), "{told}");
    let keyed = format!("{open}access_keys:\n  one: {{key_file: one}}\n");
    let (code, told) = checked(&keyed, &[("one", "k1")]);
    assert_eq!(code, Some(0), "{told}");
}
