"""From a request to its first byte with no engine running, by hand and through the proxy."""

import subprocess
import time

from benchmarks.asked import CURL, curl
from benchmarks.local import in_turn
from benchmarks.paired import DIFFERENCE, Row, at_most
from benchmarks.parts import part
from benchmarks.proxy import Proxy


def by_hand(cluster, engine):
    """srun by hand, and curl again and again until the first answer comes."""
    started = time.monotonic()
    command = cluster.on("login", "srun", "--mem=1G", "--gres=gpu:1", "--nodelist=node1", *engine, user=True)
    srun = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ask = cluster.on("login", *CURL, "-f", "http://node1:18000/v1/chat/completions")
    while subprocess.run(ask, stderr=subprocess.DEVNULL).returncode != 0:
        pass
    took = time.monotonic() - started
    cluster.run("login", "scancel", "--me", user=True)
    srun.wait()
    cluster.wait_until_no_job()
    return took


def through_the_proxy(setting, cluster, engine):
    proxy = Proxy.on_slurm(setting, cluster, engine)
    took = curl(proxy)
    proxy.end()
    return took


@part("first-byte")
def first_byte(setting):
    """from a request to the first byte of its answer with no engine running, on Slurm, beside `srun` and `curl` by hand"""
    cluster, engine = setting.cluster, setting.llama
    ours, hand = [], []
    for number in range(setting.rounds):
        for way in in_turn(["by hand", "ours"], number):
            if way == "ours":
                ours.append(through_the_proxy(setting, cluster, engine))
            else:
                hand.append(by_hand(cluster, [*engine, "--host", "0.0.0.0", "--port", "18000"]))
    note = "llama.cpp's server; by hand: srun on the login host, and curl there again and again until it is answered"
    return [Row("first-byte", "cold, to the first byte", "srun by hand", "s", ours, hand, at_most(0.3, DIFFERENCE), note,
                paired=True)]
