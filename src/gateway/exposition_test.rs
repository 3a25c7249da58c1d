use proptest::prelude::*;

use super::*;

const VLLM: &str = r#"
# HELP vllm:running Requests that run.
# TYPE vllm:running gauge
vllm:running{engine="0",model_name="ti}n\"y"} 2.0
# HELP vllm:seconds How long.
# TYPE vllm:seconds histogram
vllm:seconds_bucket{le="1.0"} 1.0
vllm:seconds_bucket{le="+Inf"} 2.0 # {id="x"} 0.5
vllm:seconds_sum 1.5
vllm:seconds_count 2.0
plain 7
"#;

fn joined(texts: &[(&str, Option<&str>)]) -> (String, Vec<u64>) {
    let mut all = Exposition::default();
    let ours = texts.iter().map(|(_, instance)| (*instance, 1));
    all.gauge("llm_proxy_engine_ready", "Whether the engine answers.", ours);
    let left_out = texts.iter().map(|(text, instance)| all.add(text, *instance)).collect();
    (all.text(), left_out)
}

#[test]
fn each_family_is_told_once_with_the_lines_of_all_together() {
    let (text, left_out) = joined(&[(VLLM, Some("a")), (VLLM, Some("b"))]);
    let expected = r#"# HELP llm_proxy_engine_ready Whether the engine answers.
# TYPE llm_proxy_engine_ready gauge
llm_proxy_engine_ready{instance="a"} 1
llm_proxy_engine_ready{instance="b"} 1
# HELP vllm:running Requests that run.
# TYPE vllm:running gauge
vllm:running{instance="a",engine="0",model_name="ti}n\"y"} 2.0
vllm:running{instance="b",engine="0",model_name="ti}n\"y"} 2.0
# HELP vllm:seconds How long.
# TYPE vllm:seconds histogram
vllm:seconds_bucket{instance="a",le="1.0"} 1.0
vllm:seconds_bucket{instance="a",le="+Inf"} 2.0
vllm:seconds_sum{instance="a"} 1.5
vllm:seconds_count{instance="a"} 2.0
vllm:seconds_bucket{instance="b",le="1.0"} 1.0
vllm:seconds_bucket{instance="b",le="+Inf"} 2.0
vllm:seconds_sum{instance="b"} 1.5
vllm:seconds_count{instance="b"} 2.0
# TYPE plain untyped
plain{instance="a"} 7
plain{instance="b"} 7
"#;
    assert_eq!((text.as_str(), left_out.as_slice()), (expected, [0, 0].as_slice()));
}

#[test]
fn with_one_command_nothing_is_added_to_its_lines() {
    let (text, left_out) = joined(&[("x{instance=\"i\"} 1\ny 2 3\n", None)]);
    let told: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!((told, left_out), (vec!["llm_proxy_engine_ready 1", "x{instance=\"i\"} 1", "y 2 3"], vec![0]));
}

#[test]
fn what_contradicts_what_was_said_before_is_left_out_and_counted() {
    let other = "# TYPE vllm:running counter\nvllm:running 1\nvllm:seconds_sum 1\nllm_proxy_engine_ready 0\nnew 1\n";
    let (text, left_out) = joined(&[(VLLM, Some("a")), (other, Some("b")), ("<html>", Some("c"))]);
    assert_eq!(left_out, [0, 3, 1]);
    let of_b: Vec<_> = text.lines().filter(|line| line.contains("instance=\"b\"")).collect();
    assert_eq!(of_b, ["llm_proxy_engine_ready{instance=\"b\"} 1", "new{instance=\"b\"} 1"]);
}

#[test]
fn a_label_of_the_engine_s_own_is_renamed_and_what_only_open_metrics_has_is_dropped() {
    let open = "# TYPE hits counter\n# UNIT hits 1\nhits_total{instance=\"i\"} 3 1795226400.5 # {a=\"b\"} 1\n\
                hits_created 1.7e9\n# EOF\n";
    let (text, left_out) = joined(&[(open, Some("a")), (open, Some("b"))]);
    let told: Vec<_> = text.lines().skip(4).collect();
    let expected = [
        "# TYPE hits_total untyped",
        "hits_total{instance=\"a\",exported_instance=\"i\"} 3",
        "hits_total{instance=\"b\",exported_instance=\"i\"} 3",
        "# TYPE hits_created untyped",
        "hits_created{instance=\"a\"} 1.7e9",
        "hits_created{instance=\"b\"} 1.7e9",
    ];
    assert_eq!((told.as_slice(), left_out.as_slice()), (expected.as_slice(), [0, 0].as_slice()));
}

proptest! {
    /// Whatever engines say, no line of it stands outside its family, and nothing is said twice of one.
    #[test]
    fn families_stay_whole(texts in prop::collection::vec("((# (TYPE|HELP) [ab](_sum|_count|) (gauge|histogram|summary|x)|[ab](_sum|_count|_bucket|)(\\{a=\"[\\\\\"x]\"\\}|) [1x])\n){0,8}", 1..4)) {
        let mut all = Exposition::default();
        for (at, text) in texts.iter().enumerate() {
            all.add(text, Some(&at.to_string()));
        }
        let text = all.text();
        let (told, left_out) = read(&text);
        prop_assert_eq!(left_out, 0, "{}", text);
        prop_assert_eq!(text.matches("# TYPE").count(), told.len(), "{}", text);
        let mut again = Exposition::default();
        prop_assert_eq!(again.add(&text, None), 0, "{}", text);
        prop_assert_eq!(again.text(), text);
    }
}
