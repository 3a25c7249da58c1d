//! Judges a value by a JSON Schema: as much of draft 7 as ours uses. A keyword that it does not know ends the test, so
//! that nothing is passed over.

use regex_automata::Input;
use regex_automata::dfa::Automaton as _;
use regex_automata::dfa::dense::DFA;
use serde_json::Value;

/// What only explains.
const WORDS: [&str; 6] = ["$schema", "title", "description", "definitions", "default", "format"];

/// Whether the value is as the schema says.
pub(crate) fn is_valid(value: &Value, schema: &Value) -> bool {
    judge(value, schema, schema)
}

fn judge(value: &Value, schema: &Value, root: &Value) -> bool {
    let rules = match schema {
        Value::Bool(all) => return *all,
        Value::Object(rules) => rules,
        _ => panic!("no schema: {schema}"),
    };
    rules.iter().all(|(keyword, rule)| {
        let list = || rule.as_array().unwrap_or_else(|| panic!("{keyword} has no list: {rule}"));
        match keyword.as_str() {
            word if WORDS.contains(&word) => true,
            "$ref" => {
                let path = rule.as_str().and_then(|path| path.strip_prefix('#')).expect("a reference within");
                judge(value, root.pointer(path).expect("what is referred to"), root)
            }
            "anyOf" => list().iter().any(|one| judge(value, one, root)),
            "oneOf" => list().iter().filter(|one| judge(value, one, root)).count() == 1,
            "allOf" => list().iter().all(|one| judge(value, one, root)),
            "enum" => list().contains(value),
            "const" => rule == value,
            "type" => match rule {
                Value::String(one) => is_of(value, one),
                _ => list().iter().any(|one| is_of(value, one.as_str().expect("a type"))),
            },
            "properties" => value.as_object().is_none_or(|pairs| {
                pairs.iter().all(|(key, value)| rule.get(key).is_none_or(|rule| judge(value, rule, root)))
            }),
            "additionalProperties" => value.as_object().is_none_or(|pairs| {
                let known = |key: &String| rules.get("properties").is_some_and(|known| known.get(key).is_some());
                pairs.iter().filter(|(key, _)| !known(key)).all(|(_, value)| judge(value, rule, root))
            }),
            "required" => value
                .as_object()
                .is_none_or(|pairs| list().iter().all(|key| pairs.contains_key(key.as_str().expect("a key")))),
            "items" => value.as_array().is_none_or(|items| items.iter().all(|item| judge(item, rule, root))),
            "minimum" => value.as_f64().is_none_or(|number| Some(number) >= rule.as_f64()),
            "maximum" => value.as_f64().is_none_or(|number| Some(number) <= rule.as_f64()),
            "pattern" => value.as_str().is_none_or(|text| matches(rule.as_str().expect("a pattern"), text)),
            _ => panic!("a keyword that is not known here: {keyword}"),
        }
    })
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("no type: {kind}"),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let dfa = DFA::new(pattern).expect("a pattern");
    dfa.try_search_fwd(&Input::new(text)).expect("a search").is_some()
}
