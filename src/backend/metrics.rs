//! Reads gauges from Prometheus' text format.

/// The sum of all samples of these metrics, over their labels; nothing where there is none, or one is no count.
pub(super) fn sum(text: &str, names: &[&str]) -> Option<u64> {
    let values: Vec<f64> = text
        .lines()
        .filter_map(sample)
        .filter(|(name, _)| names.contains(name))
        .map(|(_, value)| value)
        .collect::<Option<_>>()?;
    let total: f64 = values.iter().sum();
    if values.is_empty() || !total.is_finite() || total < 0.0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked; a cast saturates")]
    Some(total.round() as u64)
}

/// A line's name and value: `name{labels} value [timestamp]`. A comment has none.
fn sample(line: &str) -> Option<(&str, Option<f64>)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let name_ends = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at(name_ends);
    let rest = match rest.strip_prefix('{') {
        Some(labels) => labels.get(end_of_labels(labels)?..)?,
        None => rest,
    };
    Some((name, rest.split_whitespace().next().and_then(|value| value.parse().ok())))
}

/// Where the labels end: behind the first `}` that is in no quotes.
fn end_of_labels(labels: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in labels.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::super::Backend;

    const VLLM: &str = r#"
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 2.0
vllm:num_requests_running{engine="1",model_name="ti}n\"y 9"} 1.0 1795226400000
vllm:num_requests_waiting{engine="0",model_name="tiny"} 3.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 50.0
vllm:kv_cache_usage_perc{engine="0"} 0.25
"#;

    #[test_case(VLLM, Some(6); "running and waiting over all labels")]
    #[test_case("vllm:num_requests_running 0.0\n", Some(0); "idle and without labels")]
    #[test_case("vllm:num_requests_running{a=\"b\"} NaN\n", None; "not a number")]
    #[test_case("vllm:num_requests_running{a=\"b\"} \n", None; "no value")]
    #[test_case("vllm:num_requests_running{a=\"b 1\n", None; "broken off")]
    #[test_case("<html>not found</html>", None; "something else")]
    #[test_case("", None; "nothing")]
    fn vllm_says_how_busy_it_is(text: &str, busy: Option<u64>) {
        assert_eq!(Backend::Vllm.busy_from_metrics(text), busy);
    }

    #[test]
    fn others_have_other_names() {
        assert_eq!(Backend::Sglang.busy_from_metrics("sglang:num_running_reqs{tp=\"0\"} 4\n"), Some(4));
        assert_eq!(Backend::Custom.busy_from_metrics("llamacpp:requests_processing 1\n"), Some(1));
        assert_eq!(Backend::Custom.busy_from_metrics(VLLM), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(vllm:num_requests_running[{}\"\\\\ a-z0-9=.]*\n|\\PC*\n)*") {
            let _ = Backend::Vllm.busy_from_metrics(&text);
        }
    }
}
