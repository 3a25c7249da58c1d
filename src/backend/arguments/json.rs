//! A written value as JSON, in the order and the digits in which it was written.

use crate::config::ArgValue;

/// The JSON text.
pub(super) fn json(value: &ArgValue) -> String {
    match value {
        ArgValue::Null => "null".to_owned(),
        ArgValue::Bool(yes) => yes.to_string(),
        ArgValue::Number(digits) => number(digits),
        ArgValue::Text(text) => quoted(text),
        ArgValue::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        ArgValue::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{}: {}", quoted(key), json(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// YAML knows numbers that JSON does not: `.5`, `+1`, `0x10`, `.inf`. Those that have a value keep it.
fn number(digits: &str) -> String {
    if serde_json::from_str::<serde_json::Number>(digits).is_ok() {
        return digits.to_owned();
    }
    let plain = digits.trim_start_matches('+').replace('_', "");
    let whole = |prefix, radix| plain.strip_prefix(prefix).and_then(|rest| u64::from_str_radix(rest, radix).ok());
    if let Some(whole) = whole("0x", 16).or_else(|| whole("0o", 8)).or_else(|| whole("0b", 2)) {
        return whole.to_string();
    }
    match plain.parse::<f64>() {
        Ok(value) if value.is_finite() => value.to_string(),
        Ok(_) | Err(_) => quoted(digits),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    #[test_case("4", "4")]
    #[test_case("0.90", "0.90"; "as it was written")]
    #[test_case("1e-3", "1e-3"; "an exponent")]
    #[test_case("18446744073709551616", "18446744073709551616"; "a large one")]
    #[test_case(".5", "0.5"; "without a zero")]
    #[test_case("+7", "7"; "a plus")]
    #[test_case("0x10", "16"; "hexadecimal")]
    #[test_case("007", "7"; "zeros")]
    #[test_case(".inf", "\".inf\""; "none that JSON knows")]
    fn numbers(digits: &str, expected: &str) {
        assert_eq!(json(&ArgValue::Number(digits.to_owned())), expected);
    }

    fn any_value() -> impl Strategy<Value = ArgValue> {
        let leaf = prop_oneof![
            Just(ArgValue::Null),
            any::<bool>().prop_map(ArgValue::Bool),
            any::<i32>().prop_map(|number| ArgValue::Number(number.to_string())),
            "\\PC{0,6}".prop_map(ArgValue::Text),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(ArgValue::List),
                proptest::collection::vec(("[\"\\\\a-z]{0,4}", inner), 0..4).prop_map(ArgValue::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn all_is_json(value in any_value()) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json(&value)).is_ok());
        }
    }
}
