//! The command line: what it says when it is wrong, and what it would run.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::process::Output;
use std::time::Duration;

use support::Proxy;

fn run(arguments: &[&str]) -> Output {
    Proxy::builder().run(arguments.iter().copied())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a bad line must answer: exit code 2, and these words.
#[test]
fn bad_lines_are_refused_with_what_to_do() {
    let table: &[(&[&str], &[&str])] = &[
        (&["serve"], &["COMMAND"]),
        (&["serve", "--no-such-option", "vllm"], &["--no-such-option"]),
        (&["--idle-timeout", "soon", "vllm"], &["soon", "30m"]),
        (&["--host", "0.0.0.0", "vllm"], &["0.0.0.0", "access key", "LLM_PROXY_ACCESS_KEY", "127.0.0.1"]),
        (&["--access-key", "hunter2", "vllm"], &["not the key itself", "env:NAME or file:PATH"]),
        (&["--access-key", "env:LLM_PROXY_NOT_SET", "vllm"], &["LLM_PROXY_NOT_SET", "not set"]),
        (&["--access-key", "env:MYKEY", "vllm"], &["MYKEY", "inherit", "LLM_PROXY_"]),
        (&["--access-key", "file:/no/such/file", "vllm"], &["/no/such/file"]),
        (&["--target-port", "0", "vllm"], &["--target-port"]),
        (&["--engine-socket", "--target-port", "1", "vllm"], &["--engine-socket", "--target-port"]),
        (&["--engine-socket", "--target-host", "::1", "vllm"], &["--engine-socket", "--target-host"]),
        (&["--engine-socket", "./mine"], &["a command of your own is told of no Unix socket", "{socket}"]),
        (&["--engine-socket", "sglang", "serve", "--model-path", "m"], &["SGLang", "leave --engine-socket out"]),
        (
            &["--engine-socket", "--use-slurm", "--route", "direct", "vllm", "serve", "m"],
            &["--route direct", "--engine-socket", "nested, reverse and relay"],
        ),
        (&["--srun-args=--mem=1G", "vllm"], &["--use-slurm"]),
        (&["--use-slurm", "--srun-args=--pty", "vllm"], &["--pty"]),
        (&["--use-slurm", "--srun-args=-n 4", "vllm"], &["-n"]),
        (&["--use-slurm", "--srun-args=--jobid=7", "vllm"], &["--jobid"]),
        (&["--use-slurm", "--srun-args='unclosed", "vllm"], &["--srun-args"]),
        (&["--env", "NOT_SET", "vllm"], &["NOT_SET is not set"]),
        (&["--env", "1A=x", "vllm"], &["1A"]),
        (&["--env-file", "/no/such/file", "vllm"], &["/no/such/file"]),
        (&["--name", "///", "vllm"], &["--name"]),
        (&["-i", "key", "vllm"], &["--login"]),
        (&["-J", "gate", "vllm"], &["--login"]),
        (&["-l", "me", "vllm"], &["--login"]),
        (&["-p", "22", "vllm"], &["--login"]),
        (&["-o", "User=me", "vllm"], &["--login"]),
        (&["--accept-new-host-key", "vllm"], &["--login"]),
        (&["--login", "h", "-p", "0", "vllm"], &["--login-port"]),
    ];
    for (line, words) in table {
        let output = run(line);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{line:?}: {said}");
        for word in *words {
            assert!(said.contains(word), "{line:?} does not say {word:?}: {said}");
        }
    }
}

#[test]
fn a_key_that_was_typed_is_not_repeated() {
    let output = run(&["--access-key", "hunter2", "vllm"]);
    assert!(!stderr(&output).contains("hunter2"));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = run(&["serve", "--port", &port, "vllm"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains(&port) && said.contains("another --port"), "{said}");
}

#[tokio::test]
async fn a_second_one_of_the_same_name_is_refused() {
    let proxy = Proxy::builder().command(["vllm", "serve", "tiny"]).start().await;
    let output = Proxy::builder().home(&proxy.home()).run(["serve", "--port", "0", "vllm", "serve", "tiny"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("tiny already runs here") && said.contains(&proxy.pid().to_string()), "{said}");
    assert!(said.contains("--name"), "{said}");
}

/// What a line would run, without the scripts around it.
fn rehearsed(line: &[&str]) -> String {
    let output = run(line);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", stderr(&output));
    let end = text.find("# The keeper, whole").expect("the keeper's script");
    text.get(..end).expect("text").trim_end().to_owned()
}

/// The line that the project was asked for, word by word.
const ASKED_FOR: &str = "--dry-run --port 8085 --target-port 8084 --use-slurm --loopback-user e123456 --loopback-host \
    10.10.10.5 uv run --with vllm --with numpy==1.26.4 --with flashinfer-python==0.2.2 python -m \
    vllm.entrypoints.openai.api_server --host 0.0.0.0 --port 8084 --model tiiuae/falcon3-10b-instruct --api-key apikey \
    --tensor-parallel-size 1 --enable-chunked-prefill --max-num-batched-tokens 2048 --distributed-executor-backend mp \
    --gpu-memory-utilization 0.95";

#[test]
fn the_line_that_the_project_was_asked_for_works_unchanged() {
    let line: Vec<&str> = ASKED_FOR.split_whitespace().collect();
    let text = rehearsed(&line);
    let command = text.lines().find(|line| line.starts_with("exec ")).expect("the engine's command");
    assert!(command.starts_with("exec uv run --with vllm --with "), "{command}");
    // The tunnel ends beside the engine: nobody else need reach it.
    assert!(command.contains("--host 127.0.0.1 --port 8084 --model tiiuae/falcon3-10b-instruct"), "{command}");
    assert!(text.contains("srun '--mem=30G' '--gres=gpu:1'"), "{text}");
}

#[test]
fn the_command_is_unchanged_but_for_its_host_and_port() {
    let table: &[(&[&str], &str)] = &[
        (&["vllm", "serve", "M"], "exec vllm serve M --host 127.0.0.1 --port \"$PORT\""),
        (&["vllm", "serve", "M", "--port", "1"], "exec vllm serve M --port \"$PORT\" --host 127.0.0.1"),
        (&["vllm", "serve", "M", "--port=1", "--x"], "exec vllm serve M '--port='\"$PORT\" --x --host 127.0.0.1"),
        (&["x", "{host}:{port}"], "exec x 127.0.0.1:\"$PORT\""),
        (&["bash", "-c", "vllm serve M --port $PORT"], "exec bash -c 'vllm serve M --port $PORT'"),
    ];
    for (command, expected) in table {
        let line: Vec<&str> = ["serve", "--dry-run", "--"].iter().chain(*command).copied().collect();
        let text = rehearsed(&line);
        let words = text.lines().find(|line| line.starts_with("exec ")).expect("the engine's command");
        assert_eq!(words, *expected, "{command:?}");
    }
}

#[test]
fn a_dry_run_shows_the_socket() {
    let text = rehearsed(&["serve", "--dry-run", "--engine-socket", "--use-slurm", "--", "vllm", "serve", "M"]);
    assert!(text.contains("The engine listens on a Unix socket, in a folder of its own under /tmp"), "{text}");
    assert!(text.contains("exec vllm serve M --uds \"$SOCKET\"") && !text.contains("binds"), "{text}");
}

#[test]
fn a_dry_run_shows_no_secret() {
    let line = ["serve", "--dry-run", "--env", "HF_TOKEN=hf_sesame", "vllm", "serve", "M"];
    let output = run(&line);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("HF_TOKEN") && text.contains("VLLM_API_KEY"), "{text}");
    assert!(!text.contains("hf_sesame"), "{text}");
}

#[test]
fn a_dry_run_shows_how_sbatch_is_asked() {
    let line = "serve --dry-run --use-slurm --batch --srun-args --time=1-0 vllm serve M --api-key";
    let line: Vec<&str> = line.split(' ').chain(["it's ses$ame"]).collect();
    let text = rehearsed(&line);
    let asked = text.lines().find(|line| line.starts_with("sbatch ")).expect("how it is asked for");
    for word in ["'--time=1-0'", "'--job-name=llm-proxy-", "'--dependency=singleton'", "--no-requeue", "$DIR/log"] {
        assert!(asked.contains(word), "no {word} in {asked}");
    }
    let whole = String::from_utf8_lossy(&run(&line).stdout).into_owned();
    assert!(whole.contains("submitted") && !whole.contains("ses$ame"), "{whole}");
}

#[test]
fn what_sbatch_cannot_be_given_is_refused_by_name() {
    for (options, said) in [
        (&["--batch"][..], "--use-slurm"),
        (
            &["--use-slurm", "--batch", "--srun-arg=--cpu-bind=none"],
            "--batch asks for the job, cannot be given --cpu-bind",
        ),
        (&["--use-slurm", "--batch", "--srun-arg=--overlap"], "never a step of another"),
    ] {
        let output = run(&[&["serve", "--dry-run"], options, &["vllm", "serve", "M"]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(said), "{options:?}: {}", stderr(&output));
    }
}

/// Under Slurm the GPUs are Slurm's to choose: what would override its choice is left out, and said.
#[test]
fn a_choice_of_gpus_is_left_to_slurm() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("gpus.env");
    std::fs::write(&file, "CUDA_VISIBLE_DEVICES=3\nKEPT=1\n").expect("a file");
    let file = file.display().to_string();
    let line = ["serve", "--dry-run", "--env-file", &file, "--env", "ROCR_VISIBLE_DEVICES=2"];
    let command = ["vllm", "serve", "M"];

    let output = run(&[&line[..], &["--use-slurm"], &command].concat());
    let (text, said) = (String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output));
    for name in ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"] {
        assert!(said.contains(&format!("warning: {name}, from --env or an environment file, is not given")), "{said}");
        assert!(!text.contains(name), "{text}");
    }
    assert!(text.contains("KEPT") && !said.contains("asks for no GPU"), "{said}\n{text}");

    // Without Slurm nobody else chooses.
    let output = run(&[&line[..], &command].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("CUDA_VISIBLE_DEVICES") && stderr(&output).is_empty(), "{}\n{text}", stderr(&output));
}

