"""Which machine it is that was measured on."""

import os
import re
import subprocess
from pathlib import Path


def processor():
    found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else os.uname().machine


def memory_gib():
    kib = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(kib[1]) / 2**20


def distribution():
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE)
    return found[1] if found else "unknown"


def commit(root):
    """What was checked out, and whether it was changed since; `unknown` where there is no git."""
    words = ["git", "-C", root, "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        return subprocess.run(words, check=True, text=True, capture_output=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe(root):
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_gib(), 1),
        "kernel": f"{os.uname().sysname} {os.uname().release}",
        "distribution": distribution(),
        # How busy it was with other things when the run began.
        "load_before": round(os.getloadavg()[0], 2),
        "commit": commit(root),
    }


def in_words(machine):
    return (f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']:.0f} GiB, {machine['distribution']}, "
            f"{machine['kernel']}, load {machine['load_before']} before, commit {machine['commit']}")
