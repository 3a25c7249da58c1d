"""How long the program takes until it listens."""

import os
import socket
import subprocess
import time

from benchmarks import peers
from benchmarks.local import in_turn
from benchmarks.paired import Row, at_most
from benchmarks.parts import part

MILLI = 1000


def until_it_listens(command, port, home):
    """Milliseconds from starting it to the first connection that is taken; it is ended then."""
    started = time.monotonic()
    environment = {**os.environ, "HOME": str(home)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            took = time.monotonic() - started
            break
        except ConnectionRefusedError:
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended at once") from None
    process.terminate()
    process.wait()
    return took * MILLI


@part("start")
def start(setting):
    """from nothing until it listens"""
    home = setting.folder / "start-home"
    home.mkdir(exist_ok=True)
    ours, theirs = [], []
    for number in range(setting.rounds * 3):
        for name in in_turn(["llm-proxy", "nginx"], number):
            port = peers.free_port()
            if name == "nginx":
                command, times = peers.nginx_command(setting.folder, "127.0.0.1:1", port), theirs
            else:
                command, times = [str(setting.program("llm-proxy")), "serve", "--port", str(port), "--", "true"], ours
            times.append(until_it_listens(command, port, home))
    note = "from starting the process to the first connection that is taken"
    return [Row("start", "start until it listens", "nginx", "ms", ours, theirs, at_most(1.5), note)]
