"""Draws what a run came to: `charts.py bench.json FOLDER`

ratios.svg: of every row with a target on its ratio, the ratio, its spread, and the target. PART.svg: the rounds of each row
of that part, ours and what they are beside.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# The same figures give the same file, but for the date, which is left out below.
matplotlib.rcParams["svg.hashsalt"] = "llm-proxy"
matplotlib.rcParams["svg.fonttype"] = "none"

from matplotlib import pyplot, ticker  # noqa: E402 (after the choice of what draws)

COLOURS = {"met": "#1a7f37", "missed": "#cf222e", "unclear": "#9a6700", "printed": "#57606a"}
OURS, THEIRS = "#0969da", "#8c959f"
LINE_INCHES = 0.3


def figure(lines, title, about):
    drawn, axes = pyplot.subplots(figsize=(9.5, 1.3 + LINE_INCHES * lines), layout="constrained")
    drawn.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes.set_title(about, loc="left", fontsize=7, color="#57606a")
    axes.grid(axis="x", which="major", color="#d0d7de", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_ylim(lines - 0.5, -0.5)
    return drawn, axes


def save(drawn, file):
    drawn.savefig(file, metadata={"Date": None})
    pyplot.close(drawn)


def plain(axes):
    """Numbers as people write them, on a logarithmic axis, and not so many of them that they touch."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    if high / low < 8:
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6))
    else:
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low < 1e3 else (1,)))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())


def ratios(rows, about, file):
    drawn, axes = figure(len(rows), "Ours beside theirs in the same run: median, spread of the rounds, target", about)
    for place, row in enumerate(rows):
        colour = COLOURS[row["verdict"]]
        low, high = row["spread"]
        axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot([row["ratio"]], [place], "o", color=colour, markersize=6)
        limit, least = row["target"]["limit"], row["target"]["least"]
        # The side on which it is met.
        axes.plot([limit], [place], ">" if least else "<", color="#24292f", markersize=7, fillstyle="none")
    axes.axvline(1, color="#57606a", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{row['name']}, beside {row['beside']}" for row in rows], fontsize=8)
    plain(axes)
    axes.set_xlabel("× (green: target met; red: missed; the arrow is the target, and points to where it is met)", fontsize=8)
    save(drawn, file)


def drawable(values):
    """A logarithmic axis has no place for what noise made nothing or less."""
    return [value for value in values if value > 0]


def rounds(part, rows, about, file):
    drawn, axes = figure(len(rows), f"{part}: the rounds", about)
    for place, row in enumerate(rows):
        ours, theirs = drawable(row["ours"]), drawable(row["theirs"])
        axes.plot(theirs, [place + 0.14] * len(theirs), "o", color=THEIRS, markersize=4, alpha=0.8)
        axes.plot(ours, [place - 0.14] * len(ours), "o", color=OURS, markersize=4, alpha=0.8)
    labels = [f"{row['name']}, {row['unit']}" + (f" (grey: {row['beside']})" if row["beside"] else "") for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    plain(axes)
    axes.set_xlabel("blue: ours", fontsize=8)
    save(drawn, file)


def main():
    kept = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    machine = kept["machine"]
    about = f"{kept['date']}, {machine['cores']} cores of {machine['processor']}" + (", a quick run" if kept["quick"] else "")
    with_target = [row for row in kept["rows"] if row["ratio"] and (row["target"] or {}).get("of") == "ratio"]
    if with_target:
        # Nothing is drawn of what a logarithmic axis cannot show.
        shown = [row for row in with_target if row["ratio"] > 0 and row["spread"][0] > 0]
        ratios(shown, about, folder / "ratios.svg")
    for part in dict.fromkeys(row["part"] for row in kept["rows"]):
        of_part = [row for row in kept["rows"] if row["part"] == part]
        if any(row["beside"] for row in of_part) and any(drawable(row["ours"]) for row in of_part):
            rounds(part, of_part, about, folder / f"{part}.svg")


main()
