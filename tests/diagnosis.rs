//! What users are told when an engine or its job ends: by Slurm's and the engines' own words.

use proptest::prelude::*;
use test_case::test_case;

use llm_proxy::backend::{Backend, JobEnd, diagnose, diagnose_job};

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn code_of(line: &str, exit_code: u8) -> &'static str {
    let diagnosis = diagnose(Backend::Custom, &lines(line), Some(exit_code));
    assert!(!diagnosis.remedy.is_empty());
    diagnosis.code
}

// The usual failures of each kind, each with a remedy that its user can follow.
#[test_case(
    Backend::Vllm,
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.",
    "gpu_out_of_memory",
    "--max-model-len"
)]
#[test_case(
    Backend::Sglang,
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.",
    "gpu_out_of_memory",
    "--mem-fraction-static"
)]
#[test_case(
    Backend::Sglang,
    "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.",
    "gpu_out_of_memory",
    "raise --mem-fraction-static"
)]
#[test_case(
    Backend::Custom,
    "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9 MiB on device 0: cudaMalloc failed: out of memory",
    "gpu_out_of_memory",
    "--n-gpu-layers"
)]
#[test_case(Backend::Vllm, "huggingface_hub.errors.GatedRepoError: 403 Client Error.", "model_gated", "HF_TOKEN")]
#[test_case(Backend::Sglang, "OSError: You are trying to access a gated repo.", "model_gated", "HF_TOKEN"; "sglang gated")]
#[test_case(
    Backend::Vllm,
    "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.",
    "model_not_found",
    "name or path"
)]
#[test_case(Backend::Sglang, "OSError: nobody/x is not a local folder and is not a valid model identifier listed", "model_not_found", "name or path"; "sglang unknown")]
#[test_case(Backend::Custom, "error: failed to load model from '/m/x.gguf'", "model_not_found", "path")]
#[test_case(
    Backend::Custom,
    "llama_model_load: error loading model: unknown model architecture: 'x'\nerror: failed to load model from 'x'",
    "model_unsupported",
    "newer"
)]
#[test_case(Backend::Vllm, "vllm: error: unrecognized arguments: --max-len", "engine_arguments", "--help")]
#[test_case(Backend::Vllm, "vllm: error: unrecognized arguments: --disable-log-requests", "engine_arguments", "leave --disable-log-requests out"; "a flag that is gone")]
#[test_case(Backend::Sglang, "launch_server.py: error: argument --tp-size: invalid int value: 'x'", "engine_arguments", "--help"; "sglang flag")]
#[test_case(Backend::Custom, "error: invalid argument: --max-model-len", "engine_arguments", "--help"; "llama flag")]
#[test_case(Backend::Vllm, "OSError: [Errno 98] Address already in use", "port_in_use", "--target-port")]
#[test_case(Backend::Sglang, "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 80): address already in use", "port_in_use", "--target-port"; "sglang port")]
#[test_case(Backend::Custom, "srv    start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 80", "port_in_use", "--target-port"; "llama port")]
fn each_kind_tells_its_usual_failures(backend: Backend, line: &str, code: &str, remedy: &str) {
    let diagnosis = diagnose(backend, &lines(line), Some(1));
    assert_eq!(diagnosis.code, code);
    assert!(diagnosis.remedy.contains(remedy), "{}", diagnosis.remedy);
}

