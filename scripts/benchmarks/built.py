"""What it takes to build the program, and what comes of it."""

import os
import subprocess
import tempfile
import time

from benchmarks.cluster import ROOT
from benchmarks.paired import Row
from benchmarks.parts import part


@part("size")
def size(setting):
    """the binary"""
    mib = setting.program("llm-proxy").stat().st_size / 2**20
    return [Row("size", "binary", None, "MiB", [mib], [], None, "built in release, without symbols")]


@part("build", only_asked=True)
def clean_build(_setting):
    """a clean build in release, once, of the program and all that it depends on; downloads are not part of it"""
    words = ["cargo", "build", "--quiet", "--locked", "--release", "--bin", "llm-proxy"]
    subprocess.run(["cargo", "fetch", "--quiet", "--locked"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as target:
        started = time.monotonic()
        subprocess.run(words, cwd=ROOT, check=True, env={**os.environ, "CARGO_TARGET_DIR": target})
        took = time.monotonic() - started
    return [Row("build", "clean build in release", None, "s", [took], [], None, f"{os.cpu_count()} cores")]
