"""Measures what this program costs, each number beside another's of the same run."""

import argparse
import datetime
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from benchmarks import machine, peers, report, setting
from benchmarks.cluster import ROOT, run
from benchmarks.parts import find_parts


def arguments(parts):
    listed = "\n".join(f"  {part.name:12} {'only if named: ' if part.only_asked else ''}{part.says}" for part in parts.values())
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"parts:\n{listed}\n\nNeeds root on Debian (for the cluster) and what `scripts/test` installs.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller amounts: to see that all works")
    parser.add_argument("--only", action="append", choices=list(parts), metavar="PART", help="this part; may be repeated")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything takes its turn: 7, with --quick 3")
    parser.add_argument("--write", action="store_true", help="write docs/bench and the README's block, and not a temporary folder")
    asked = parser.parse_args()
    if asked.write and (asked.only or asked.quick):
        parser.error("what is kept is a whole run: --write goes with neither --only nor --quick")
    return asked


def interrupted(*_):
    # What was brought up ends with it, and no other part begins.
    raise KeyboardInterrupt


def write(rows, asked, about, date):
    """The JSON and the charts; into the project only if that was asked for."""
    folder = ROOT / "docs/bench" if asked.write else Path(tempfile.mkdtemp(prefix="llm-proxy-bench-report-"))
    folder.mkdir(parents=True, exist_ok=True)
    figures = folder / "bench.json"
    figures.write_text(report.as_json(rows, date, about, asked.quick))
    charts = ROOT / "scripts/benchmarks/programs/charts.py"
    run(f"{peers.environment_of('charts')}/bin/python", str(charts), str(figures), str(folder))
    readme = ROOT / "README.md"
    if asked.write:
        readme.write_text(report.with_block(readme.read_text(), report.readme_block(rows, date, about)))
    print(f"written to {folder}")


def measure(parts, shared):
    """The rows of all parts; and the names of those that failed, which does not keep the others from their turn."""
    rows, failed = [], []
    for part in parts:
        print(f"== {part.name}: {part.says}", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            rows.extend(part.run(shared))
        except SystemExit as fault:
            print(f"scripts/bench: {part.name}: {fault}", file=sys.stderr, flush=True)
            failed.append(part.name)
        except Exception:
            traceback.print_exc()
            failed.append(part.name)
        print(f"== {part.name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return rows, failed


def main():
    signal.signal(signal.SIGTERM, interrupted)
    parts = find_parts()
    asked = arguments(parts)
    chosen = [part for part in parts.values() if part.name in (asked.only or []) or not (asked.only or part.only_asked)]
    rounds = asked.rounds or (3 if asked.quick else 7)
    about = machine.describe(str(ROOT))
    date = datetime.date.today().isoformat()
    print(f"machine: {machine.in_words(about)}", flush=True)
    setting.build()
    with setting.Setting(rounds, asked.quick) as shared:
        rows, failed = measure(chosen, shared)
    if rows:
        print(report.terminal(rows))
    if failed and asked.write:
        print("nothing is written: not all was measured")
    elif rows:
        write(rows, asked, about, date)
    if failed:
        sys.exit("FAILED: " + ", ".join(failed))
