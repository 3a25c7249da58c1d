//! Profiling: by a program around the engine, which a stand-in plays, and by the engine's own profiler.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::scene::{SRUN_ARGS, chat, ends_well};
use support::verbs::{refused, said, verb};
use support::{Cluster, Deadline, Home, HostName, Proxy, ProxyBuilder, engine_path, eventually};
use tempfile::TempDir;

/// A profiler: runs the engine as its child, and takes a while to write its report once that has ended. Whoever ends it
/// instead gets none.
const STAND_IN: &str = r#"#!/bin/sh
whole="$0 $*"
while :; do
  case $1 in
    -o | -d) out=$2; shift 2 ;;
    --) shift; break ;;
    -* | profile) shift ;;
    *) break ;;
  esac
done
trap 'echo "told to end" >"$out.told"; exit 143' TERM INT HUP
"$@" &
wait "$!"
code=$?
sleep 3
printf '%s\n' "$whole" "VLLM_WORKER_MULTIPROC_METHOD=$VLLM_WORKER_MULTIPROC_METHOD" >"$out.report"
exit "$code"
"#;

/// A folder with this program alone.
fn tools(program: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), program);
    folder
}

fn put(folder: &Path, program: &str) {
    let file = folder.join(program);
    fs::write(&file, STAND_IN).expect("a program");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it can be run");
}

/// A proxy whose engine is profiled by this tool, if `tools` has it.
fn profiled(tools: &Path, options: &[&str]) -> ProxyBuilder<'static> {
    let command = [engine_path().display().to_string(), "--log-lines".to_owned(), "1".to_owned()];
    Proxy::builder()
        .with_programs_of(tools)
        .options(["--name", "one"])
        .options(options.iter().copied())
        .command(command)
}

