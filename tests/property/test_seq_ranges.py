"""Ranges of sequence numbers behave like a set of numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.journal.seq_ranges import SeqRanges

pairs = st.tuples(st.integers(1, 40), st.integers(1, 40))
steps = st.lists(st.tuples(st.booleans(), pairs), max_size=30)


@given(steps, pairs)
def test_ranges_are_a_set(todo: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]) -> None:
    ranges, numbers = SeqRanges(), set[int]()
    for add, (first, last) in todo:
        if add:
            ranges.add(first, last)
            numbers |= set(range(first, last + 1))
        else:
            ranges.remove(first, last)
            numbers -= set(range(first, last + 1))
    listed = list(ranges)
    assert {n for first, last in listed for n in range(first, last + 1)} == numbers
    assert all(a[1] + 1 < b[0] for a, b in pairwise(listed))
    assert ranges.count() == len(numbers)
    assert all((n in ranges) == (n in numbers) for n in range(42))
    window = set(range(asked[0], asked[1] + 1))
    for part, wanted in ((ranges.gaps, window - numbers), (ranges.within, window & numbers)):
        assert {n for first, last in part(*asked) for n in range(first, last + 1)} == wanted
