"""Tests of what needs nothing to run: the ratios, the judgement, the report."""