/// The files of a folder with this ending.
fn with_ending(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

/// The one report, and what it says of how its program was called.
fn report(folder: &Path) -> String {
    let reports = with_ending(folder, ".report");
    assert_eq!(with_ending(folder, ".told"), [] as [PathBuf; 0], "the profiler itself was told to end");
    assert_eq!(reports.len(), 1, "{reports:?}");
    fs::read_to_string(reports.first().expect("one")).expect("a report")
}

/// Profiled by this program, of which the report is the one that is named so.
async fn a_report_is_written(tool: &str, program: &str, before: &str, after: &str) {
    let tools = tools(program);
    let options = ["--profile", tool, "--profile-output-dir", "my profiles", "--profile-arg=--stats"];
    let proxy = profiled(tools.path(), &options).start().await;
    let home = proxy.home();
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert!(said(&home, &["stop", "one"]).contains("the engine is gone"));
    let folder = home.path().join("my profiles");
    let told = report(&folder);
    let start = format!("{}/{program} {before}{}/", tools.path().display(), folder.display());
    let engine = format!(" {after}{}", engine_path().display());
    assert!(told.starts_with(&start) && told.contains(&engine), "{start}… {engine}… in {told}");
    ends_well(proxy).await;
}

#[tokio::test]
async fn nsys_writes_its_report_once_the_engine_is_stopped() {
    a_report_is_written("nsys", "nsys", "profile -o ", "--trace-fork-before-exec=true --stats ").await;
}

#[tokio::test]
async fn so_does_rocprofv3() {
    a_report_is_written("amd", "rocprofv3", "-d ", "--runtime-trace --stats -- ").await;
}

#[tokio::test]
async fn so_does_rocprof_where_there_is_no_newer_one() {
    a_report_is_written("amd", "rocprof", "-o ", "--stats ").await;
}

#[tokio::test]
async fn a_report_that_takes_too_long_is_named() {
    let tools = tools("nsys");
    let proxy = profiled(tools.path(), &["--profile", "nsys", "--stop-timeout", "1s"]).start().await;
    let home = proxy.home();
    said(&home, &["start", "one", "--wait"]);
    said(&home, &["stop", "one"]);
    assert_eq!(with_ending(&home.path().join("profiles"), ".report"), [] as [PathBuf; 0]);
    let log = said(&home, &["logs", "one"]);
    assert!(log.contains("--stop-timeout (1 s) is too short for it"), "{log}");
    ends_well(proxy).await;
}

#[tokio::test]
async fn a_tool_that_is_missing_is_named_before_the_engine_is_started() {
    let nothing = tempfile::tempdir().expect("a folder");
    for (tool, names) in [("nsys", "nsys, which"), ("amd", "rocprofv3 or rocprof, which")] {
        let proxy = profiled(nothing.path(), &["--profile", tool]).start().await;
        let home = proxy.home();
        let told = refused(&home, &["start", "one", "--wait"], 1);
        let expected =
            format!("the profiler is not there: keeper: {names} is to profile the engine, is not in the PATH of");
        assert!(told.contains(&expected) && told.contains("--prelude"), "{told}");
        let log = said(&home, &["logs", "one"]);
        assert!(!log.contains("test-engine"), "the engine was started: {log}");
        let listing: Value = serde_json::from_str(&said(&home, &["status", "--json"])).expect("json");
        let code = listing.pointer("/instances/0/problem/code").and_then(Value::as_str);
        assert_eq!(code, Some("profiler_missing"), "{listing}");
        ends_well(proxy).await;
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let tools = tools("nsys");
    let options = ["--profile", "nsys", "--profile-output-dir", "/dev/null/profiles"];
    let proxy = profiled(tools.path(), &options).start().await;
    let told = refused(&proxy.home(), &["start", "one", "--wait"], 1);
    assert!(told.contains("cannot be made: /dev/null/profiles") && told.contains("--profile-output-dir"), "{told}");
    ends_well(proxy).await;
}

/// A file for an engine that is taken for vLLM, and profiled as the brief's example has it.
fn file(engine: &Path, output_dir: &str) -> String {
    format!(
        "backend: vllm\nmodel: test-model\ncommand: [{}, --model, test-model]\nprofile:\n  enabled: true\n  tool: pytorch\n  output_dir: {output_dir}\n",
        engine.display()
    )
}

/// A proxy of such a file.
fn by_file<'a>(builder: ProxyBuilder<'a>, text: &str) -> ProxyBuilder<'a> {
    let path = builder.its_home().path().join("server.yaml");
    fs::write(&path, text).expect("a file");
    builder.options(["--name".into(), "one".into(), "--config".into(), path.into_os_string()])
}

/// What came of one profile.
fn traces(home: &Home, output: &str, number: u32) {
    let folder = home.path().join(output);
    let text = fs::read(folder.join(format!("rank0.{number}.pt.trace.json"))).expect("a trace");
    let trace: Value = serde_json::from_slice(&text).expect("the whole of it");
    assert_eq!(trace.pointer("/traceEvents").and_then(Value::as_array).map(Vec::len), Some(1), "{trace}");
    let bytes = fs::read(folder.join(format!("ranks/every byte.{number}"))).expect("a trace");
    assert!(
        bytes.len() == 300_000 && bytes.iter().zip((0..=u8::MAX).cycle()).all(|(byte, expected)| *byte == expected)
    );
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 3, "only what is of this profile");
    assert_eq!(parts(home), [] as [String; 0]);
}

/// What looks like a folder that was not finished.
fn parts(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.path()).expect("a home");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(".part")).collect()
}

#[tokio::test]
async fn traces_of_a_running_engine_come_to_the_user() {
    let proxy = by_file(Proxy::builder(), &file(&engine_path(), "./profiles")).start().await;
    let home = proxy.home();
    assert!(refused(&home, &["profile", "one"], 1).contains("`llm-proxy start one --wait` starts it"));
    said(&home, &["start", "one", "--wait"]);
    for (number, output) in [(0, "trace"), (1, "again")] {
        let told = said(&home, &["profile", "one", "--for", "1", "-o", output]);
        let expected = format!("one: 3 files (300.0 kB) in {}", home.path().join(output).display());
        assert!(told.contains(&expected) && told.contains("ranks/every byte"), "{told}");
        traces(&home, output, number);
    }
    let own = home.path().join("profiles");
    assert!(own.join("rank0.0.pt.trace.json").is_file(), "they stay where the engine wrote them");
    let hidden = fs::read_dir(&own)
        .expect("a folder")
        .filter(|entry| entry.as_ref().expect("an entry").file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0, "nothing else is left there");
    assert!(refused(&home, &["profile", "-o", "again"], 1).contains("again is there already"));
    ends_well(proxy).await;
}

