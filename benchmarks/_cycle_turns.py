"""The forecast engine of ``edge_cycle`` over a real ``state.sqlite``, as full as a box has it.

Decides what lies on the disk (a year of a box with some devices) and how a quarter of an hour
passes. It leaves to others what the site is like (``_cycle_world``) and what is timed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta, timezone
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from benchmarks._cycle_bundle import CANDIDATE, NAME, SITE, UTC_OFFSET_MIN
from benchmarks._cycle_world import World
from edge_agent.forecasting.engine import ForecastEngine
from edge_agent.forecasting.interval_store import KEEP_DAYS, IntervalStore
from edge_agent.forecasting.weather_keeper import WeatherKeeper
from edge_agent.storage.state_store import StateDatabase, StateStore
from models.bundle.names import DEMAND
from models.contract.clock import SystemClock
from models.contract.timestamps import DAY_MS, STEP_MS, Instant

_PER_DEVICE = 8


class TimedDatabase(StateDatabase):
    """``state.sqlite`` that says how long it was waited for."""

    read_s = write_s = 0.0
    reads = writes = 0

    @property
    def waited(self) -> tuple[float, float, int, int]:
        """Seconds in reads and in writes, and how many of them."""
        return self.read_s, self.write_s, self.reads, self.writes

    def query(self, sql: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        """As before."""
        begin = time.perf_counter()
        try:
            return super().query(sql, parameters)
        finally:
            self.read_s += time.perf_counter() - begin
            self.reads += 1

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """As before."""
        begin = time.perf_counter()
        try:
            with super().transaction() as run:
                yield run
        finally:
            self.write_s += time.perf_counter() - begin
            self.writes += 1


class OneBundle:
    """Stands for the updater on a box whose bundle works; anything else ends the measurement."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def active(self) -> Path:
        """Always the same."""
        return self._directory

    def forecast_succeeded(self, directory: Path | None = None) -> None:
        """As expected."""

    def forecast_failed(self, error: BaseException, directory: Path | None = None) -> bool:
        """Persistence in its place would be fast and wrong."""
        raise SystemExit(f"{self._directory}: {error}")


class Turns:
    """Quarters of an hour on the box, one after the other."""

    def __init__(self, world: World, work: Path, devices: int) -> None:
        self.database = TimedDatabase(work / "state.sqlite")
        self._world, self._now = world, world.begin
        self._intervals = IntervalStore(self.database)
        self._store_past(devices)
        ((self.rows,),) = self.database.query("SELECT count(*) FROM intervals")
        state = StateStore(self.database, SystemClock())
        self._weather = WeatherKeeper(NAME, SITE, state)
        for day in range(9, 0, -1):
            self._hear_weather(world.begin - day * DAY_MS)
        self._engine = ForecastEngine(
            NAME, SITE, self._intervals, state, OneBundle(world.made / CANDIDATE),
            self._weather.series, timezone(timedelta(minutes=UTC_OFFSET_MIN)),
        )  # fmt: skip

    def measure(self) -> None:
        """An interval ends and is stored; once a day a weather forecast comes."""
        if self._now % DAY_MS == 0:
            self._hear_weather(self._now)
        self._intervals.upsert(self._world.intervals(self._now - STEP_MS, self._now))

    def issue(self) -> None:
        """The forecast of this quarter of an hour; it must be the bundle's, with weather."""
        forecast = self._engine.issue(self._now)
        self._now += STEP_MS
        models = [one.model for one in forecast.series.values()]
        if models != ["blend", DEMAND] or forecast.weather_mode.value == "none":
            raise SystemExit(f"not what is to be measured: {models}, {forecast.weather_mode}")

    def _hear_weather(self, now: Instant) -> None:
        if not self._weather.received(self._world.weather_message(now)):
            raise SystemExit("the weather was refused")

    def _store_past(self, devices: int) -> None:
        begin = self._world.begin
        self._intervals.upsert(self._world.intervals(0, begin))
        with self.database.transaction() as run:
            for device in range(devices):
                for quantity in range(_PER_DEVICE):
                    number = run.execute(
                        "INSERT INTO series (device, quantity) VALUES (?, ?)",
                        (f"inverter-{device}", f"quantity-{quantity}"),
                    ).lastrowid
                    run.execute(
                        "WITH RECURSIVE steps (start) AS (SELECT ? UNION ALL SELECT start + ?"
                        " FROM steps WHERE start < ?) INSERT INTO intervals"
                        " SELECT start, ?, start % 977 / 7.0, 180, 0 FROM steps",
                        (begin - KEEP_DAYS * DAY_MS, STEP_MS, begin - 2 * STEP_MS, number),
                    )
