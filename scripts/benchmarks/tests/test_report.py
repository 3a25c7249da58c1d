"""What is printed, kept as JSON, and put into the README."""

import json
import unittest

from benchmarks import report
from benchmarks.paired import DIFFERENCE, OURS, Row, at_least, at_most

MACHINE = {
    "processor": "A Processor", "cores": 2, "memory_gib": 23.5, "kernel": "Linux 6", "distribution": "Debian",
    "load_before": 0.1, "commit": "abc",
}


def rows():
    return [
        Row("local", "added time", "nginx", "µs", [60, 70, 80], [100, 100, 100], at_most(1), "half a note", paired=True),
        Row("local", "requests", "nginx", "per s", [700], [1000], at_least(0.8)),
        Row("cold", "first byte", "by hand", "s", [1.5], [1.4], at_most(0.3, DIFFERENCE)),
        Row("memory", "idle", None, "MiB", [11.25], [], at_most(25, OURS)),
        Row("size", "binary", None, "MiB", [9], [], None),
    ]


class Cells(unittest.TestCase):
    def test_say_all_of_a_row(self):
        lines = [report.cells(row) for row in rows()]
        self.assertEqual(lines[0], ["added time", "70.0 µs", "nginx", "100 µs", "0.70 × (0.62 to 0.78)", "≤ 1 ×", "met"])
        self.assertEqual(lines[1], ["requests", "700 per s", "nginx", "1000 per s", "0.70 × (0.70 to 0.70)", "≥ 0.8 ×", "missed"])
        self.assertEqual(lines[2][5:], ["≤ +0.3 s", "met"])
        self.assertEqual(lines[3], ["idle", "11.2 MiB", "–", "–", "–", "≤ 25 MiB", "met"])
        self.assertEqual(lines[4][5:], ["–", "printed"])


class Terminal(unittest.TestCase):
    def test_holds_parts_rows_and_notes(self):
        text = report.terminal(rows())
        for words in ("local:", "cold:", "added time", "half a note", "missed"):
            self.assertIn(words, text)


class Json(unittest.TestCase):
    def test_holds_the_rounds_and_the_judgement(self):
        kept = json.loads(report.as_json(rows(), "2026-01-02", MACHINE, quick=True))
        self.assertEqual(kept["rows"][0]["ours"], [60, 70, 80])
        self.assertEqual([row["verdict"] for row in kept["rows"]], ["met", "missed", "met", "met", "printed"])
        self.assertEqual((kept["date"], kept["quick"], kept["machine"]["cores"]), ("2026-01-02", True, 2))


class Readme(unittest.TestCase):
    def test_the_block_alone_is_replaced(self):
        block = report.readme_block(rows(), "2026-01-02", MACHINE)
        text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
        new = report.with_block(text, block)
        self.assertTrue(new.startswith(f"before\n{report.BEGIN}\nMade by"))
        self.assertTrue(new.endswith(f"{report.END}\nafter\n"))
        self.assertNotIn("old", new)
        self.assertEqual(report.with_block(new, block), new)

    def test_the_block_says_when_and_where_and_what_was_judged(self):
        block = report.readme_block(rows(), "2026-01-02", MACHINE)
        for words in ("2026-01-02", "2 cores of A Processor", "| requests | 700 per s |", "missed", ".svg"):
            self.assertIn(words, block)
        self.assertNotIn("binary", block)

    def test_without_its_marks_it_is_refused(self):
        for text in ("", report.BEGIN, f"{report.END}{report.BEGIN}", f"{report.BEGIN}{report.END}" * 2):
            with self.assertRaises(ValueError, msg=text):
                report.with_block(text, "block")
