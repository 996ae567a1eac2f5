"""Streaming and batch intervals are the same thing; the order of arrival leaves no trace."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import STEP_MS
from models.features.intervals import Interval, IntervalBuilder, intervals_from_samples

T0 = 1_705_492_800_000
HOURS = 4 * STEP_MS

samples = st.lists(
    st.tuples(
        st.integers(0, HOURS - 1),
        st.floats(-1e6, 1e9, allow_nan=False),
        st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.SUSPECT, Quality.ASLEEP]),
        st.sampled_from(["inverter-1", "inverter-2"]),
    ),
    max_size=60,
)


def records(rows: list[tuple[int, float, Quality, str]]) -> list[Record]:
    return [
        Record(name, T0 + at, {"ac_power": Reading(value, flaw), "ac_energy": Reading(abs(value))})
        for at, value, flaw, name in rows
    ]


@given(samples)
def test_streaming_equals_vectorised(rows: list[tuple[int, float, Quality, str]]) -> None:
    builder = IntervalBuilder()
    for record in records(rows):
        builder.add(record)
    streamed = {
        (row.device, row.start): (row.value, row.count)
        for row in builder.complete(T0 + HOURS)
        if row.quantity == "ac_power" and row.count
    }
    batch = {}
    for device in {row[3] for row in rows}:
        mine = [row for row in rows if row[3] == device]
        value_of = {Quality.SUSPECT: lambda _: np.nan, Quality.ASLEEP: lambda _: 0.0}
        values = [value_of.get(quality, float)(value) for _, value, quality, _ in mine]
        times = np.array([T0 + row[0] for row in mine], np.int64)
        starts, means, counts = intervals_from_samples(times, np.array(values))
        for start, mean, count in zip(starts, means, counts, strict=True):
            batch[device, int(start)] = (mean, count)
    assert streamed.keys() == batch.keys()
    for key, (value, count) in streamed.items():
        assert value is not None
        assert count == batch[key][1]
        np.testing.assert_allclose(value, batch[key][0], rtol=1e-9, atol=1e-6)


@given(samples, st.randoms(use_true_random=False), st.integers(0, 60))
def test_the_order_of_arrival_leaves_no_trace(
    rows: list[tuple[int, float, Quality, str]], shuffler: random.Random, split: int
) -> None:
    straight, shuffled = IntervalBuilder(), IntervalBuilder()
    mixed = records(rows)
    shuffler.shuffle(mixed)
    for record in records(rows):
        straight.add(record)
    # One is asked once at the end; the other also in the middle, and corrects itself.
    stored: dict[tuple[int, str, str], Interval] = {}
    for index, record in enumerate(mixed):
        if index == split:
            stored |= {(r.start, r.device, r.quantity): r for r in shuffled.complete(T0 + HOURS)}
        shuffled.add(record)
    stored |= {(r.start, r.device, r.quantity): r for r in shuffled.complete(T0 + HOURS)}
    assert [stored[key] for key in sorted(stored)] == straight.complete(T0 + HOURS)


def test_no_samples_give_no_intervals() -> None:
    starts, means, counts = intervals_from_samples(np.array([], np.int64), np.array([]))
    assert len(starts) == len(means) == len(counts) == 0
