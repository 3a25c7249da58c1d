"""Real load drivers against llama.cpp's server on the cluster: straight at the engine, and through the proxy."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import peers
from benchmarks.asked import curl
from benchmarks.cluster import ROOT, run
from benchmarks.local import in_turn
from benchmarks.paired import Row, at_least, at_most
from benchmarks.parts import part
from benchmarks.proxy import Proxy

PORT = 18000
STRAIGHT = f"http://node1:{PORT}"
# With one of its own the engine gets none from the proxy, which nobody but the proxy would know.
KEY = "bench"
# As many as the engine answers at once.
AT_ONCE = 4
TOKENS_IN, TOKENS_OUT = 256, 64


class Aiperf:
    name = "aiperf"

    def __init__(self, folder):
        self.folder = folder
        self.environment = peers.environment_of("aiperf")
        self.tokenizer = folder / "tokenizer"
        program = ROOT / "scripts/benchmarks/programs/make_tokenizer.py"
        run(f"{self.environment}/bin/python", str(program), str(self.tokenizer), stderr=subprocess.DEVNULL)

    def command(self, url, count, seed, where):
        return [
            "env", f"HOME={self.folder}", f"{self.environment}/bin/aiperf", "profile",
            "--url", url, "--model-names", "tiny", "--endpoint-type", "chat", "--streaming",
            "--tokenizer", self.tokenizer, "--use-server-token-count",
            "--api-key", KEY, "--concurrency", AT_ONCE, "--request-count", count, "--isl", TOKENS_IN, "--osl", TOKENS_OUT,
            "--extra-inputs", "ignore_eos:true", "--random-seed", seed, "--output-artifact-dir", where,
            # This engine closes a connection after each stream without a word, and aiperf would lose what it asks on it.
            "--connection-reuse-strategy", "never", "--ui-type", "none", "--no-server-metrics", "--no-gpu-telemetry", "--export-level", "summary",
        ]

    def read(self, where):
        """Tokens a second, the median time to the first token in ms, requests that were answered."""
        told = json.loads((where / "profile_export_aiperf.json").read_text())
        if told.get("error_summary"):
            print(f"drivers: aiperf: {told['error_summary']}", file=sys.stderr)
        return told["output_token_throughput"]["avg"], told["time_to_first_token"]["p50"], told["request_count"]["avg"]


class VllmBench:
    name = "vllm bench serve"

    def __init__(self, folder):
        self.folder = folder
        self.environment = run(f"{ROOT}/scripts/engines", "vllm").strip().splitlines()[-1]
        # Where the hosts see it, wherever the checkout is.
        self.program = shutil.copy(ROOT / "scripts/benchmarks/programs/vllm_bench.py", folder)

    def command(self, url, count, seed, where):
        return [
            "env", f"HOME={self.folder}", f"OPENAI_API_KEY={KEY}", "HF_HUB_OFFLINE=1", "VLLM_NO_USAGE_STATS=1", "DO_NOT_TRACK=1",
            f"{self.environment}/venv/bin/python", self.program, "bench", "serve", "--backend", "openai-chat",
            "--base-url", url, "--endpoint", "/v1/chat/completions", "--model", "tiny",
            "--tokenizer", f"{self.environment}/tiny", "--dataset-name", "random",
            "--random-input-len", TOKENS_IN, "--random-output-len", TOKENS_OUT, "--ignore-eos",
            "--num-prompts", count, "--max-concurrency", AT_ONCE, "--seed", seed, "--disable-tqdm",
            # For the same reason as aiperf's strategy.
            "--header", "Connection=close", "--save-result", "--result-dir", where, "--result-filename", "result.json",
        ]

    def read(self, where):
        told = json.loads((where / "result.json").read_text())
        return told["output_throughput"], told["median_ttft_ms"], told["completed"]


def folder_of(cluster):
    """One that all hosts of the cluster see."""
    folder = Path(cluster.facts["SHARE"]) / f"drivers-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    return folder


def measured(setting, drivers):
    """Straight on the login host, which reaches the node; through the proxy on the laptop, which does not."""
    cluster = setting.cluster
    folder = folder_of(cluster)
    drivers = [driver(folder) for driver in drivers]
    options = ["--target-port", str(PORT), "--srun-args=--mem=2G --gres=gpu:1 --nodelist=node1"]
    proxy = Proxy.on_slurm(setting, cluster, [*setting.llama, "--api-key", KEY], options)
    curl(proxy, "-H", f"Authorization: Bearer {KEY}")
    count = setting.amount(200, 60)
    places = {"ours": ("laptop", proxy.url), "straight": ("login", STRAIGHT)}
    rows = []
    for driver in drivers:
        rounds = {"ours": [], "straight": []}
        for number in range(setting.rounds):
            for way in in_turn(list(places), number):
                host, url = places[way]
                where = folder / f"{driver.name.replace(' ', '-')}-{number}-{way}"
                # Each its own questions, for the engine remembers those it was asked last.
                seed = 2 * number + (way == "ours")
                where.mkdir()
                cluster.run(host, *driver.command(url, count, seed, where), stderr=subprocess.STDOUT)
                rounds[way].append(driver.read(where))
        rows.extend(rows_of(driver.name, rounds, count))
    proxy.end()
    return rows


def rows_of(name, rounds, count):
    note = f"llama.cpp's server on a node, {count} chats, {AT_ONCE} at once, of {TOKENS_OUT} tokens"

    asked = count * len(rounds["ours"])

    def both(at):
        return [one[at] for one in rounds["ours"]], [one[at] for one in rounds["straight"]]

    return [
        Row("drivers", f"{name}: tokens", "straight", "/s", *both(0), at_least(0.97), note),
        Row("drivers", f"{name}: to the first token", "straight", "ms", *both(1), at_most(1.03), note, paired=True),
        # A figure of which a part was lost is none: this says so, for all rounds together.
        Row("drivers", f"{name}: answered of {asked}", "straight", "", *([sum(each)] for each in both(2)), at_least(1.0), note),
    ]


@part("drivers")
def drivers(setting):
    """aiperf, and where `scripts/engines vllm` was run `vllm bench serve`: through the proxy on Slurm, and straight"""
    find = [f"{ROOT}/scripts/engines", "vllm", "--find"]
    have_vllm = subprocess.run(find, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    return measured(setting, [Aiperf, VllmBench] if have_vllm else [Aiperf])


@part("vllm-bench", only_asked=True)
def vllm_bench(setting):
    """`vllm bench serve` alone; makes vLLM's environment (7 GB) if it is not there"""
    return measured(setting, [VllmBench])
