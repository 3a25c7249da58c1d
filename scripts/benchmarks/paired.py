"""What a row of the table is: ours beside another's in one run, and how that is judged."""

import statistics
from dataclasses import dataclass

# What a target is set on.
RATIO, DIFFERENCE, OURS = "ratio", "difference", "ours"

MET, MISSED, UNCLEAR, PRINTED = "met", "missed", "unclear", "printed"


@dataclass(frozen=True)
class Target:
    limit: float
    # Otherwise the limit is the most that it may be.
    least: bool = False
    of: str = RATIO

    def met_by(self, value):
        return value >= self.limit if self.least else value <= self.limit


def at_most(limit, of=RATIO):
    return Target(limit, of=of)


def at_least(limit, of=RATIO):
    return Target(limit, least=True, of=of)


def percentile(values, share):
    """Between the two values nearest to it, in proportion."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass
class Row:
    """One number of each round, of ours and of what it is beside; in each round, both were measured in turn.

    The ratio is that of the medians. With `paired` (latencies) it is 1 plus the median of the rounds' differences over the
    median of what it is beside: what disturbs a whole round then disturbs neither.
    """

    part: str
    name: str
    # None where there is nothing to be beside.
    beside: str | None
    unit: str
    ours: list[float]
    theirs: list[float]
    target: Target | None
    # How it was obtained, if that is not plain.
    note: str = ""
    paired: bool = False

    def __post_init__(self):
        if not self.ours:
            raise ValueError(f"{self.part}, {self.name}: nothing was measured")
        if (self.beside is None) != (not self.theirs):
            raise ValueError(f"{self.part}, {self.name}: beside {self.beside}, but {len(self.theirs)} values of it")
        if self.theirs and len(self.theirs) != len(self.ours):
            raise ValueError(f"{self.part}, {self.name}: {len(self.ours)} rounds of ours, {len(self.theirs)} of theirs")
        if self.beside is None and self.target is not None and self.target.of != OURS:
            raise ValueError(f"{self.part}, {self.name}: a target on the {self.target.of} to nothing")

    def our_median(self):
        return statistics.median(self.ours)

    def their_median(self):
        return statistics.median(self.theirs) if self.theirs else None

    def difference(self):
        """The median of the rounds' differences; None beside nothing."""
        return statistics.median(self._differences()) if self.theirs else None

    def ratio(self):
        """None beside nothing, and where what it is beside is not more than nothing (a difference lost in the noise)."""
        base = self.their_median()
        if base is None or base <= 0:
            return None
        return 1 + self.difference() / base if self.paired else self.our_median() / base

    def spread(self):
        """The 10th and the 90th percentile of the rounds' ratios; None where there is no ratio."""
        base = self.their_median()
        if self.ratio() is None:
            return None
        if self.paired:
            ratios = [1 + difference / base for difference in self._differences()]
        else:
            ratios = [ours / theirs for ours, theirs in zip(self.ours, self.theirs) if theirs > 0]
        return percentile(ratios, 0.1), percentile(ratios, 0.9)

    def judged(self):
        """The value that the target is set on."""
        of = self.target.of if self.target else RATIO
        return {RATIO: self.ratio, DIFFERENCE: self.difference, OURS: self.our_median}[of]()

    def verdict(self):
        if self.target is None:
            return PRINTED
        value = self.judged()
        if value is None:
            return UNCLEAR
        return MET if self.target.met_by(value) else MISSED

    def _differences(self):
        return [ours - theirs for ours, theirs in zip(self.ours, self.theirs)]
