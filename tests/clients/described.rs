//! The API against its own description, and the metrics before Prometheus' own parser.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::driver::installed;
use crate::support::{Deadline, Proxy, engine_path, vllm_stand_in};

const KEY: &str = "open-sesame";
/// No run takes longer: it has some hundred requests.
const LONGEST: Duration = Duration::from_secs(100);

/// What reads metrics, and says of each family its name, its type, and the instances that tell of it.
const PARSE: &str = "
import sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    told = sorted({sample.labels.get('instance', '') for sample in family.samples})
    print(family.name, family.type, ','.join(told))
";

/// A fleet of two, whose callers may make more: a stand-in for vLLM runs those.
async fn serve(folder: &Path) -> Proxy {
    let engine = engine_path();
    let model = |name: &str| {
        format!(
            "  {name}:\n    backend: custom\n    model: org/{name}\n    \
             command: ['{}', --model, '{{model}}', --host, '{{host}}', --port, '{{port}}']\n",
            engine.display()
        )
    };
    let models = [model("one"), model("two")].concat();
    let text = format!("access_key: env:LLM_PROXY_TEST_KEY\ncallers: {{create: true}}\nmodels:\n{models}");
    std::fs::write(folder.join("fleet.yaml"), text).expect("a file");
    vllm_stand_in(folder);
    let builder = Proxy::builder().of_fleet(folder).with_programs_of(folder).env("LLM_PROXY_TEST_KEY", KEY);
    builder.options(["--lease", "10s"]).start().await
}

fn driver(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/drivers").join(name)
}

/// Runs the interpreter that has what judges the API.
async fn python(arguments: &[&str], folder: &Path, input: &str) -> String {
    run("python-api/bin/python", arguments, folder, input).await
}

/// Runs an interpreter, and gives what it says; it must say that all is well.
async fn run(interpreter: &str, arguments: &[&str], folder: &Path, input: &str) -> String {
    let mut command = tokio::process::Command::new(installed().join(interpreter));
    command.args(arguments).current_dir(folder).env_clear().env("LANG", "C.UTF-8").env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("PYTHONPATH", driver("")).env("SCHEMATHESIS_HOOKS", "api_hooks").env("HOME", folder);
    let given = folder.join("input");
    std::fs::write(&given, input).expect("a file");
    command.stdin(std::fs::File::open(&given).expect("what was written")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::time::timeout(LONGEST, command.kill_on_drop(true).output()).await.expect("an end in time");
    let output = output.expect("an interpreter that can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test]
async fn what_is_answered_is_described_and_metrics_are_prometheus() {
    let _turn = crate::TURN.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = serve(folder.path()).await;
    let mut client = crate::support::Client::tcp(proxy.address());
    client.set_header("authorization", "Bearer open-sesame");
    for model in ["org/one", "org/two"] {
        let chat = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
        client.post("/v1/chat/completions", &chat).await.ok();
    }
    let metrics = client.get("/metrics").await;
    let families = python(&["-c", PARSE], folder.path(), &metrics.text()).await;
    for family in [
        "vllm:num_requests_running gauge one,two",
        "llm_proxy_engine_up gauge one,two",
        "llm_proxy_requests_waiting gauge one,two",
    ] {
        assert_eq!(families.lines().filter(|line| *line == family).count(), 1, "{family}\n{families}");
    }

    let page = client.get("/dashboard").await.text();
    let shown = run("bin/node", &[driver("dashboard.mjs").to_str().expect("a path")], folder.path(), &page).await;
    let evil = "<img src=x onerror=alert(1)>";
    let expected = format!(
        "at first: {evil} bootstrapping (queued)   0 2 start|stop|log / b ready   1 0 start|stop|log\n\
         an event: {evil} bootstrapping (queued)  queued (Priority) 0 2 start|stop|log / b ready   1 0 start|stop|log\n\
         gone: b ready   1 0 start|stop|log\n"
    );
    assert!(shown.starts_with(&expected), "{shown}");
    assert!(shown.contains("POST /stop/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E, "), "{shown}");

    // The engines' own routes, and what never ends, are tested elsewhere; and which arguments a caller may set, and which routes
    // an engine has besides, no description can say.
    let (at, key) = (format!("http://{}/openapi.json", proxy.address()), format!("authorization: Bearer {KEY}"));
    let said = python(
        &[
            "-m",
            "schemathesis.cli",
            "run",
            &at,
            "--header",
            &key,
            "--phases",
            "examples,coverage,fuzzing",
            "--seed",
            "8",
            "--max-examples",
            "6",
            "--exclude-tag",
            "engine",
            "--exclude-path",
            "/events",
            "--request-timeout",
            "20",
            "--no-shrink",
            "--continue-on-failure",
            "--checks",
            "all",
            "--exclude-checks",
            "positive_data_acceptance,unsupported_method",
            "--no-color",
        ],
        folder.path(),
        "",
    )
    .await;
    let selected = said.lines().find_map(|line| line.trim().strip_prefix("Tested: "));
    let tested: usize = selected.and_then(|count| count.trim().parse().ok()).expect("how many were tested");
    assert!(tested >= 16, "{said}");
    proxy.stop("TERM", Deadline::in_seconds(60)).await;
}
