"""A cold start of vLLM on the CPU, moment by moment, and what of it is ours; beside the same by hand."""

import datetime
import re
import subprocess
import sys

from benchmarks.asked import CHAT
from benchmarks.cluster import ROOT, run
from benchmarks.paired import Row
from benchmarks.parts import part
from benchmarks.proxy import Proxy

PORT = 18000
VLLM_ENVIRONMENT = ["VLLM_CPU_KVCACHE_SPACE=1", "HF_HUB_OFFLINE=1", "VLLM_NO_USAGE_STATS=1", "DO_NOT_TRACK=1"]
VLLM_SRUN = ["--mem=8G", "--gres=gpu:1", "--nodelist=node1"]
VLLM_OPTIONS = ["--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager", "--max-model-len", "4096"]

# Prints when it asked, and when the first token came.
ASKER = f"""
import http.client, json, sys, time
body = {CHAT!r}
connection = http.client.HTTPConnection(sys.argv[1], timeout=600)
print(time.time(), flush=True)
connection.request("POST", "/v1/chat/completions", body, {{"content-type": "application/json"}})
answer = connection.getresponse()
for line in answer:
    if line.startswith(b"data: {{"):
        if json.loads(line[6:])["choices"][0]["delta"].get("content"):
            break
else:
    sys.exit(f"no token: {{answer.status}}")
print(time.time(), flush=True)
answer.read()
"""

# Beside the engine's own host and not through us: prints when the engine was healthy first.
WITNESS = """
import http.client, sys, time
while True:
    try:
        connection = http.client.HTTPConnection(sys.argv[1], timeout=5)
        connection.request("GET", "/health")
        if connection.getresponse().status == 200:
            break
    except OSError:
        pass
    time.sleep(0.02)
print(time.time(), flush=True)
"""


def times(command):
    """The numbers that a command prints."""
    return [float(word) for word in run(*command).split()]


def witness(cluster):
    return subprocess.Popen(cluster.on("login", "python3", "-c", WITNESS, f"node1:{PORT}"), stdout=subprocess.PIPE, text=True)


def by_hand(cluster, engine):
    """Four moments: srun asked for, the job's process runs, /health is 200, the first token; the first as 0."""
    script = 'date +%s.%N; exec srun "$@"'
    inside = ["sh", "-c", 'date +%s.%N; exec "$@" >/dev/null 2>&1', "sh"]
    words = [*VLLM_SRUN, "env", *VLLM_ENVIRONMENT, *inside, *engine, "--host", "0.0.0.0", "--port", str(PORT)]
    command = cluster.on("login", "sh", "-c", script, "sh", *words, user=True)
    srun = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    seen = witness(cluster)
    asked, runs = float(srun.stdout.readline()), float(srun.stdout.readline())
    healthy = float(seen.stdout.readline())
    sent, token = times(cluster.on("login", "python3", "-c", ASKER, f"node1:{PORT}"))
    cluster.run("login", "scancel", "--me", user=True)
    srun.wait()
    cluster.wait_until_no_job()
    # What the hand lost between "it is healthy" and its request is not the engine's.
    return {"slurm": runs - asked, "start": healthy - runs, "token": token - sent}


def moment(lines, *words):
    """When the proxy wrote the first line that holds all these words."""
    line = next((line for line in lines if all(word in line for word in words)), None)
    if line is None:
        sys.exit(f"the proxy did not tell {words}:\n" + "".join(lines))
    return datetime.datetime.fromisoformat(re.match(r"\S+", line)[0]).timestamp()


def through_the_proxy(setting, cluster, engine):
    options = [word for pair in VLLM_ENVIRONMENT for word in ("--env", pair)]
    more = ["-vv", "--target-port", str(PORT), f"--srun-args={' '.join(VLLM_SRUN)}", *options]
    proxy = Proxy.on_slurm(setting, cluster, engine, more)
    seen = witness(cluster)
    asked, token = times(cluster.on("laptop", "python3", "-c", ASKER, proxy.address))
    healthy = float(seen.stdout.readline())
    proxy.end()
    lines = proxy.lines
    return {
        "asked": asked,
        "taken in": moment(lines, "moved on", "Submitting"),
        "connected": moment(lines, "an SSH connection stands"),
        "srun": moment(lines, "the host reports", "Launched"),
        "keeper": moment(lines, "the host reports", "Hello"),
        "engine": moment(lines, "the host reports", "Engine"),
        "healthy": healthy,
        "listening": moment(lines, "the host reports", "Listening"),
        "ready": moment(lines, "moved on", "Ready"),
        "token": token,
    }


@part("vllm", only_asked=True)
def vllm(setting):
    """a cold start of vLLM on the CPU, moment by moment, and what of it is ours; needs what `scripts/engines vllm` makes"""
    cluster = setting.cluster
    folder = run(f"{ROOT}/scripts/engines", "vllm").strip().splitlines()[-1]
    engine = [f"{folder}/venv/bin/vllm", "serve", f"{folder}/tiny", *VLLM_OPTIONS]
    # Once to fill the file cache, which would otherwise be to the favour of whoever comes second.
    by_hand(cluster, engine)
    hand = by_hand(cluster, engine)
    at = through_the_proxy(setting, cluster, engine)
    return rows_of(at, hand)


def rows_of(at, hand):
    """A row for each moment: how long it took since the moment before, and how much of that is ours."""
    steps = [
        # what has happened by then, the moment, what is not ours of the time since the moment before
        ("the request is taken in", at["taken in"], 0),
        ("SSH stands, authenticated", at["connected"], 0),
        ("srun is asked for on the login host", at["srun"], 0),
        ("the keeper runs in the job", at["keeper"], hand["slurm"]),
        ("vLLM's process runs", at["engine"], 0),
        ("/health is 200, as seen from the login host", at["healthy"], at["healthy"] - at["engine"]),
        ("the proxy knows it, by the way of the requests", at["ready"], 0),
        ("the client has the first token", at["token"], hand["token"]),
    ]
    rows, before, ours = [], at["asked"], 0
    for what, when, others in steps:
        share = when - before - others
        ours += share
        note = f"ours of the {when - before:.3f} s since the moment before; {when - at['asked']:.3f} s since the client asked"
        rows.append(Row("vllm", what, None, "s", [share], [], None, note))
        before = when
    note = (f"not ours: Slurm's own way from srun to the job's process ({hand['slurm']:.3f} s by hand), vLLM's from its process "
            f"to /health 200 ({hand['start']:.3f} s by hand, {at['healthy'] - at['engine']:.3f} s through the proxy), and to its "
            f"first token ({hand['token']:.3f} s by hand)")
    total = at["token"] - at["asked"]
    return [
        *rows,
        Row("vllm", "ours of all that", None, "s", [ours], [], None, note),
        Row("vllm", "cold, to the first token", "srun and curl by hand", "s", [total], [sum(hand.values())], None),
    ]
