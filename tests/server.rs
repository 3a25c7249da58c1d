//! The library as other people's programs use it: an engine as a value, gone when the value is.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use llm_proxy::{
    Backend, InferenceServer, Job, Options, ServerError, create_server, load_server_config, start_server_from_config,
};
use tempfile::TempDir;

/// A server whose engine is the demonstration's, and the folder of its files.
fn tiny(arguments: &[&str]) -> (InferenceServer, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = [env!("CARGO_BIN_EXE_llm-proxy"), "demo-engine", "--host", "{host}", "--port", "{port}"];
    let options = Options {
        command: engine.map(str::to_owned).to_vec(),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        output_dir: folder.path().to_owned(),
        // By this its processes are known.
        env_vars: vec![("MARK".to_owned(), folder.path().display().to_string())],
        startup_timeout: Duration::from_mins(1),
        ..Options::default()
    };
    (create_server(Backend::Custom, "ada/tiny", options).expect("a server"), folder)
}

/// The processes that were started with this folder's mark, but for those that are ending.
fn engines(folder: &TempDir) -> Vec<PathBuf> {
    let mark = format!("MARK={}", folder.path().display());
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(|entry| Some(entry.ok()?.path()));
    let marked = |process: &PathBuf| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&mark)
    };
    processes.filter(marked).collect()
}

fn answer(server: &InferenceServer, path: &str) -> String {
    let url = server.url().expect("it runs");
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").expect("it is asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn it_starts_answers_stops_and_starts_again() {
    let (mut server, folder) = tiny(&[]);
    assert!(!server.check_health() && server.list_endpoints().is_empty());
    for _ in 0..2 {
        server.start().expect("it starts");
        assert!(server.check_health() && !engines(&folder).is_empty());
        assert!(matches!(server.start(), Err(ServerError::Runs)));
        assert!(answer(&server, "/v1/models").starts_with("HTTP/1.1 200"));
        assert!(server.get_health_endpoint().is_some_and(|health| health.ends_with("/health")));
        assert_eq!(server.list_endpoints().len(), 5);
        server.stop().expect("it stops");
        assert!(!server.check_health());
        assert_eq!(engines(&folder), Vec::<PathBuf>::new());
    }
    server.stop().expect("nothing is to be done");
    assert!(folder.path().join("tiny/engine.log").exists());
}

#[test]
fn a_panic_ends_it() {
    let (mut server, folder) = tiny(&[]);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let running = server.run().expect("it starts");
        assert!(running.check_health() && !engines(&folder).is_empty());
        panic!("something else went wrong");
    }));
    assert!(panicked.is_err());
    assert_eq!(engines(&folder), Vec::<PathBuf>::new());
}

/// A `drop` waits for the end in async code, too.
#[tokio::test]
async fn its_end_is_the_end_of_its_scope_in_async_code() {
    let (mut server, folder) = tiny(&[]);
    server.start().expect("it starts");
    drop(server);
    assert_eq!(engines(&folder), Vec::<PathBuf>::new());
}

#[test]
fn an_engine_that_does_not_come_up_is_told_with_its_own_words_and_leaves_nothing() {
    let (mut server, folder) = tiny(&["--no-such-flag"]);
    let error = server.start().expect_err("it cannot start");
    assert!(matches!(&error, ServerError::Engine(_)), "{error}");
    assert!(error.to_string().contains("--no-such-flag"), "{error}");
    assert!(!server.check_health() && engines(&folder).is_empty());
}

#[test]
fn what_cannot_be_is_refused_before_anything_starts() {
    let made = |backend, model: &str, options| create_server(backend, model, options).err().map(|e| e.to_string());
    let custom = made(Backend::Custom, "m", Options::default()).expect("no command");
    assert!(custom.contains("there is no command to run"), "{custom}");
    let nameless = made(Backend::Vllm, "///", Options::default()).expect("no name");
    assert!(nameless.contains("cannot name the server"), "{nameless}");
    let env_vars = vec![("1A".to_owned(), "hunter2".to_owned())];
    let variable = made(Backend::Vllm, "m", Options { env_vars, ..Options::default() }).expect("no variable");
    assert!(variable.contains("1A") && !variable.contains("hunter2"), "{variable}");
}

#[test]
fn each_backend_has_its_command_and_its_name() {
    let server = |backend| create_server(backend, "Qwen/Qwen3-8B", Options::default()).expect("a server");
    let vllm = server(Backend::Vllm);
    assert_eq!(vllm.get_launch_command(), ["vllm", "serve", "Qwen/Qwen3-8B"]);
    assert_eq!(vllm.get_backend_name(), "vLLM");
    let sglang = server(Backend::Sglang).get_launch_command().join(" ");
    assert_eq!(sglang, "python3 -m sglang.launch_server --model-path Qwen/Qwen3-8B");
}

