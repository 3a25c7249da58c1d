"""Drives real clients: one job a line on standard input, as JSON; one line on standard output for what its client saw.

    python driver.py openai anthropic langchain     the modules with_NAME.py, whose packages must be installed

A job says `client`, `api`, `stream`, `base_url`, `key`, `model`, `max_tokens`, `timeout` (seconds, of the
client), `silence` (seconds, of Node itself), `retries`, `headers`, and, if the client shall leave, `leave_after_pieces`
or `leave_after_seconds` (before any text came). Jobs run at the same time.
"""

import asyncio
import importlib
import json
import sys
import threading
import time


class Left(Exception):
    """The client went away, as the job said."""


class Seen:
    """What a client got: pieces of text, and how it ended."""

    def __init__(self, job):
        self.job = job
        self.pieces = []

    def piece(self, text):
        """One piece of a stream came; raises where the client shall leave."""
        self.pieces.append(text or "")
        if text and sum(map(bool, self.pieces)) == self.job.get("leave_after_pieces"):
            raise Left

    def whole(self, text):
        """The whole answer came. An answer without a text is told apart from an empty one."""
        self.pieces.append("(none)" if text is None else text)


def describe(error):
    """An exception as a caller's handler would read it."""
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "message": str(error),
    }


def run(module, job):
    seen, error, started = Seen(job), None, time.monotonic()
    try:
        if job.get("leave_after_seconds"):
            asyncio.run(leave(module, seen, job))
        else:
            module.ask(seen, job)
    except Left:
        error = {"class": "left", "status": None, "message": ""}
    except Exception as fault:
        error = describe(fault)
    return {
        "id": job["id"],
        "text": "".join(seen.pieces),
        "pieces": sum(1 for piece in seen.pieces if piece),
        "empty_pieces": sum(1 for piece in seen.pieces if not piece),
        "error": error,
        "seconds": time.monotonic() - started,
    }


async def leave(module, seen, job):
    """Asks with the asynchronous client, and cancels that."""
    try:
        await asyncio.wait_for(module.ask_async(seen, job), job["leave_after_seconds"])
    except asyncio.TimeoutError:
        raise Left from None


def main():
    modules = {name: importlib.import_module(f"with_{name}") for name in sys.argv[1:]}
    lock = threading.Lock()

    def say(line):
        with lock:
            print(json.dumps(line), flush=True)

    say({"ready": {name: module.VERSION for name, module in modules.items()}})
    for line in sys.stdin:
        job = json.loads(line)
        work = threading.Thread(target=lambda job=job: say(run(modules[job["client"]], job)), daemon=True)
        work.start()


main()
