"""What a process and its children have used, from /proc."""

import os
import re
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def descendants(pid, without=()):
    """The process and all that came of it and still are, without those of `without` and what came of them."""
    found, left = [], [pid]
    while left:
        one = left.pop()
        if one in without:
            continue
        found.append(one)
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                left.extend(int(word) for word in task.read_text().split())
            except OSError:
                pass
    return found


def cpu_seconds(pids):
    """User and system time of these processes so far, and of their children that have ended."""
    total = 0
    for pid in pids:
        try:
            # The name, in brackets, may hold anything.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            # It has just ended, and is in the sum of its parent.
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def _kib(pid, file, field):
    found = re.search(rf"^{field}:\s*(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    return int(found[1])


def resident_mib(pid):
    """All its pages in memory, also those that it shares (VmRSS)."""
    return _kib(pid, "status", "VmRSS") / 1024


def proportional_mib(pids):
    """Their pages in memory, each shared one divided among those that share it (Pss)."""
    return sum(_kib(pid, "smaps_rollup", "Pss") for pid in pids) / 1024
