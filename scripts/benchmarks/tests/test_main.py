"""A run's parts: a failing one is told, and the others have their turn."""

import contextlib
import io
import unittest

from benchmarks import main
from benchmarks.paired import Row
from benchmarks.parts import Part, find_parts


def part(name, run):
    return Part(name, run, False, "")


def gives(name):
    return part(name, lambda _: [Row(name, name, None, "s", [1], [], None)])


def fails(fault):
    def run(_):
        raise fault

    return part("broken", run)


class Measured(unittest.TestCase):
    def test_a_part_that_fails_is_told_and_the_others_are_measured(self):
        for fault in (SystemExit("install it"), ValueError("strange")):
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                rows, failed = main.measure([gives("one"), fails(fault), gives("two")], None)
            self.assertEqual([row.part for row in rows], ["one", "two"])
            self.assertEqual(failed, ["broken"])
            self.assertIn(str(fault), said.getvalue())
            self.assertRegex(said.getvalue(), r"== broken: \d+ s\n")


class Found(unittest.TestCase):
    def test_every_part_says_what_it_is(self):
        for found in find_parts().values():
            self.assertTrue(found.says, found.name)
