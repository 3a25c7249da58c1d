//! What a starting engine's log tells of its progress.
//!
//! Only marks that vLLM (0.2 to 0.33), SGLang, llama.cpp, transformers, Hugging Face's hub and `uv` print are known. A line
//! that matches none tells nothing, and an engine that prints none is said to be starting.

use std::fmt;

use super::clean::message;
use super::kind::Backend;
use super::steps;

/// A step of an engine's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loading {
    /// What the engine does, such as `loading weights`.
    pub step: &'static str,
    /// How much of this step is done.
    pub percent: Option<u8>,
    /// Of a download that is watched: how many bytes are there, of how many.
    pub bytes: Option<(u64, u64)>,
}

impl Loading {
    /// The same, after what was told before: a line without a number does not take back one of the same step.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        let told = before.filter(|before| before.step == self.step).and_then(|before| before.percent);
        Self { percent: self.percent.or(told), ..self }
    }
}

impl fmt::Display for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.step)?;
        if let Some(percent) = self.percent {
            write!(f, " {percent} %")?;
        }
        match self.bytes {
            Some((arrived, all)) => write!(f, " ({} of {} GiB)", gib(arrived), gib(all)),
            None => Ok(()),
        }
    }
}

/// In GiB, with one digit behind the point.
pub(super) fn gib(bytes: u64) -> String {
    let tenths = u128::from(bytes) * 10 / (1 << 30);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// What stands in a line of a log, and which of the [`steps`] it belongs to.
pub type Mark = (&'static str, &'static str);

/// What others print that engines are made of and started by. The marks of each kind are in its own file.
const SHARED: &[Mark] = &[
    // uv
    (" packages in ", steps::PACKAGES),
    // The hub and transformers
    ("Fetching ", steps::DOWNLOAD),
    ("Downloading shards", steps::DOWNLOAD),
    ("Downloading (incomplete total", steps::DOWNLOAD),
    ("Loading checkpoint shards", steps::WEIGHTS),
    ("Loading weights", steps::WEIGHTS),
    // uvicorn
    ("Started server process", steps::SERVER),
    ("Application startup complete", steps::SERVER),
];

fn marks() -> impl Iterator<Item = &'static Mark> {
    let kinds = Backend::ALL.into_iter().map(|backend| backend.profile().marks);
    std::iter::once(SHARED).chain(kinds).flatten()
}

/// Files of weights, whose download is shown by a bar each.
const WEIGHT_FILES: [&str; 5] = [".safetensors", ".bin", ".gguf", ".pth", ".pt"];

/// What a line of an engine's log tells of its progress.
#[must_use]
pub fn loading(line: &str) -> Option<Loading> {
    let text = message(line);
    let marked = marks().find_map(|(mark, step)| Some((*step, text.split_once(mark)?.1)));
    let marked = marked.map(|(step, after)| Loading { step, percent: percent(after), bytes: None });
    marked.or_else(|| weight_file(&text)).or_else(|| package(&text))
}

/// The number of a bar: `42%|████` of tqdm, or `42% Completed` of vLLM.
fn percent(text: &str) -> Option<u8> {
    let bar = text.match_indices('%').find(|(at, _)| {
        let after = text.get(at + 1..).unwrap_or_default();
        after.starts_with('|') || after.starts_with(" Completed")
    });
    let before = text.get(..bar?.0)?;
    let number: u8 = before.rsplit(|other: char| !other.is_ascii_digit()).next()?.parse().ok()?;
    (number <= 100).then_some(number)
}

/// Several files come at once, each with a bar: a number is told only for the one that is all.
fn weight_file(text: &str) -> Option<Loading> {
    let (name, bar) = text.split_once(':')?;
    let percent = percent(bar)?;
    let is_weights = WEIGHT_FILES.iter().any(|ending| name.ends_with(ending));
    is_weights.then(|| Loading {
        step: steps::DOWNLOAD,
        percent: Some(percent).filter(|_| !name.contains("-of-")),
        bytes: None,
    })
}