#[test]
fn arguments_that_ask_for_no_gpu_are_warned_of() {
    let said = |options: &[&str]| {
        let output = run(&[&["serve", "--dry-run", "--use-slurm"], options, &["vllm", "serve", "M"]].concat());
        assert!(output.status.success());
        stderr(&output)
    };
    let warning = "warning: --srun-args asks for no GPU, and stands in the place of \"--mem=30G --gres=gpu:1\"";
    assert!(said(&["--srun-args=--mem=60G"]).contains(warning));
    assert!(said(&["--batch", "--srun-args=--mem=60G"]).contains(warning));
    for options in
        [&[][..], &["--srun-args=-G1"], &["--srun-arg=--mem=60G"], &["--srun-args=--mem=60G", "--srun-arg=--gpus=2"]]
    {
        assert_eq!(said(options), "", "{options:?}");
    }
}

/// What a file or a program reads has no colours in it.
#[tokio::test]
async fn the_log_is_plain_where_nobody_looks() {
    let proxy = Proxy::builder().options(["-vv"]).command(["/bin/sh", "-c", "echo out of order; exit 3"]).start().await;
    let body = serde_json::json!({"model": "m", "messages": []});
    assert_eq!(proxy.client().post("/v1/chat/completions", &body).await.status, 503);
    let lines = proxy.lines();
    assert!(proxy.stop("TERM", Duration::from_secs(30)).await.success());
    let said = lines.so_far().join("\n");
    assert!(
        said.contains("engine | out of order") && said.contains("the host reports") && !said.contains('\x1b'),
        "{said}"
    );
}