#[tokio::test]
async fn ctrl_c_ends_the_profile_and_keeps_nothing() {
    let proxy = by_file(Proxy::builder(), &file(&engine_path(), "./profiles")).start().await;
    let home = proxy.home();
    said(&home, &["start", "one", "--wait"]);
    let mut asking = Proxy::builder().home(&home).spawn_verb(["profile", "one", "--for", "10m"]);
    asking.stderr().wait_for("profiled for 600 s", Deadline::in_seconds(20)).await;
    asking.signal("INT");
    assert_eq!(asking.wait(Deadline::in_seconds(10)).await.code(), Some(130));
    // The engine takes no second one while the first goes on.
    let again = async || verb(&home, &["profile", "one", "--for", "1", "-o", "after"]).status.success().then_some(());
    eventually(Deadline::in_seconds(30), "the engine is profiled once more", again).await;
    traces(&home, "after", 1);
    assert!(!home.path().join("trace").exists());
    ends_well(proxy).await;
}

#[tokio::test]
async fn an_engine_that_cannot_be_asked_for_a_profile_says_how_it_can() {
    let tools = tools("nsys");
    for (options, expected) in [
        (&[][..], ["one was not started with its profiler on", "--profile pytorch"]),
        (&["--profile", "nsys"][..], ["one is profiled by nsys from its start to its end", "./profiles where it runs"]),
    ] {
        let proxy = profiled(tools.path(), options).start().await;
        let told = refused(&proxy.home(), &["profile", "one"], 1);
        assert!(expected.iter().all(|words| told.contains(words)), "{told}");
        ends_well(proxy).await;
    }
}

#[tokio::test]
async fn an_option_for_no_profiler_is_refused() {
    let proxy = Proxy::builder();
    let output = proxy.run(["serve", "--profile-output-dir", "x", "--dry-run", "true"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("give --profile nsys, pytorch or amd"), "{told}");
    let output = proxy.run(["serve", "--profile", "pytorch", "--dry-run", "true"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("profile it by nsys or amd"), "{told}");
}

#[tokio::test]
async fn on_a_node_that_shares_no_folder() {
    let cluster = Cluster::up();
    let slurm = ["--use-slurm", "--srun-args", SRUN_ARGS];
    // Only the node has its /tmp.
    let builder = Proxy::builder().on_laptop(&cluster).options(slurm);
    let proxy = by_file(builder, &file(&cluster.engine(), "/tmp/its traces")).start().await;
    let home = proxy.home();
    said(&home, &["start", "one", "--wait"]);
    let told = said(&home, &["profile", "one", "--for", "1"]);
    assert!(told.contains("3 files (300.0 kB)"), "{told}");
    traces(&home, "trace", 0);
    assert!(!cluster.on(HostName::Login, &["ls", "/tmp/its traces"]).status.success());
    said(&home, &["stop", "one", "--serve"]);
    assert!(proxy.ended(Deadline::in_seconds(30)).await.success());

    put(cluster.share(), "rocprofv3");
    let prelude = format!("PATH={}:$PATH", cluster.share().display());
    let options = ["--name", "two", "--profile", "amd", "--profile-output-dir", "~/profiles", "--prelude", &prelude];
    let builder = Proxy::builder().on_laptop(&cluster).options(slurm).options(options);
    let proxy = builder.command([cluster.engine()]).start().await;
    let home = proxy.home();
    said(&home, &["start", "two", "--wait"]);
    said(&home, &["stop", "two"]);
    assert!(report(&cluster.home().join("profiles")).contains("rocprofv3 -d "));
    ends_well(proxy).await;
}
