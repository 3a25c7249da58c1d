"""The cluster's laptop, and what is measured from it: our program and `ssh -L`, in front of the same engines.

An engine is always started by our program; `ssh -L` leads to the very same process by its port. Both clients read the same
SSH configuration, and go through the same relay where one delays the way to the login host.
"""

import contextlib
import itertools
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.proxy import Proxy

SECONDS_TO_BEGIN = 60
# The first port that is used on the laptop, and for the engines; both networks are the run's own.
FIRST_PORT = 18100


@dataclass(frozen=True)
class Way:
    """Two URLs on the laptop that lead to one engine, the URL of that engine itself, and where that one can be reached."""

    ours: str
    theirs: str
    straight: str


class Laptop:
    """Entered by a part: what is started within it ends with it, in reverse order; the cluster stays."""

    ports = itertools.count(FIRST_PORT)

    def __init__(self, setting):
        self.setting = setting
        self.cluster = setting.cluster
        self.engine = self.cluster.share(setting.program("bench-engine"))
        self._ending = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *fault):
        return self._ending.__exit__(*fault)

    def port(self):
        return next(Laptop.ports)

    def drive(self, *words, host="laptop"):
        return self.setting.drive(*words, cluster=self.cluster, host=host)

    def start(self, host, *words, **more):
        """A process on that host; `on` becomes the command itself, whose id is this one's."""
        process = subprocess.Popen(self.cluster.on(host, *words), **more)
        self._ending.callback(end, process)
        return process

    # The ways to the login host's sshd.

    def configuration(self, address=None, port=22):
        """An SSH configuration in which `login` is at this address: the cluster's own, but for that."""
        text = Path(self.cluster.facts["SSH_CONFIG"]).read_text()
        if address:
            text = re.sub(r"^(Host login\n)\s*HostName .*$", rf"\1  HostName {address}\n  Port {port}", text, flags=re.MULTILINE)
        path = self.setting.folder / f"ssh_config-{address}-{port}"
        path.write_text(text)
        return str(path)

    def delayed(self, round_trip_ms):
        """The same login host behind a relay that delays both ways by half of that; no relay if that is 0."""
        if not round_trip_ms:
            return self.configuration()
        to = f"{self.cluster.facts['LOGIN']}:22"
        words = ["relay", "--listen", "127.0.0.1:0", "--to", to, "--delay-ms", round_trip_ms // 2]
        relay = self.start("laptop", self.setting.program("bench-driver"), *words, stdout=subprocess.PIPE, text=True)
        return self.configuration("127.0.0.1", relay.stdout.readline().strip().rpartition(":")[2])

    def rekeying(self, seconds):
        """The same login host by another sshd, which begins a key exchange after each so many seconds; and a call that counts them."""
        port = self.port()
        folder = Path(self.cluster.facts["STATE"]) / "login"
        log = folder / f"sshd-{port}.log"
        words = ["-f", folder / "sshd_config", "-p", port, "-E", log, "-o", "LogLevel=DEBUG1", "-o", f"RekeyLimit=default {seconds}"]
        self.start("login", "/usr/sbin/sshd", "-D", *words)
        until(f"sshd listens on port {port}", lambda: self.cluster.run("login", "ss", "-Hltn", f"sport = :{port}").strip())
        # Each has two lines, for in and out.
        return self.configuration(self.cluster.facts["LOGIN"], port), lambda: log.read_text().count("set_newkeys: rekeying") // 2

    # What is measured.

    def proxy(self, configuration, node=None, theirs=True):
        """Our program and, with `theirs`, `ssh -L` beside it: its process, that of ssh, and the way that both are."""
        port = self.port()
        way = ["--login", "login", "--ssh-config", configuration, "--name", f"bench-{port}"]
        if node:
            way += ["--use-slurm", f"--srun-args=--mem=1G --nodelist={node}"]
        words = [*way, "--target-port", str(port), "--idle-timeout", "0", "--", self.engine, "--listen", "{host}:{port}"]
        proxy = Proxy(self.setting, words, self.cluster)
        # A proxy without a job need not wait until there is none.
        self._ending.callback(proxy.end, last=node is not None)
        # The first one starts the engine.
        if not self.answers(proxy.url):
            raise SystemExit("the engine did not start:\n" + "".join(proxy.lines))
        engine = f"{node or '127.0.0.1'}:{port}"
        ssh, here = self.forward(configuration, engine) if theirs else (None, None)
        return proxy, ssh, Way(proxy.url, here, f"http://{engine}")

    def forward(self, configuration, engine, options=()):
        """`ssh -L` to that engine: its process and the URL on the laptop."""
        here = f"127.0.0.1:{self.port()}"
        words = ["-F", configuration, "-N", "-o", "ExitOnForwardFailure=yes", *options, "-L", f"{here}:{engine}", "login"]
        ssh = self.start("laptop", "ssh", *words)
        url = f"http://{here}"
        until(f"ssh -L leads to {engine}", lambda: self.answers(url))
        return ssh, url

    def answers(self, url):
        (told,) = self.drive("requests", "--url", url, "--count", 1)["urls"]
        return told["errors"] == 0

    def in_background(self, *words):
        """A driver that runs beside others."""
        return self.start("laptop", self.setting.program("bench-driver"), *words, stdout=subprocess.DEVNULL)


def end(process):
    process.terminate()
    process.wait()
    if process.stdout:
        process.stdout.close()


def until(what, holds):
    deadline = time.monotonic() + SECONDS_TO_BEGIN
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {SECONDS_TO_BEGIN} s in vain until {what}")
        time.sleep(0.05)