// What Slurm 22.05 said, and what later versions and sites with accounting say.
#[test_case(
    "srun: error: Unable to allocate resources: Invalid account or account/partition combination specified",
    1,
    "invalid_account"
)]
#[test_case(
    "srun: error: invalid partition specified: nope\nsrun: error: Unable to allocate resources: Invalid partition name specified",
    1,
    "invalid_partition"
)]
#[test_case(
    "srun: error: Memory specification can not be satisfied\nsrun: error: Unable to allocate resources: Requested node configuration is not available",
    1,
    "memory_unavailable"
)]
#[test_case(
    "srun: error: Unable to allocate resources: Requested node configuration is not available",
    1,
    "node_configuration_unavailable"
)]
#[test_case("srun: error: Invalid generic resource (gres) specification", 1, "invalid_gres")]
#[test_case("srun: error: Unable to allocate resources: Invalid node name specified", 1, "invalid_node")]
#[test_case("srun: error: Unable to allocate resources: Invalid qos specification", 1, "invalid_qos")]
#[test_case(
    "srun: error: QOSMaxSubmitJobPerUserLimit\nsrun: error: Unable to allocate resources: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    1,
    "policy_limit"
)]
#[test_case(
    "srun: error: Unable to allocate resources: Requested time limit is invalid (missing or exceeds some limit)",
    1,
    "invalid_time"
)]
#[test_case(
    "srun: error: Unable to allocate resources: Unable to contact slurm controller (connect failure)",
    1,
    "controller_unreachable"
)]
#[test_case("srun: fatal: Could not establish a configuration source", 1, "controller_unreachable")]
#[test_case(
    "srun: error: Unable to confirm allocation for job 12: Invalid job id specified",
    1,
    "allocation_unconfirmed"
)]
#[test_case("srun: unrecognized option '--wat'\nTry \"srun --help\" for more information", 255, "srun_arguments")]
#[test_case("srun: error: Invalid --mem specification", 255, "srun_arguments")]
#[test_case("/bin/sh: 1: exec: srun: not found", 127, "srun_missing")]
#[test_case("bash: line 1: srun: command not found", 127, "srun_missing")]
#[test_case(
    "srun: Job step aborted: Waiting up to 4 seconds for job step to finish.\nslurmstepd-node1: error: *** STEP 18.0 ON node1 CANCELLED AT 2026-11-21T02:08:36 DUE TO TIME LIMIT ***\nsrun: error: node1: task 0: Terminated",
    143,
    "time_limit"
)]
#[test_case(
    "slurmstepd: error: *** STEP 18.0 ON node1 CANCELLED AT 2026-11-21T02:08:36 DUE TO PREEMPTION ***",
    143,
    "preempted"
)]
#[test_case("srun: error: Node failure on node1", 1, "node_failed")]
#[test_case(
    "slurmstepd-node1: error: *** STEP 19.0 ON node1 CANCELLED AT 2026-11-21T02:08:37 ***\nsrun: error: node1: task 0: Terminated",
    143,
    "job_cancelled"
)]
#[test_case(
    "srun: job 24 queued and waiting for resources\nsrun: Job has been cancelled\nsrun: error: Unable to allocate resources: Job/step already completing or completed",
    1,
    "job_cancelled"
)]
#[test_case(
    "slurmstepd: error: Detected 1 oom_kill event in StepId=3.0. Some of the step tasks have been OOM Killed.\nsrun: error: node1: task 0: Out Of Memory",
    137,
    "host_out_of_memory"
)]
#[test_case("slurmstepd-node1: error: execve(): nonesuch: No such file or directory", 2, "command_not_found")]
#[test_case("slurmstepd-node1: error: execve(): /etc/passwd: Permission denied", 13, "permission_denied")]
fn slurm_s_words_are_known(text: &str, exit_code: u8, code: &str) {
    assert_eq!(code_of(text, exit_code), code);
}

// What vLLM 0.32 said, and what its and others' sources say.
#[test_case("usage: vllm [-h]\nvllm: error: unrecognized arguments: --wat", 2, "engine_arguments")]
#[test_case("OSError: [Errno 98] Address already in use", 1, "port_in_use")]
#[test_case(
    "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified revision on the local disk and outgoing traffic has been disabled.",
    1,
    "model_offline"
)]
#[test_case(
    "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.",
    1,
    "hub_unreachable"
)]
#[test_case(
    "OSError: x/y is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
    1,
    "model_not_found"
)]
#[test_case(
    "OSError: You are trying to access a gated repo.\nMake sure to have access to it\n401 Client Error. (Request ID: x)",
    1,
    "model_gated"
)]
#[test_case(
    "ValueError: Free memory on device cuda:0 (3.1/79.1 GiB) on startup is less than desired GPU memory utilization (0.9, 71.2 GiB).",
    1,
    "gpu_memory_taken"
)]
#[test_case("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", 1, "gpu_out_of_memory")]
#[test_case(
    "ValueError: To serve at least one request with the models's max seq len (131072), 16.00 GiB KV cache is needed, which is larger than the available KV cache memory (4.1 GiB).",
    1,
    "kv_cache_too_small"
)]
#[test_case("RuntimeError: No CUDA GPUs are available", 1, "no_gpu")]
#[test_case(
    "ValueError: World size (4) is larger than the number of available GPUs (1) in this node.",
    1,
    "too_few_gpus"
)]
#[test_case("/usr/bin/python3: No module named vllm", 1, "python_module_missing")]
#[test_case("OSError: [Errno 28] No space left on device", 1, "disk_full")]
#[test_case("ada@10.10.10.5: Permission denied (publickey,password).", 255, "tunnel_refused")]
#[test_case("Error: couldn't bind HTTP server socket, hostname: 0.0.0.0, port: 80", 1, "port_in_use")]
#[test_case("Worker proc VllmWorker-0 died unexpectedly", 1, "worker_died")]
#[test_case("sh: 1: vllm: not found", 127, "command_not_found")]
#[test_case("sh: 1: ./serve: Permission denied", 126, "not_executable")]
#[test_case("", 137, "killed")]
#[test_case("loading", 139, "crashed")]
#[test_case("", 0, "engine_ended")]
#[test_case("it is over", 3, "engine_exited")]
fn engines_words_are_known(text: &str, exit_code: u8, code: &str) {
    assert_eq!(code_of(text, exit_code), code);
}