/// Nothing is printed, whatever happens: a program of its own is the judge.
#[test]
fn nothing_is_printed() {
    let this = std::env::current_exe().expect("this program");
    let line = ["--exact", "--quiet", "--nocapture", "it_starts_answers_stops_and_starts_again"];
    let output = Command::new(this).args(line).output().expect("it can be run");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("demo-engine") && !said.contains("llm-proxy"), "{said}");
}

#[test]
fn a_file_describes_a_server_that_starts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, logs) = (folder.path().join("server.yaml"), folder.path().join("logs"));
    let engine = env!("CARGO_BIN_EXE_llm-proxy");
    let text = format!(
        "backend: custom\nmodel: ada/tiny\ncommand: ['{engine}', demo-engine, --host, '{{host}}', --port, '{{port}}']\n\
         output_dir: '{}'\nstartup_timeout: 60\nenv_vars:\n  MARK: '{}'\n",
        logs.display(),
        folder.path().display()
    );
    std::fs::write(&file, text).expect("a file");
    let mut server = start_server_from_config(&file).expect("it starts");
    assert!(server.check_health() && !engines(&folder).is_empty());
    assert!(answer(&server, "/v1/models").starts_with("HTTP/1.1 200"));
    assert!(logs.join("tiny").is_dir(), "what it keeps is in output_dir");
    server.stop().expect("it stops");
    assert!(engines(&folder).is_empty());
}

#[test]
fn a_file_says_all_that_options_say() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("server.yaml");
    let text = "backend: vllm\nmodel: org/m\nport: 8000\nhost: me@login\nstop_timeout: 5\nqueue_timeout: 1h\n\
                slurm:\n  args: [--gres=gpu:2]\n  batch: true\nenv_vars: {CUDA_VISIBLE_DEVICES: 3, HF_HOME: /data}\n\
                prelude: module load cuda\nready_path: /ready\nheartbeat_timeout: 0\nroute: relay\n\
                profile: {enabled: true, tool: nsys}\nserve_config: {model_size: 2GB}\n\
                config:\n  api_server_args: [--max-model-len, 4096]\n";
    std::fs::write(&file, text).expect("a file");
    let said = load_server_config(&file).expect("a good file");
    assert_eq!((said.backend, said.model.as_str(), said.options.port), (Backend::Vllm, "org/m", 8000));
    assert_eq!(said.options.command.join(" "), "vllm serve org/m --max-model-len 4096");
    let job = Job { arguments: vec!["--gres=gpu:2".into()], batch: true, queue_timeout: Some(Duration::from_hours(1)) };
    assert_eq!(said.options.job, Some(job));
    assert_eq!(said.options.login.as_ref().map(|login| login.destination.as_str()), Some("me@login"));
    assert_eq!(said.options.env_vars, [("HF_HOME".to_owned(), "/data".to_owned())], "Slurm chooses the GPUs");
    assert_eq!(said.options.stop_timeout, Duration::from_secs(5));
    assert_eq!(said.options.prelude.as_deref(), Some("module load cuda"));
    assert_eq!((said.options.ready_path.as_deref(), said.options.model_size), (Some("/ready"), Some(2_000_000_000)));
    assert!(said.options.profiling.is_some());
    create_server(said.backend, said.model, Options { output_dir: folder.path().join("logs"), ..said.options })
        .expect("a server");

    std::fs::write(&file, "models:\n  a: {model: m}\n  b: {model: n}\n").expect("a file");
    let error = load_server_config(&file).err().expect("two servers").to_string();
    assert!(error.contains("2 models"), "{error}");
    std::fs::write(&file, "modle: m\n").expect("a file");
    let error = load_server_config(&file).err().expect("a misspelt key").to_string();
    assert!(error.contains("modle") && error.contains("model"), "{error}");
}

#[test]
fn a_server_that_is_open_to_others_asks_for_a_key() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, key) = (folder.path().join("server.yaml"), folder.path().join("key"));
    std::fs::write(&key, "hunter2").expect("a key");
    let open = "model: org/m\nlisten: {host: 0.0.0.0}\n";
    std::fs::write(&file, open).expect("a file");
    let said = load_server_config(&file).expect("a good file");
    let refused = create_server(said.backend, said.model, said.options).err().expect("it is refused").to_string();
    assert!(refused.contains("0.0.0.0") && refused.contains("access key"), "{refused}");
    std::fs::write(&file, format!("{open}access_key: file:{}\n", key.display())).expect("a file");
    let said = load_server_config(&file).expect("a good file");
    assert!(said.options.access_key.as_ref().is_some_and(|key| key.matches(b"hunter2")));
    create_server(said.backend, said.model, said.options).expect("a server");
}
