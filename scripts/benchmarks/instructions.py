"""Instructions that a request and a token take of the proxy, counted by valgrind's callgrind: noise cannot touch them."""

import re
import subprocess
import sys

from benchmarks import peers
from benchmarks.local import none_failed
from benchmarks.paired import Row
from benchmarks.parts import part
from benchmarks.proxy import Proxy
from benchmarks.stage import engine_words, small_request

PIECES = 200
PATIENCE_S = 120


class Counter:
    """Callgrind over one process, as words to start it by and as a count of what it executes."""

    def __init__(self, folder, name):
        self.meeting = f"--vgdb-prefix={folder}/vgdb-{name}"
        self.file = folder / f"counted-{name}"
        self.under = ["valgrind", "--quiet", "--tool=callgrind", self.meeting, f"--callgrind-out-file={self.file}"]
        self.dumps = 0

    def since_last(self, pid):
        """What it executed since the last dump."""
        words = ["vgdb", f"--pid={pid}", self.meeting, "dump"]
        subprocess.run(words, check=True, timeout=PATIENCE_S, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.dumps += 1
        text = self.file.with_name(f"{self.file.name}.{self.dumps}").read_text()
        return int(re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)[1])


def per_piece(setting, counter, pid, words):
    """Twice as many pieces, less as many: what is done once is in neither."""
    counts = []
    for pieces in (PIECES, 2 * PIECES):
        counter.since_last(pid)
        none_failed(setting.drive(*words(pieces)), "instructions")
        counts.append(counter.since_last(pid))
    return (counts[1] - counts[0]) / PIECES


def works(url):
    """Words of the driver for so many pieces."""
    return {
        "a small request": lambda pieces: ["requests", "--url", url, "--connections", 1, "--count", pieces],
        "a streamed token": lambda pieces: ["streams", "--url", url, "--streams", 1, "--tokens", pieces, "--pause-us", 2000],
    }


def counted(setting, counter, pid, url):
    small_request(url)
    # Once for what is only done the first time.
    setting.drive("requests", "--url", url, "--connections", 1, "--count", PIECES)
    return {what: per_piece(setting, counter, pid, words) for what, words in works(url).items()}


@part("instructions")
def instructions(setting):
    """what a small request and a streamed token take of the proxy, in instructions outside the kernel, by callgrind"""
    if subprocess.run(["which", "valgrind"], stdout=subprocess.DEVNULL).returncode != 0:
        sys.exit("instructions: please install valgrind")
    stage = setting.stage
    ours = Counter(setting.folder, "ours")
    proxy = Proxy(setting, engine_words(setting, peers.free_port()), under=ours.under)
    setting.at_end(proxy.end)
    mine = counted(setting, ours, proxy.pid, proxy.url)
    theirs = Counter(setting.folder, "nginx")
    nginx = peers.nginx(setting, stage.engine, theirs.under)
    setting.at_end(nginx.end)
    beside = counted(setting, theirs, nginx.process.pid, nginx.url)
    return [Row("instructions", what, "nginx", "", [mine[what]], [beside[what]], None, "outside the kernel") for what in mine]
