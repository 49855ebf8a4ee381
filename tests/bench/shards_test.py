#!/usr/bin/env python3
"""What shards.py makes of the puts around a move."""

import unittest

from shards import Puts, dip


def steady(seconds, rate_at):
    """Puts of a load of so long, slice by slice."""
    return Puts([{"at_ms": second * 1000.0, "puts": rate_at(second)} for second in range(seconds)],
                seconds)  # fmt: skip


class Dip(unittest.TestCase):
    def test_a_move_amid_the_load(self):
        puts = steady(80, lambda second: 700 if 30 <= second < 50 else 1000)
        self.assertEqual(dip(puts, 30, 50), "1,000, 700, 1,000: 30 % less")

    def test_load_that_ends_soon_after_a_move_counts_for_as_long_as_it_was(self):
        puts = steady(60, lambda second: 700 if 30 <= second < 50 else 1000)
        self.assertEqual(dip(puts, 30, 50), "1,000, 700, 1,000: 30 % less")

    def test_a_move_that_outlasts_the_load_has_no_after(self):
        puts = steady(85, lambda second: 700 if second >= 30 else 1000)
        self.assertEqual(dip(puts, 30, 134), "1,000, 700, not known: 30 % less")
        self.assertEqual(dip(puts, 30, 82), "1,000, 700, not known: 30 % less")


if __name__ == "__main__":
    unittest.main()
