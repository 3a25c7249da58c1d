"""What the parts of one run share: the built programs, the cluster, the driver, and what ends with the run."""

import contextlib
import functools
import json
import os
import subprocess
import tempfile
from pathlib import Path

from benchmarks.cluster import ROOT, Cluster, run
from benchmarks.stage import Stage


def target_folder():
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")


def build():
    """In release, all that is measured and all that measures."""
    words = ["cargo", "build", "--quiet", "--locked", "--release", "--bins", "--examples"]
    subprocess.run(words, cwd=ROOT, check=True)


class Setting:
    """Entered once; what is brought up within it, at its first use, ends with it, in reverse order."""

    def __init__(self, rounds, quick=False):
        self.rounds = rounds
        # A run to see that all works: fewer rounds, smaller amounts.
        self.quick = quick
        self._ending = contextlib.ExitStack()

    def __enter__(self):
        self.folder = Path(self._ending.enter_context(tempfile.TemporaryDirectory(prefix="llm-proxy-bench-")))
        return self

    def __exit__(self, *fault):
        return self._ending.__exit__(*fault)

    def at_end(self, call, *arguments):
        """Calls it when the run ends, whichever way."""
        self._ending.callback(call, *arguments)

    def amount(self, whole, quick):
        return quick if self.quick else whole

    def program(self, name):
        """The path of a program that was built: `llm-proxy`, or an example (`bench-engine`, `bench-driver`, `test-engine`)."""
        release = target_folder() / "release"
        return release / name if name == "llm-proxy" else release / "examples" / name

    @functools.cached_property
    def cluster(self):
        return self.cluster_with()

    def cluster_with(self, *options):
        """A cluster of its own, by these options of `scripts/cluster up`."""
        cluster = Cluster(*options)
        self.at_end(cluster.down)
        return cluster

    @functools.cached_property
    def stage(self):
        """Our program and its peers on this machine, without a cluster."""
        return Stage(self)

    @functools.cached_property
    def llama(self):
        """The words that run llama.cpp's server with its tiny model, without an address."""
        folder = run(f"{ROOT}/scripts/engines", "llama").strip().splitlines()[-1]
        return [f"{folder}/venv/bin/python", f"{folder}/server.py", "--model", f"{folder}/tiny.gguf"]

    def drive(self, *words, cluster=None, host="laptop"):
        """What `bench-driver` measured: its JSON. It runs on this machine, or on a host of the cluster."""
        command = [str(self.program("bench-driver")), *map(str, words)]
        return json.loads(run(*(cluster.on(host, *command) if cluster else command)))
