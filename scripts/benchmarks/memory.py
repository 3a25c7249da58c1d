"""What memory the proxy takes: idle, with streams open, after many requests."""

import json
import subprocess
import time

from benchmarks import peers, usage
from benchmarks.asked import CURL
from benchmarks.local import none_failed
from benchmarks.paired import DIFFERENCE, OURS, Row, at_most
from benchmarks.parts import part
from benchmarks.peers import free_port
from benchmarks.proxy import Proxy
from benchmarks.stage import serve, small_request

IDLE = at_most(25, OURS)
PER_STREAM = at_most(48, OURS)
# On the cluster, each for so long that all of them are open at once.
CLUSTER_STREAMS = 500

STREAMER = f"""
import select, socket, sys, time
address = sys.argv[1].split(":")
body = b'{{"model":"test-model","messages":[],"stream":true,"max_tokens":100000}}'
request = (b"POST /v1/chat/completions HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\n"
           b"Content-Length: %d\\r\\n\\r\\n" % len(body)) + body
sockets = []
for _ in range({CLUSTER_STREAMS}):
    s = socket.create_connection((address[0], int(address[1])))
    s.sendall(request)
    sockets.append(s)
waiting = set(sockets)
until = time.monotonic() + 60
while waiting and time.monotonic() < until:
    for s in select.select(list(waiting), [], [], 1)[0]:
        if b"data:" in s.recv(65536):
            waiting.discard(s)
print(len(sockets) - len(waiting), flush=True)
sys.stdin.read()
"""


@part("memory")
def memory(setting):
    """of the proxy: idle, for an open stream, after many requests; on this machine beside nginx, and on Slurm by SSH"""
    return [*local(setting), *growth(setting), *on_slurm(setting)]


def peak_while(command, measure):
    """The most that `measure` gives while the command runs, which must go well; and what it prints."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    most = 0
    while process.poll() is None:
        most = max(most, measure())
        time.sleep(0.05)
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} failed")
    return most, json.loads(process.stdout.read())


def kib_per_stream(setting, url, measure):
    """The peak with that many streams open, less what it was before, for each of them."""
    streams = setting.amount(1000, 500)
    before = measure()
    words = ["streams", "--url", url, "--streams", streams, "--tokens", 4, "--pause-us", 1_000_000]
    command = [str(setting.program("bench-driver")), *map(str, words)]
    most, told = peak_while(command, measure)
    none_failed(told, "memory")
    return (most - before) * 1024 / streams


def local(setting):
    """New ones: what the parts before have left in the memory of the old ones would hide it."""
    stage = setting.stage
    ours = serve(setting, free_port())
    nginx = peers.nginx(setting, stage.engine)

    def theirs_mib():
        return usage.proportional_mib(nginx.pids())

    idle, beside = ours.resident_mib(), theirs_mib()
    small_request(ours.url)
    small_request(nginx.url)
    per_stream = kib_per_stream(setting, ours.url, ours.resident_mib)
    beside_per_stream = kib_per_stream(setting, nginx.url, theirs_mib)
    ours.end()
    nginx.end()
    note = "ours: all its pages in memory; nginx: master and worker, what they share counted once"
    peak = "the peak with the streams open, less before them, for each"
    return [
        Row("memory", "idle", "nginx", "MiB", [idle], [beside], IDLE, note),
        Row("memory", "an open stream", "nginx", "KiB", [per_stream], [beside_per_stream], PER_STREAM, f"{peak}; {note}"),
    ]


def growth(setting):
    first, last = setting.amount((10_000, 100_000), (2_000, 20_000))
    proxy = serve(setting, free_port())
    small_request(proxy.url)

    def after(count):
        told = setting.drive("requests", "--url", proxy.url, "--connections", 16, "--count", count)
        none_failed(told, "memory")
        return proxy.resident_mib()

    before = after(first)
    grown = after(last - first)
    proxy.end()
    return [Row("memory", f"after {last:,} requests", f"itself after {first:,}", "MiB", [grown], [before],
                at_most(1, DIFFERENCE), "small requests on 16 connections")]


def on_slurm(setting):
    cluster = setting.cluster
    engine = [cluster.share(setting.program("test-engine")), "--tokens", "100000", "--token-delay", "1000"]
    proxy = Proxy.on_slurm(setting, cluster, engine)
    idle = proxy.resident_mib()
    body = CURL[-1].replace("tiny", "test-model").replace(": 4", ": 1")
    subprocess.run(cluster.on("laptop", *CURL[:-1], body, f"{proxy.url}/v1/chat/completions"), check=True)
    ready = proxy.resident_mib()
    command = cluster.on("laptop", "python3", "-c", STREAMER, proxy.address)
    streamer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    opened = int(streamer.stdout.readline())
    streaming = proxy.resident_mib()
    streamer.stdin.close()
    streamer.wait()
    time.sleep(2)
    after = proxy.resident_mib()
    proxy.end()
    if opened != CLUSTER_STREAMS:
        raise SystemExit(f"{opened} of {CLUSTER_STREAMS} streams were open")
    name = "by SSH to Slurm"
    return [
        Row("memory", f"{name}: idle", None, "MiB", [idle], [], IDLE),
        Row("memory", f"{name}: with an engine", None, "MiB", [ready], [], None),
        Row("memory", f"{name}: an open stream", None, "KiB", [(streaming - ready) * 1024 / opened], [], PER_STREAM,
            f"of {opened}"),
        Row("memory", f"{name}: 2 s after them", None, "MiB", [after], [], None),
    ]
