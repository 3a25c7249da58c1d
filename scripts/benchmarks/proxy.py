"""Our program, running: `llm-proxy serve`."""

import os
import signal
import subprocess
import sys
import tempfile
import threading

from benchmarks import usage


class Proxy:
    """Started with these words after `serve` on a host of the cluster, or on this machine if that is None.

    `under` are words before it, of a program that runs it.
    """

    def __init__(self, setting, words, cluster=None, place="laptop", under=()):
        self.home = tempfile.TemporaryDirectory()
        environment = {"PATH": os.environ["PATH"], "HOME": self.home.name, "NO_COLOR": "1"}
        command = [*under, str(setting.program("llm-proxy")), "serve", "--port", "0", *words]
        self.place, self.cluster = place, cluster
        if cluster and place == "laptop":
            command = cluster.on(place, *command)
        elif cluster:
            # Our /tmp and home are not seen there.
            program = cluster.share(setting.program("llm-proxy"))
            command = cluster.on(place, "env", f"HOME={cluster.facts['HOME']}", program, *command[1:], user=True)
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.lines = []
        while "listening on http://" not in "".join(self.lines[-1:]):
            line = self.process.stderr.readline()
            self.lines.append(line)
            if not line:
                sys.exit("the proxy did not start:\n" + "".join(self.lines))
        self.address = self.lines[-1].split("http://")[1].split()[0]
        self.url = f"http://{self.address}"
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True)
        self.reader.start()

    @classmethod
    def on_slurm(cls, setting, cluster, engine, more=("--srun-args=--mem=1G --gres=gpu:1 --nodelist=node1",), place="laptop"):
        """One whose engine is a Slurm job of the cluster."""
        way = ["--login", "login", "--ssh-config", cluster.facts["SSH_CONFIG"]] if place == "laptop" else []
        return cls(setting, ["--use-slurm", *more, *way, "--", *engine], cluster, place)

    @property
    def pid(self):
        return self.process.pid

    def resident_mib(self):
        return usage.resident_mib(self.pid)

    def end(self, last=True):
        """It must end well; if it is the last one, no job may be left, which is waited for."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait() != 0:
            sys.exit("the proxy did not end well:\n" + "".join(self.lines))
        self.reader.join()
        self.home.cleanup()
        if self.cluster and last:
            self.cluster.wait_until_no_job()
