"""state.sqlite: small durable values and gridded interval values."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_agent.forecasting.interval_store import IntervalStore
from edge_agent.storage.state_store import StateDatabase, StateStore
from models.contract.clock import SystemClock
from models.contract.timestamps import DAY_MS, STEP_MS
from models.features.intervals import Interval

T0 = 1_705_492_800_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[StateDatabase]:
    opened = StateDatabase(path)
    yield opened
    opened.close()


def test_a_value_survives_a_restart(database: StateDatabase, path: Path) -> None:
    state = StateStore(database, SystemClock())
    state.put("bundle.release", 7)
    state.put("bundle.release", 8)
    state.put("calibration", {"offsets": [0.5, None]})
    database.close()
    again = StateDatabase(path)
    state = StateStore(again, SystemClock())
    assert state.get("bundle.release") == 8
    assert state.get("calibration") == {"offsets": [0.5, None]}
    assert state.items("bundle.") == {"bundle.release": 8}
    state.delete("bundle.release")
    assert state.get("bundle.release", 0) == 0
    again.close()


def test_nan_does_not_enter_the_state(database: StateDatabase) -> None:
    with pytest.raises(ValueError):
        StateStore(database, SystemClock()).put("offset", math.nan)


def test_a_corrupt_state_file_is_set_aside(path: Path) -> None:
    path.write_bytes(b"x" * 5000)
    database = StateDatabase(path)
    assert database.set_aside == path.with_name("state.sqlite.corrupt-1")
    assert StateStore(database, SystemClock()).get("anything") is None
    database.close()


def test_a_put_is_on_the_disk_when_it_returns(database: StateDatabase, path: Path) -> None:
    StateStore(database, SystemClock()).put("a", 1)
    other = sqlite3.connect(path)
    assert other.execute("SELECT value FROM state").fetchall() == [("1",)]
    assert database.query("PRAGMA synchronous") == [(2,)]  # FULL
    other.close()


def test_a_series_is_gridded_with_nan_where_nothing_is(database: StateDatabase) -> None:
    store = IntervalStore(database)
    store.upsert(
        [
            Interval(T0, "inverter-1", "ac_power", 1.0, 10),
            Interval(T0 + STEP_MS, "inverter-1", "ac_power", None, 0, 7),
            Interval(T0 + 3 * STEP_MS, "inverter-1", "ac_power", 4.0, 10),
            Interval(T0, "inverter-2", "ac_power", 9.0, 10),
        ]
    )
    values = store.series("inverter-1", "ac_power", T0 - STEP_MS, T0 + 4 * STEP_MS)
    np.testing.assert_array_equal(values, [np.nan, 1.0, np.nan, np.nan, 4.0])
    assert values.dtype == np.float64
    assert store.span("inverter-1", "ac_power") == (T0, T0 + 3 * STEP_MS)
    assert np.isnan(store.series("nobody", "ac_power", T0, T0 + STEP_MS)).all()
    assert store.span("nobody", "ac_power") is None


def test_a_corrected_interval_replaces_the_first_one(database: StateDatabase, path: Path) -> None:
    store = IntervalStore(database)
    store.upsert([Interval(T0, "site", "ac_power", 1.0, 10)])
    store.upsert([Interval(T0, "site", "ac_power", 2.0, 11)])
    assert store.series("site", "ac_power", T0, T0 + STEP_MS).tolist() == [2.0]
    again = IntervalStore(database)  # ids are found again
    again.upsert([Interval(T0, "site", "ac_power", 3.0, 12)])
    assert again.series("site", "ac_power", T0, T0 + STEP_MS).tolist() == [3.0]


def test_what_is_kept_in_memory_is_what_lies_on_the_disk(database: StateDatabase) -> None:
    store, random = IntervalStore(database), np.random.default_rng(5)
    for turn in range(60):
        now = T0 + turn * STEP_MS
        steps = random.integers(-40, 3, 6)
        store.upsert(
            Interval(
                now + int(step) * STEP_MS,
                device,
                "ac_power",
                None if random.random() < 0.2 else float(turn),
                1,
            )
            for step, device in zip(steps, ("site", "other") * 3, strict=True)
        )
        # A window that moves on, sometimes back, sometimes a longer one, sometimes far away.
        end = now + int(random.choice([0, 0, 0, 1, -3, 500])) * STEP_MS
        start = end - int(random.choice([30, 30, 30, 5, 45, 0])) * STEP_MS
        fresh = IntervalStore(database)
        for device in ("site", "other"):
            np.testing.assert_array_equal(
                store.series(device, "ac_power", start, end),
                fresh.series(device, "ac_power", start, end),
            )


def test_a_caller_that_changes_its_values_changes_nobody_elses(database: StateDatabase) -> None:
    store = IntervalStore(database)
    store.upsert([Interval(T0, "site", "ac_power", 1.0, 1)])
    store.series("site", "ac_power", T0, T0 + STEP_MS)[0] = 9.0
    assert store.series("site", "ac_power", T0, T0 + STEP_MS).tolist() == [1.0]


def test_values_are_kept_for_more_than_a_year_and_not_for_ever(database: StateDatabase) -> None:
    store = IntervalStore(database)
    for day in (*range(0, 399, 20), 399, 402):
        store.upsert([Interval(T0 + day * DAY_MS, "site", "ac_power", float(day), 1)])
    days = [
        store.series("site", "ac_power", T0 + d * DAY_MS, T0 + d * DAY_MS + STEP_MS)[0]
        for d in (0, 399, 402)
    ]
    assert math.isnan(days[0])
    assert days[1:] == [399.0, 402.0]


def test_a_clock_far_ahead_deletes_no_history(database: StateDatabase) -> None:
    store = IntervalStore(database)
    store.upsert([Interval(T0, "site", "ac_power", 1.0, 1)])
    for step in range(3):
        ahead = T0 + 3000 * DAY_MS + step * STEP_MS
        store.upsert([Interval(ahead, "site", "ac_power", 2.0, 1)])
    store.upsert([Interval(T0 + STEP_MS, "site", "ac_power", 3.0, 1)])
    values = store.series("site", "ac_power", T0, T0 + 2 * STEP_MS)
    assert values.tolist() == [1.0, 3.0]


def test_off_the_grid_is_an_error(database: StateDatabase) -> None:
    store = IntervalStore(database)
    for start, end in ((T0 + 1, T0 + STEP_MS), (T0, T0 + 1), (T0 + STEP_MS, T0)):
        with pytest.raises(ValueError, match="grid"):
            store.series("site", "ac_power", start, end)
