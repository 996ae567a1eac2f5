"""The composition root of the agent: builds the rooms, wires them, starts and stops them.

Loops: one poller per device, the interval loop that also forecasts, uplink, updater, status, and
the watchdog over all of them. A loop that fails ends the agent (systemd starts it again); a device,
broker or bundle that fails does not.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from firmware_bridge import Buses, open_driver
from models.contract.clock import Clock, open_clock
from models.contract.forecast import Forecast
from models.contract.messages import Alert, BundleStatus, Kind, Status
from models.contract.payload import alert_to_json, forecast_to_json, record_to_json
from models.contract.record import Record
from models.contract.timestamps import STEP_MS, Instant, floor_to_step, next_step
from models.contract.topics import bundle_topic
from models.features.intervals import Interval, IntervalBuilder, site_interval
from models.features.solar_geometry import solar_position
from models.features.spec import current_spec
from models.runtimes.elf import current_cpu

from .acquisition import DevicePoller
from .bundle_source import RetainedSource
from .forecasting import ForecastEngine, NoBundle
from .interval_store import IntervalStore
from .journal import Journal
from .settings import EdgeSettings
from .state_store import StateDatabase, StateStore
from .status_file import StatusFile
from .supervision import Progress, Watchdog, notify_systemd
from .updater import Updater, UpdateResult
from .uplink import Uplink

_log = logging.getLogger(__name__)

SETTLE_SHARE = 0.02
"""Share of an interval to wait after its end for polls that are under way."""
_GOODBYE_S = 10.0
_ANNOUNCEMENT = bundle_topic("metadata/timestamp.json")


def agent_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("solar-sharing")
    except PackageNotFoundError:
        return "0.0.0"


class Agent:
    """A running site."""

    def __init__(self, settings: EdgeSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or open_clock(settings.agent.clock_anchor)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._watchdog = Watchdog(self.clock.monotonic)
        self._builder = IntervalBuilder()
        self._pollers: list[DevicePoller] = []
        self._last_forecast: Forecast | None = None
        self._update_wanted = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set; nothing that was read is lost by stopping."""
        async with AsyncExitStack() as stack:
            self._open(stack)
            tasks = [asyncio.create_task(loop, name=name) for name, loop in self._loops()]
            notify_systemd("READY=1")
            _log.info(
                "agent %s runs: %d devices, journal epoch %s",
                self.settings.agent.id,
                len(self._pollers),
                self._journal.epoch,
            )
            stopping = asyncio.create_task(stop.wait(), name="stop")
            done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            notify_systemd("STOPPING=1")
            await self._end([stopping, *tasks])
            for task in done - {stopping}:
                # A loop never ends by itself: say why, and let the exit code tell systemd.
                raise RuntimeError(f"the {task.get_name()} loop ended") from task.exception()

    def _open(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        # Callbacks run last in, first out: uplink, then journal, then the databases.
        database = StateDatabase(settings.data_dir / "state.sqlite")
        stack.callback(database.close)
        self._state = StateStore(database, self.clock)
        self._intervals = IntervalStore(database)
        self._journal = Journal(settings.data_dir / "journal.sqlite", settings.journal, self.clock)
        stack.callback(self._journal.close)
        self._uplink = Uplink(
            settings.agent.id,
            self._journal,
            settings.mqtt,
            settings.uplink,
            status=self._status,
            reconnect=settings.reconnect,
        )
        stack.callback(self._uplink.close)
        self._updater = self._open_updater()
        self._engine = ForecastEngine(
            settings.agent.id,
            settings.site,
            self._intervals,
            self._state,
            self._updater or NoBundle(),
        )
        buses = Buses()
        stack.push_async_callback(buses.close)
        for device in settings.devices:
            driver = open_driver(device.link(), buses, is_daylight=self._is_daylight)
            stack.push_async_callback(driver.close)
            poll_ms = int(device.poll_s * 1000)
            self._pollers.append(
                DevicePoller(driver, poll_ms, self.clock, self._on_record, self._on_alert)
            )
        self._status_file = StatusFile(settings.data_dir)

    def _open_updater(self) -> Updater | None:
        if self.settings.bundles is None:
            return None
        source = RetainedSource(
            self._uplink.fetch_retained,
            asyncio.get_running_loop(),
            self.settings.bundles.answer_timeout_s,
        )
        updater = Updater(
            self.settings.bundles,
            source,
            self._state,
            spec_digest=current_spec().digest,
            cpu=current_cpu(),
            agent_version=agent_version(),
        )
        updater.recover_at_start()
        self._uplink.watch(_ANNOUNCEMENT, lambda _topic, _payload: self._update_wanted.set())
        return updater

    def _loops(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        watch = self._watchdog.watch
        loops: list[tuple[str, Coroutine[Any, Any, None]]] = [
            ("uplink", self._uplink.run()),
            ("intervals", self._interval_loop(watch("intervals", 1200.0))),
            ("status", self._status_loop(watch("status", 120.0))),
            ("watchdog", self._watchdog.run()),
        ]
        for poller, device in zip(self._pollers, self.settings.devices, strict=True):
            deadline = 120.0 + 2 * device.poll_s
            progress = watch(f"poll {device.name}", deadline)
            loops.append((progress.name, poller.run(progress)))
        if self._updater is not None:
            loops.append(("updater", self._update_loop(self._updater)))
        return loops

    async def _end(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Stop reading, keep what was read, and say goodbye last: with everything counted."""
        uplink = next(task for task in tasks if task.get_name() == "uplink")
        others = [task for task in tasks if task is not uplink]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # What was read since the last whole interval is in the journal; the intervals keep theirs.
        self._store(self._builder.complete(floor_to_step(self.clock.now())))
        await asyncio.to_thread(self._journal.flush)
        self._status_file.write(self._status(False), self._last_forecast)
        self._uplink.close()
        with suppress(TimeoutError, Exception):
            await asyncio.wait_for(uplink, _GOODBYE_S)

    # --- what the loops do ---------------------------------------------------------------------

    def _on_record(self, record: Record) -> None:
        self._journal.append(Kind.RECORD, record.device, record.measured_at, record_to_json(record))
        self._builder.add(record)
        self._status_file.note(record)

    def _on_alert(self, alert: Alert) -> None:
        self._journal.append(Kind.ALERT, alert.device, alert.timestamp, alert_to_json(alert))

    async def _interval_loop(self, progress: Progress) -> None:
        settle = int(STEP_MS * SETTLE_SHARE)
        while True:
            due = next_step(self.clock.now() - settle)
            await self.clock.sleep_until(due + settle)
            self._store(self._builder.complete(due))
            # The newest boundary that has passed: after a stall old forecasts help nobody.
            await self._forecast(floor_to_step(self.clock.now() - settle))
            progress.mark()

    def _store(self, intervals: list[Interval]) -> None:
        by_start: dict[Instant, list[Interval]] = {}
        for interval in intervals:
            by_start.setdefault(interval.start, []).append(interval)
        rows = list(intervals)
        name, roles = self.settings.agent.id, self.settings.roles
        for start, devices in by_start.items():
            count = min((row.count for row in devices if row.device in roles), default=0)
            for quantity, value in site_interval(devices, roles).items():
                rows.append(Interval(start, name, quantity, value, count))
            for row in devices:  # site sensors
                if row.quantity in ("temp_air", "ghi") and row.value is not None:
                    rows.append(Interval(start, name, row.quantity, row.value, row.count))
        self._intervals.upsert({(r.start, r.device, r.quantity): r for r in rows}.values())

    async def _forecast(self, now: Instant) -> None:
        forecast = await asyncio.to_thread(self._engine.issue, now)
        self._journal.append(
            Kind.FORECAST, forecast.site, forecast.issued_at, forecast_to_json(forecast)
        )
        self._last_forecast = forecast

    async def _update_loop(self, updater: Updater) -> None:
        assert self.settings.bundles is not None
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    self._update_wanted.wait(), self.settings.bundles.check_every_s
                )
            self._update_wanted.clear()
            if not self._uplink.connected:
                continue
            outcome = await asyncio.to_thread(updater.check)
            if outcome.result is UpdateResult.REFUSED:
                _log.error("bundle %s refused: %s", outcome.bundle, outcome.reason)
            self._uplink.publish_status()

    async def _status_loop(self, progress: Progress) -> None:
        while True:
            self._uplink.publish_status()
            self._status_file.write(self._status(True), self._last_forecast)
            progress.mark()
            await asyncio.sleep(self.settings.agent.status_every_s)

    def _status(self, online: bool) -> Status:
        counters = self._journal.counts() | self._uplink.counts()
        for poller in self._pollers:
            for name, count in vars(poller.counters).items():
                counters[f"{poller.driver.name}_{name}"] = count
        return Status(
            agent=self.settings.agent.id,
            timestamp=self.clock.now(),
            online=online,
            version=agent_version(),
            epoch=self._journal.epoch,
            first_seq=self._journal.first_seq,
            bundle=self._updater.status() if self._updater else BundleStatus(),
            counters=counters,
        )

    def _is_daylight(self, instant: Instant) -> bool:
        site = self.settings.site
        return bool(solar_position(instant, site.latitude, site.longitude).elevation > 0)


async def run_until_signalled(start: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run ``start(stop)`` and set ``stop`` at SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await start(stop)