/// The cause is a hundred lines above the end, and not the last error.
#[test]
fn the_root_cause_is_found_above_its_consequences() {
    let mut log = lines(include_str!("fixtures/backend/vllm-truncated-weights.txt"));
    let traceback = |n| format!("(APIServer pid=812)   File \"/v/lib/vllm/core.py\", line {n}, in __init__");
    let end = log.split_off(log.len() - 2);
    log.extend((0..100).map(traceback));
    log.extend(end);
    let diagnosis = diagnose(Backend::Custom, &log, Some(1));
    assert_eq!(diagnosis.code, "weights_damaged");
    assert_eq!(
        diagnosis.summary,
        "the model's files are damaged or not whole: safetensors_rust.SafetensorError: Error while deserializing \
         header: incomplete metadata, file not fully covered"
    );
}

#[test_case("ValueError: unheard of\nRuntimeError: Engine core initialization failed. See root cause above.\nsrun: error: node1: task 0: Exited with exit code 1", "the engine ended with exit code 1: ValueError: unheard of"; "consequences are skipped")]
#[test_case("hello\nbye", "the engine ended with exit code 1: bye"; "the last line")]
#[test_case("ValueError: bad api_key='hunter2' and hf_abcdefghijklmn", "the engine ended with exit code 1: ValueError: bad api_key='[redacted]' and [redacted]"; "no secrets")]
#[test_case("", "the engine ended with exit code 1"; "no lines")]
fn what_is_not_known_is_quoted(text: &str, summary: &str) {
    let diagnosis = diagnose(Backend::Custom, &lines(text), Some(1));
    assert_eq!((diagnosis.code, diagnosis.summary.as_str()), ("engine_exited", summary));
}

#[test_case(
    "TIMEOUT",
    Some("TimeLimit"),
    "",
    "time_limit",
    "the job reached its time limit: Slurm says TIMEOUT (TimeLimit)"
)]
#[test_case(
    "OUT_OF_MEMORY",
    None,
    "",
    "host_out_of_memory",
    "the job used more memory than it asked for: Slurm says OUT_OF_MEMORY"
)]
#[test_case("DEADLINE", None, "", "deadline", "Slurm says DEADLINE")]
#[test_case("CANCELLED", None, "", "job_cancelled", "the job was cancelled: Slurm says CANCELLED")]
#[test_case("CANCELLED", None, "OSError: [Errno 98] Address already in use", "port_in_use", "another program has the engine's port: OSError: [Errno 98] Address already in use"; "the engine's words tell more")]
#[test_case("FAILED", Some("NonZeroExitCode"), "", "engine_exited", "the engine ended with exit code 1"; "failed")]
fn slurm_s_state_counts(state: &str, reason: Option<&str>, text: &str, code: &str, summary: &str) {
    let diagnosis = diagnose_job(Backend::Custom, JobEnd { state, reason }, &lines(text), Some(1));
    assert_eq!((diagnosis.code, diagnosis.summary.as_str()), (code, summary));
}

#[test]
fn only_the_last_lines_count() {
    let mut log = lines("OSError: [Errno 98] Address already in use");
    log.extend(std::iter::repeat_n("fine".to_owned(), 200));
    assert_eq!(diagnose(Backend::Custom, &log, Some(1)).code, "engine_exited");
}

proptest! {
    #[test]
    fn a_summary_is_bounded_and_holds_no_secret(before in "\\PC{0,400}", exit_code in any::<u8>()) {
        let diagnosis = diagnose(Backend::Custom, &[format!("{before} --api-key Zq9Zq9Zq9")], Some(exit_code));
        prop_assert!(diagnosis.summary.chars().count() <= 300);
        prop_assert!(!diagnosis.summary.contains("Zq9"));
    }
}

#[test]
fn a_warning_of_what_could_go_wrong_is_not_taken_for_its_going_wrong() {
    let log = "(APIServer pid=7) WARNING 11-21 05:31:04 [system_utils.py:290] Found ulimit of 20000 and failed to automatically \
               increase with error current limit exceeds maximum limit. This can cause fd limit errors like `OSError: [Errno 24] \
               Too many open files`. Consider increasing with ulimit -n\n\
               (APIServer pid=7) ERROR 11-21 05:32:04 [async_llm.py:7] EngineDeadError: EngineCore encountered an issue. See stack \
               trace (above) for the root cause.";
    assert_eq!(code_of(log, 0), "worker_died");
    assert_eq!(code_of("OSError: [Errno 24] Too many open files", 1), "process_limit");
}

#[test]
fn who_is_killed_has_no_last_words() {
    let before = "(APIServer pid=7) WARNING 11-21 05:31:04 [system_utils.py:290] Found ulimit of 20000 and failed to automatically \
                  increase with error current limit exceeds maximum limit.\n\
                  INFO:     10.0.0.1:7 - \"POST /v1/chat/completions HTTP/1.1\" 200 OK\nbye";
    assert_eq!(diagnose(Backend::Custom, &lines(before), Some(137)).summary, "the engine was killed (exit code 137)");
    assert_eq!(diagnose(Backend::Custom, &lines(before), Some(1)).summary, "the engine ended with exit code 1: bye");
    let only_remarks = before.trim_end_matches("\nbye");
    let summary = diagnose(Backend::Custom, &lines(only_remarks), Some(1)).summary;
    assert!(summary.ends_with("200 OK"), "the last of the remarks where there is nothing else: {summary}");
}
