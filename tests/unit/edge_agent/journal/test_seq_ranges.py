"""Ranges of sequence numbers, edge by edge; against plain sets in tests/property."""

from __future__ import annotations

from edge_agent.journal.seq_ranges import SeqRanges


def test_neighbours_melt_into_one_range() -> None:
    ranges = SeqRanges([(5, 6), (1, 2), (3, 4)])
    assert list(ranges) == [(1, 6)]


def test_a_range_in_the_middle_is_cut_out() -> None:
    ranges = SeqRanges([(1, 10)])
    ranges.remove(4, 6)
    assert list(ranges) == [(1, 3), (7, 10)]
    assert 3 in ranges
    assert 4 not in ranges


def test_an_empty_range_changes_nothing() -> None:
    ranges = SeqRanges([(1, 3)])
    ranges.add(9, 8)
    ranges.remove(3, 2)
    assert list(ranges) == [(1, 3)]


def test_gaps_and_parts_are_clipped_to_the_question() -> None:
    ranges = SeqRanges([(3, 4), (8, 20)])
    assert list(ranges.gaps(1, 10)) == [(1, 2), (5, 7)]
    assert list(ranges.within(4, 9)) == [(4, 4), (8, 9)]
    assert list(ranges.gaps(9, 12)) == []


def test_a_copy_does_not_follow() -> None:
    ranges = SeqRanges([(1, 1)])
    copy = ranges.copy()
    ranges.add(2, 2)
    assert list(copy) == [(1, 1)]
