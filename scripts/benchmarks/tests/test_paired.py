"""Ratios, spreads and judgement by hand-made rounds."""

import unittest

from benchmarks.paired import DIFFERENCE, MET, MISSED, OURS, PRINTED, UNCLEAR, Row, at_least, at_most, percentile


def row(ours, theirs, target=None, **more):
    return Row("part", "what", "nginx" if theirs else None, "ms", ours, theirs, target, **more)


class Percentile(unittest.TestCase):
    def test_is_between_its_neighbours(self):
        self.assertEqual(percentile([3, 1, 2], 0.5), 2)
        self.assertEqual(percentile([0, 10], 0.1), 1)
        self.assertEqual(percentile([7], 0.9), 7)
        self.assertEqual(percentile([1, 2, 3], 1), 3)


class Ratio(unittest.TestCase):
    def test_is_that_of_the_medians(self):
        self.assertEqual(row([1, 2, 30], [4, 4, 1]).ratio(), 0.5)

    def test_paired_is_by_the_differences_of_the_rounds(self):
        # The second round was slow for both: by the medians alone it would be 13 / 12.
        disturbed = row([11, 103, 13], [10, 102, 12], paired=True)
        self.assertAlmostEqual(disturbed.ratio(), 1 + 1 / 12)

    def test_is_none_beside_nothing_and_beside_noise(self):
        self.assertIsNone(row([1], []).ratio())
        self.assertIsNone(row([1, 1], [-1, 0]).ratio())
        self.assertIsNone(row([1, 1], [-1, 0]).spread())

    def test_spread_is_of_the_rounds(self):
        low, high = row([1, 2, 3], [1, 1, 1]).spread()
        self.assertAlmostEqual(low, 1.2)
        self.assertAlmostEqual(high, 2.8)
        low, high = row([2, 4], [2, 2], paired=True).spread()
        self.assertAlmostEqual(low, 1.1)
        self.assertAlmostEqual(high, 1.9)


class Verdict(unittest.TestCase):
    def test_at_most(self):
        self.assertEqual(row([10], [10], at_most(1)).verdict(), MET)
        self.assertEqual(row([10.1], [10], at_most(1)).verdict(), MISSED)

    def test_at_least(self):
        self.assertEqual(row([8], [10], at_least(0.8)).verdict(), MET)
        self.assertEqual(row([7.9], [10], at_least(0.8)).verdict(), MISSED)

    def test_on_the_difference(self):
        self.assertEqual(row([1.3], [1.1], at_most(0.3, DIFFERENCE)).verdict(), MET)
        self.assertEqual(row([1.5], [1.1], at_most(0.3, DIFFERENCE)).verdict(), MISSED)

    def test_on_ours(self):
        self.assertEqual(row([25], [1], at_most(25, OURS)).verdict(), MET)
        self.assertEqual(row([26], [], at_most(25, OURS)).verdict(), MISSED)

    def test_without_a_target_it_is_printed(self):
        self.assertEqual(row([1], [2]).verdict(), PRINTED)

    def test_without_a_ratio_it_is_not_judged(self):
        self.assertEqual(row([1], [0], at_most(1)).verdict(), UNCLEAR)


class Refused(unittest.TestCase):
    def test_rows_that_say_nothing(self):
        for ours, theirs in [([], []), ([], [1]), ([1, 2], [1])]:
            with self.assertRaises(ValueError, msg=f"{ours} {theirs}"):
                row(ours, theirs)

    def test_rows_beside_nothing(self):
        with self.assertRaises(ValueError):
            row([1], [], at_most(1))
        with self.assertRaises(ValueError):
            Row("part", "what", "nginx", "ms", [1], [], None)
        with self.assertRaises(ValueError):
            Row("part", "what", None, "ms", [1], [1], None)