/// `Downloading torch (846.9MiB)` of uv.
fn package(text: &str) -> Option<Loading> {
    let of_uv = text.starts_with("Downloading ") && text.ends_with("iB)");
    of_uv.then_some(Loading { step: steps::PACKAGES, percent: None, bytes: None })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::{Loading, loading};

    #[test_case(
        "Loading safetensors checkpoint shards:  42% Completed | 5/12 [00:11<00:15,  2.20s/it]",
        "loading weights 42 %"
    )]
    #[test_case("\rLoading safetensors checkpoint shards: 100% Completed | 2/2 [00:01<00:00,  1.9it/s]\r", "loading weights 100 %"; "written over")]
    #[test_case("(EngineCore pid=123) \rLoading pt checkpoint shards:   0% Completed | 0/1 [00:00<?, ?it/s]", "loading weights 0 %"; "process")]
    #[test_case(
        "(VllmWorker TP0 pid=9) INFO 11-21 02:08:36 [gpu_model_runner.py:3338] Starting to load model m/x-100%...",
        "loading weights"
    )]
    #[test_case("INFO 11-21 02:08:36 [weight_utils.py:487] Time spent downloading weights for m/x: 91.2 seconds", "loading weights"; "downloaded")]
    #[test_case("Multi-thread loading shards:  50% Completed | 2/4 [00:01<00:01]", "loading weights 50 %"; "sglang shards")]
    #[test_case("[2026-11-21 02:08:36 TP0] Load weight begin. avail mem=78.66 GB", "loading weights"; "sglang begin")]
    #[test_case("Loading checkpoint shards:  33%|███▎      | 1/3 [00:05<00:10,  5.0s/it]", "loading weights 33 %"; "transformers 4")]
    #[test_case("Loading weights:  71%|███████   | 207/291 [00:01<00:00, 190.1it/s]", "loading weights 71 %"; "transformers 5")]
    #[test_case("srv    load_model: loading model '/m/tiny.gguf'", "loading weights"; "llama server")]
    #[test_case("0.00.206.102 I load_tensors:   CPU_Mapped model buffer size =  2378.69 MiB", "loading weights"; "llama tensors")]
    #[test_case("Fetching 12 files:  33%|███▎      | 4/12 [00:05<00:10,  1.3s/it]", "downloading weights 33 %"; "files")]
    #[test_case("model.safetensors:  42%|████▏     | 1.02G/2.43G [00:10<00:14, 101MB/s]", "downloading weights 42 %"; "one file")]
    #[test_case("model-00001-of-00004.safetensors:  42%|████▏     | 2.1G/4.98G [00:21<00:29, 98.7MB/s]", "downloading weights"; "one of four files")]
    #[test_case("(EngineCore pid=7) INFO 11-21 02:08:40 [backends.py:548] Using cache directory: /c for vLLM's torch.compile", "compiling"; "cache")]
    #[test_case("INFO 11-21 02:08:40 [backends.py:559] Dynamo bytecode transform time: 4.53 s", "compiling")]
    #[test_case("INFO 11-21 02:08:40 [monitor.py:34] torch.compile takes 21.53 s in total", "compiling"; "takes")]
    #[test_case("INFO 11-21 02:08:40 [gpu_worker.py:298] Available KV cache memory: 61.61 GiB", "making the KV cache")]
    #[test_case("\u{1b}[1;36m(EngineCore_0 pid=42)\u{1b}[0;0m INFO 08-01 10:00:00 [kv_cache_utils.py:1087] GPU KV cache size: 100 tokens", "making the KV cache"; "coloured")]
    #[test_case(
        "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  42%|████▏     | 28/67 [00:02<00:03, 12.4it/s]",
        "capturing CUDA graphs 42 %"
    )]
    #[test_case("Capturing CUDA graph shapes: 100%|██████████| 35/35 [00:21<00:00,  1.66it/s]", "capturing CUDA graphs 100 %"; "older")]
    #[test_case("[2026-11-21 02:08:36] Capture cuda graph begin. This can take up to several minutes. avail mem=6.68 GB", "capturing CUDA graphs"; "sglang capture")]
    #[test_case("Capturing batches (bs=8 avail_mem=6.15 GB):  25%|██▌       | 1/4 [00:00<00:02]", "capturing CUDA graphs 25 %"; "sglang bar")]
    #[test_case(
        "common_init_from_params: warming up the model with an empty run - please wait ... (--no-warmup to disable)",
        "warming up"
    )]
    #[test_case(
        "INFO 11-21 02:08:36 [core.py:97] Initializing a V1 LLM engine (v0.33.0) with config: model='m'",
        "starting the engine"
    )]
    #[test_case("INFO 07-01 [llm_engine.py:161] Initializing an LLM engine (v0.5.0) with config: model='m'", "starting the engine"; "before V1")]
    #[test_case(
        "(APIServer pid=1) INFO 11-21 02:08:36 [model.py:547] Resolved architecture: LlamaForCausalLM",
        "reading the configuration"
    )]
    #[test_case(
        "(APIServer pid=1) INFO 11-21 02:08:59 [api_server.py:1971] Starting vLLM API server 0 on http://0.0.0.0:8000",
        "starting the server"
    )]
    #[test_case("INFO:     Application startup complete.", "starting the server"; "uvicorn")]
    #[test_case("Downloading torch (846.9MiB)", "installing packages"; "uv downloads")]
    #[test_case("Installed 170 packages in 3.21s", "installing packages"; "uv installed")]
    fn is_told_by(line: &str, expected: &str) {
        assert_eq!(loading(line).map(|loading| loading.to_string()).as_deref(), Some(expected));
    }

    #[test_case(""; "nothing")]
    #[test_case("INFO 11-21 02:08:36 [utils.py:233] non-default args: {'model': 'm', 'gpu_memory_utilization': 0.95}")]
    #[test_case("tokenizer.json: 100%|██████████| 9.09M/9.09M [00:00<00:00, 22.1MB/s]"; "another file")]
    #[test_case("GPU KV usage: 42%, Prefix cache hit rate: 0.0%"; "a running engine")]
    #[test_case("a long text: 999%| of nothing"; "no percentage")]
    fn is_not_told_by(line: &str) {
        assert_eq!(loading(line), None);
    }

    /// What vLLM 0.32 printed on a machine without a GPU.
    const START: &str = include_str!("../../tests/fixtures/backend/vllm-0.32-start.txt");

    #[test]
    fn a_real_start_is_told_step_by_step() {
        let mut told: Vec<Loading> = Vec::new();
        for loading in START.lines().filter_map(loading) {
            let loading = loading.after(told.last());
            if told.last() != Some(&loading) {
                told.push(loading);
            }
        }
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        let expected = [
            "reading the configuration",
            "starting the engine",
            "loading weights",
            "loading weights 0 %",
            "loading weights 100 %",
            "making the KV cache",
            "starting the server",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_line_without_a_number_keeps_that_of_its_step() {
        let known = Loading { step: "downloading weights", percent: Some(33), bytes: None };
        let same = Loading { step: "downloading weights", percent: None, bytes: None };
        let next = Loading { step: "loading weights", percent: None, bytes: None };
        assert_eq!(same.after(Some(&known)), known);
        assert_eq!(next.clone().after(Some(&known)), next);
    }

    proptest! {
        #[test]
        fn no_line_panics_and_none_tells_too_much(line in "(Fetching |Loading weights|[0-9:% |\r]|\\PC)*") {
            prop_assert!(loading(&line).and_then(|loading| loading.percent).is_none_or(|percent| percent <= 100));
        }
    }
}
