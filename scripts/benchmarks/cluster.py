"""The test cluster of `scripts/cluster`, for the time of a run."""

import os
import shlex
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*words, **more):
    """What the command prints; it must go well."""
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE, **more)
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(words)} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


class Cluster:
    """A cluster of its own; `options` are those of `scripts/cluster up`."""

    made = 0

    def __init__(self, *options):
        Cluster.made += 1
        self.prefix = f"bench-{os.getpid()}-{Cluster.made}"
        said = run(f"{ROOT}/scripts/cluster", "up", "--prefix", self.prefix, "--owner", str(os.getpid()), *options)
        self.facts = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def on(self, host, *words, user=False):
        """The words of the command that runs these words on that host."""
        options = ["--user"] if user else []
        return [f"{ROOT}/scripts/cluster", "on", host, *options, "--prefix", self.prefix, "--", *map(str, words)]

    def run(self, host, *words, user=False, **more):
        return run(*self.on(host, *words, user=user), **more)

    def share(self, program):
        """Puts a program where all hosts of the cluster see it; gives its path there."""
        run("install", "-m", "755", str(program), self.facts["SHARE"])
        return f"{self.facts['SHARE']}/{Path(program).name}"

    def wait_until_no_job(self):
        while self.run("login", "squeue", "-h", user=True).strip():
            time.sleep(0.1)

    def down(self):
        run(f"{ROOT}/scripts/cluster", "down", "--prefix", self.prefix)
