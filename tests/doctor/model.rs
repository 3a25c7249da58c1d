//! Whether a model fits where the engine keeps models: by the hub's index, or as the configuration says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::hub::{Hub, TOKEN};
use crate::patient::{Diagnosis, Patient};

const TIB: u64 = 1 << 40;

/// A `vllm` that nobody runs.
fn vllm(patient: &Patient<'_>) -> String {
    let file = patient.home().join("vllm");
    fs::write(&file, "#!/bin/sh\n").expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    file.display().to_string()
}

fn examine(patient: &Patient<'_>, endpoint: &str, token: &str, hub_home: &Path) -> Diagnosis {
    let vllm = vllm(patient);
    let (endpoint, home) = (format!("HF_ENDPOINT={endpoint}"), format!("HF_HOME={}", hub_home.display()));
    let mut command = patient.command(env!("CARGO_BIN_EXE_llm-proxy"));
    command.args(["doctor", "--json", "--env", &endpoint, "--env", &home, "--env", "HF_TOKEN", "--"]);
    command.args([&vllm, "serve", "org/M", "--served-model-name", "m"]).env("HF_TOKEN", token);
    Diagnosis::read(&command.output().expect("the doctor"))
}

#[test]
fn the_hub_tells_the_engines_machine_and_what_is_there_counts() {
    let (patient, hub) = (Patient::here(), Hub::start(3 << 30));
    let home = patient.home().join("hub home");
    let blobs = home.join("hub/models--org--M/blobs");
    fs::create_dir_all(&blobs).expect("a folder");
    fs::write(blobs.join("abc"), vec![1; 300 << 20]).expect("a file");
    let seen = examine(&patient, &hub.endpoint(), TOKEN, &home).is_ok("space");
    assert!(
        seen.starts_with("org/M is 3.0 GiB (0.2 GiB of it here); ") || seen.contains("(0.3 GiB of it here)"),
        "{seen}"
    );
    assert_eq!(hub.asked(), ["GET /api/models/org/M?blobs=true HTTP/1.1 "]);
}

#[test]
fn what_does_not_fit_is_a_fault_and_another_place_cures_it() {
    let (patient, hub) = (Patient::here(), Hub::start(1 << 30));
    let vllm = vllm(&patient);
    let (small, roomy) = (patient.home().join("small"), patient.home().join("roomy"));
    for place in [&small, &roomy] {
        fs::create_dir_all(place.join("hub")).expect("a folder");
    }
    let in_small = "mount -t tmpfs -o size=64m none \"$HOME/small\" && mkdir \"$HOME/small/hub\" && exec \"$@\"";
    let visit = |home: &Path| {
        let mut command = patient.command("unshare");
        let home = format!("HF_HOME={}", home.display());
        command.args(["-m", "/bin/sh", "-c", in_small, "sh", env!("CARGO_BIN_EXE_llm-proxy"), "doctor", "--json"]);
        command.args(["--env", &format!("HF_ENDPOINT={}", hub.endpoint()), "--env", &home, "--env", "HF_TOKEN", "--"]);
        command.args([&vllm, "serve", "org/M", "--served-model-name", "m"]).env("HF_TOKEN", TOKEN);
        Diagnosis::read(&command.output().expect("unshare (of util-linux)"))
    };
    let found = visit(&small);
    found.fault("space", "too little");
    let finding = found.found("space", "fail").expect("it is there").to_string();
    assert!(finding.contains("org/M is 1.0 GiB") && finding.contains("--env HF_HOME="), "{finding}");
    assert!(visit(&roomy).is_ok("space").starts_with("org/M is 1.0 GiB; "));
}

/// What will be mounted there is not known.
#[test]
fn a_folder_that_is_not_there_yet_is_no_fault() {
    let (patient, hub) = (Patient::here(), Hub::start(1000 * TIB));
    let found = examine(&patient, &hub.endpoint(), TOKEN, &patient.home().join("a"));
    found.is_well();
    found.warning("space", "org/M is 1024000.0 GiB");
    found.warning("space", "that folder is not there yet");
}

/// Where it goes to is not the library's own folder.
#[test]
fn a_download_to_another_folder_is_not_judged() {
    let patient = Patient::here();
    fs::create_dir_all(patient.home().join(".cache/huggingface/hub")).expect("a folder");
    let vllm = vllm(&patient);
    let text = format!(
        "model: org/M\ncommand: ['{vllm}', serve, org/M, --download-dir, /big]\nserve_config: {{model_size: 900TB}}\n"
    );
    fs::write(patient.home().join("one.yaml"), text).expect("a file");
    let seen = patient.examine(&["--config", "one.yaml"]).is_ok("space");
    assert!(!seen.contains("org/M"), "{seen}");
}

#[test]
fn a_folder_beside_the_engine_is_no_download() {
    let (patient, hub) = (Patient::here(), Hub::start(1000 * TIB));
    fs::create_dir_all(patient.home().join("org/M")).expect("a folder");
    let seen = examine(&patient, &hub.endpoint(), TOKEN, &patient.home().join("a")).is_ok("space");
    assert!(!seen.contains("org/M"), "{seen}");
    assert_eq!(hub.asked(), Vec::<String>::new());
}

#[test]
fn a_hub_that_does_not_tell_is_no_fault() {
    let (patient, hub) = (Patient::here(), Hub::start(1000 * TIB));
    let found = examine(&patient, &hub.endpoint(), "hf_wrongwrongwrong", &patient.home().join("a"));
    let finding = found.found("space", "ok").expect("it is there").to_string();
    assert!(finding.contains("how large org/M is was not learnt"), "{finding}");
}

/// What the user says is not asked for.
#[test]
fn a_size_that_is_given_counts() {
    let patient = Patient::here();
    fs::create_dir_all(patient.home().join(".cache/huggingface/hub")).expect("a folder");
    let vllm = vllm(&patient);
    for (size, fits) in [("1MB", true), ("900TB", false)] {
        let text = format!("model: org/M\ncommand: ['{vllm}', serve, org/M]\nserve_config: {{model_size: {size}}}\n");
        fs::write(patient.home().join("one.yaml"), text).expect("a file");
        let found = patient.examine(&["--config", "one.yaml"]);
        if fits {
            assert!(found.is_ok("space").starts_with("org/M is 0.0 GiB; "));
        } else {
            found.fault("space", "org/M is 838190.3 GiB");
        }
    }
}
