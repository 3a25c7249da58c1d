#![expect(clippy::expect_used, reason = "a test may fail loudly")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Found, Scanner};

fn scan(body: &[u8], cuts: &[usize]) -> Option<Found> {
    let mut scanner = Scanner::default();
    let mut rest = body;
    for &cut in cuts {
        let (piece, left) = rest.split_at(cut.min(rest.len()));
        scanner.feed(piece);
        rest = left;
    }
    scanner.feed(rest);
    // How the prompt begins has tests of its own, beside what reads it.
    scanner.finish().map(|found| Found { beginning: None, ..found })
}

fn reference(body: &[u8]) -> Option<Found> {
    let Ok(Value::Object(object)) = serde_json::from_slice(body) else { return None };
    Some(Found {
        model: object.get("model").and_then(Value::as_str).map(str::to_owned),
        stream: object.get("stream").and_then(Value::as_bool),
        encoding_format: object.get("encoding_format").and_then(Value::as_str).map(str::to_owned),
        beginning: None,
    })
}

#[test]
fn finds_what_stands_after_the_messages() {
    let body = br#"{"messages":[{"role":"user","content":"{\"model\":\"no\"}, \\"}],"model":"tiny","stream":true}"#;
    let found = scan(body, &[]).expect("a whole object");
    assert_eq!(found, Found { model: Some("tiny".into()), stream: Some(true), ..Found::default() });
}

#[test]
fn a_model_further_down_is_not_the_models_name() {
    let body = br#"{"params":{"model":"inner","stream":true},"list":["model","x"]}"#;
    assert_eq!(scan(body, &[]), Some(Found::default()));
}

#[test]
fn escapes_are_read_in_keys_and_values() {
    let body = br#"{"\u006dodel":"a\u00e9\ud83d\ude00\"b","str\u0065am":false}"#;
    assert_eq!(
        scan(body, &[1; 40]),
        Some(Found { model: Some("a\u{e9}\u{1f600}\"b".into()), stream: Some(false), ..Found::default() })
    );
}

#[test]
fn the_last_of_equal_keys_counts() {
    assert_eq!(scan(br#"{"model":"a","model":"b"}"#, &[]).and_then(|f| f.model), Some("b".into()));
    assert_eq!(scan(br#"{"model":"a","model":7}"#, &[]).and_then(|f| f.model), None);
}

#[test]
fn values_of_other_kinds_are_nothing() {
    for body in [r#"{"model":null,"stream":1}"#, r#"{"model":["a"],"stream":"true"}"#, r#"{"model":{"a":"b"}}"#] {
        assert_eq!(scan(body.as_bytes(), &[]), Some(Found::default()), "{body}");
    }
}

#[test]
fn what_is_no_whole_object_is_nothing() {
    for body in ["", "[]", "\"model\"", "{\"model\":\"a\"", "model=a&stream=true", "{} {}", "--b\r\n{}"] {
        assert_eq!(scan(body.as_bytes(), &[]), None, "{body}");
    }
}

#[test]
fn memory_is_bounded() {
    let mut scanner = Scanner::default();
    scanner.feed(b"{\"model\":\"");
    for _ in 0..1000 {
        scanner.feed(&[b'a'; 1000]);
    }
    assert!(scanner.kept.bytes.capacity() < 3 * super::VALUE_LIMIT);
    scanner.feed(b"\",\"");
    for _ in 0..1000 {
        scanner.feed(&[b'k'; 1000]);
    }
    assert!(scanner.kept.bytes.capacity() < 3 * super::VALUE_LIMIT);
    scanner.feed(b"\":1}");
    assert_eq!(scanner.finish(), Some(Found::default()));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        ".*".prop_map(Value::from),
        Just(json!("model")),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any_key(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![Just("model".to_owned()), Just("stream".to_owned()), "[a-z\"\\\\é]{0,8}"]
}

proptest! {
    #[test]
    fn agrees_with_a_whole_parser(value in any_json(), pretty: bool, cuts in prop::collection::vec(0_usize..20, 0..60)) {
        let body = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
        let body = body.expect("json");
        prop_assert_eq!(scan(&body, &cuts), reference(&body));
    }

    #[test]
    fn the_pieces_do_not_matter(body in ".*", cuts in prop::collection::vec(0_usize..9, 0..60)) {
        let body = format!("{{\"model\":\"{body}\",{body}}}").into_bytes();
        prop_assert_eq!(scan(&body, &cuts), scan(&body, &[]));
    }

    #[test]
    fn no_bytes_are_fatal(body: Vec<u8>, cuts in prop::collection::vec(0_usize..9, 0..20)) {
        scan(&body, &cuts);
        scan(&[b"{\"model\":", body.as_slice(), b"}"].concat(), &cuts);
    }
}
