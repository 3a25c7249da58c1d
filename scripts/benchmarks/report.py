"""What a run came to: a table on the terminal, JSON, charts, and a block of the README."""

import json
from dataclasses import asdict

from benchmarks import machine as machines
from benchmarks.paired import DIFFERENCE, OURS, RATIO

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def number(value):
    """Three digits that count, without an exponent."""
    if value is None:
        return "–"
    magnitude = abs(value)
    digits = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2 if magnitude >= 1 else 3
    return f"{value:.{digits}f}"


def amount(value, unit):
    return f"{number(value)} {unit}".rstrip()


def ratio(row):
    if row.ratio() is None:
        return "–"
    low, high = row.spread()
    return f"{row.ratio():.2f} × ({low:.2f} to {high:.2f})"


def target(row):
    if row.target is None:
        return "–"
    sign = "≥" if row.target.least else "≤"
    limit = row.target.limit
    words = {
        RATIO: f"{sign} {limit:g} ×",
        DIFFERENCE: f"{sign} {limit:+g} {row.unit}",
        OURS: f"{sign} {limit:g} {row.unit}",
    }
    return words[row.target.of]


def cells(row):
    """A line of the table."""
    return [
        row.name,
        amount(row.our_median(), row.unit),
        row.beside or "–",
        amount(row.their_median(), row.unit) if row.theirs else "–",
        ratio(row),
        target(row),
        row.verdict(),
    ]


HEADS = ["what", "ours", "beside", "theirs", "ratio (spread)", "target", ""]


def markdown(lines):
    rows = [HEADS, ["---"] * len(HEADS), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def terminal(rows):
    """The table in columns, a part after the other, with the notes below."""
    lines = [HEADS, *(cells(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEADS))]
    text, part = [], None
    for row, line in zip([None, *rows], lines):
        if row and row.part != part:
            part = row.part
            text.append(f"{part}:")
        text.append("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    # Once for all rows of a part that have the same.
    names = {}
    for row in rows:
        if row.note:
            names.setdefault((row.part, row.note), {}).setdefault(row.name)
    notes = [f"{part}, {'; '.join(named)}: {note}" for (part, note), named in names.items()]
    return "\n".join([*text, "", *notes])


def as_json(rows, date, machine, quick):
    measured = [
        {**asdict(row), "ratio": row.ratio(), "spread": row.spread(), "judged": row.judged(), "verdict": row.verdict()}
        for row in rows
    ]
    return json.dumps({"date": date, "machine": machine, "quick": quick, "rows": measured}, indent=1) + "\n"


def readme_block(rows, date, machine):
    """What goes into the README between its marks: those rows that have a target."""
    judged = [cells(row) for row in rows if row.target]
    return "\n".join([
        f"Made by `scripts/bench` on {date}: {machines.in_words(machine)}.",
        "",
        markdown(judged),
        "",
        "![Ratios with their spreads and targets](docs/bench/ratios.svg)",
    ])


def with_block(text, block):
    """The README's text with that block in place of the one between its marks, of which there is one pair."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the README needs one {BEGIN} and one {END} after it")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{block}\n{END}{after}"
