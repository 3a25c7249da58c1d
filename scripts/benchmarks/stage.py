"""This machine without Slurm: our program and its peers, all in front of one engine.

The engine is our program's child, as it would be anywhere; the peers and the driver reach the same process by its port.
"""

import functools
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from benchmarks import peers, usage
from benchmarks.proxy import Proxy

MODEL = "bench"


@dataclass(frozen=True)
class Candidate:
    """One that is measured: its name in the table, where it is asked, and which processes are its own."""

    name: str
    url: str
    pids: Callable


def small_request(url):
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}).encode()
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read()


class Stage:
    def __init__(self, setting):
        peers.descriptors()
        self.setting = setting
        self.port = peers.free_port()
        self.engine = f"127.0.0.1:{self.port}"
        self.straight = f"http://{self.engine}"
        self.proxy = serve(setting, self.port)
        setting.at_end(self.proxy.end)
        self.idle_mib = self.proxy.resident_mib()
        # The first one starts the engine.
        small_request(self.proxy.url)
        self.ours = Candidate("llm-proxy", self.proxy.url, lambda: own_processes(self.proxy.pid))

    @functools.cached_property
    def nginx(self):
        return self._started(peers.nginx(self.setting, self.engine))

    @functools.cached_property
    def haproxy(self):
        return self._started(peers.haproxy(self.setting, self.engine))

    @functools.cached_property
    def litellm(self):
        return self._started(peers.litellm(self.setting, self.engine, MODEL))

    @functools.cached_property
    def fastapi(self):
        return self._started(peers.fastapi(self.setting, self.engine))

    def _started(self, peer):
        self.setting.at_end(peer.end)
        small_request(peer.url)
        return Candidate(peer.name, peer.url, peer.pids)


def serve(setting, engine_port):
    """Our program, without Slurm, whose engine is the bench's; it is not started yet."""
    return Proxy(setting, engine_words(setting, engine_port))


def engine_words(setting, port):
    """What is said to `serve` for that."""
    engine = [str(setting.program("bench-engine")), "--listen", "{host}:{port}"]
    return ["--target-port", str(port), "--idle-timeout", "0", "--", *engine]


def own_processes(pid):
    """Our program and all that it started, but for the engine."""
    every = usage.descendants(pid)
    engines = [one for one in every if program_of(one).startswith("bench-engine")]
    return usage.descendants(pid, without=engines)


def program_of(pid):
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except (FileNotFoundError, ProcessLookupError):
        return ""
