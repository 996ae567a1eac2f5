"""The composition root of the agent: builds the rooms, wires them, starts and stops them.

Loops: one poller per device, the interval loop that also forecasts, uplink, updater, status, and
the watchdog over all of them. A loop that fails ends the agent (systemd starts it again); a device,
broker, bundle, forecast or full disk does not. What waits for the card runs in one worker thread,
one thing after the other, so that a card that stalls for seconds delays no poll.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from firmware_bridge import Buses, Link, link_of, open_driver
from firmware_bridge.flight import DumpLimit
from firmware_bridge.serial_ports import stable_name
from models.contract.clock import Clock, open_clock
from models.contract.forecast import Forecast
from models.contract.messages import Alert, BundleStatus, Kind, Status
from models.contract.payload import alert_to_json, forecast_to_json, record_to_json
from models.contract.record import Record
from models.contract.timestamps import (
    STEP_MS,
    Instant,
    floor_to_step,
    format_iso8601,
    next_step,
)
from models.contract.topics import bundle_topic
from models.features.solar_geometry import solar_position
from models.features.spec import current_spec
from models.runtimes.elf import current_cpu

from .devices.acquisition import LONGEST_PAUSE_S, LONGEST_POLL_S, DevicePoller
from .devices.flight_files import FlightFiles
from .devices.tables import check_lines
from .errors import TransportUnavailable
from .forecasting.engine import ForecastEngine, NoBundle
from .forecasting.interval_keeper import IntervalKeeper
from .forecasting.interval_store import IntervalStore
from .journal.journal import Journal
from .pacing import wait_for_turn
from .settings import EdgeSettings
from .status.status_file import StatusFile
from .storage.state_store import StateDatabase, StateStore
from .supervision import Progress, Watchdog, notify_systemd
from .updating.bundle_source import RetainedSource
from .updating.updater import Updater, UpdateResult
from .uplink.uplink import Uplink

_log = logging.getLogger(__name__)
T = TypeVar("T")

SETTLE_SHARE = 0.02
"""Share of an interval to wait after its end for polls that are under way."""
_GOODBYE_S = 10.0
_SLACK_S = 120.0
"""Added to how long a loop may take, before it counts as stuck."""
_LONGEST_CHECK_S = 7200.0
_START_S = 900
"""Checking a large journal on a slow card takes minutes."""
_RUINED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
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
        self._watchdog = Watchdog(self.clock.monotonic)
        self._dump_limit = DumpLimit()
        self._flight_files = FlightFiles(settings.data_dir)
        self._pollers: list[DevicePoller] = []
        self._last_forecast: Forecast | None = None
        self._update_wanted = asyncio.Event()
        self._announced = b""
        self._fetches: set[asyncio.Task[Any]] = set()
        self._ending = False
        self._forecast_failures = 0
        self._complaint = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set; nothing that was read is lost by stopping."""
        async with AsyncExitStack() as stack:
            notify_systemd(f"EXTEND_TIMEOUT_USEC={_START_S * 1_000_000}")
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
        # Ends before the database closes under it.
        self._worker = stack.enter_context(ThreadPoolExecutor(1, "card"))
        self._state = StateStore(database, self.clock)
        intervals = IntervalStore(database)
        self._journal = Journal(settings.data_dir / "journal.sqlite", settings.journal, self.clock)
        stack.callback(self._journal.close)
        self._keeper = IntervalKeeper(settings.agent.id, settings.roles, intervals)
        self._resume()
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
            intervals,
            self._state,
            self._updater or NoBundle(),
        )
        self._open_devices(stack)
        self._status_file = StatusFile(settings.data_dir)

    def _open_devices(self, stack: AsyncExitStack) -> None:
        for line, share in check_lines(self.settings.devices).items():
            _log.info("%s: the poll plan takes %.0f %% of the line's time", line, 100 * share)
        self._buses = Buses()
        stack.push_async_callback(self._buses.close)
        for device in self.settings.devices:
            if device.serial_port and (name := stable_name(device.serial_port)) is not None:
                _log.warning(
                    "device %s: %s may be another port after the next plugging; use %s",
                    device.name, device.serial_port, name,
                )  # fmt: skip
            link = device.link()
            driver = open_driver(link, self._buses, is_daylight=self._is_daylight)
            stack.push_async_callback(driver.close)
            self._pollers.append(
                DevicePoller(
                    driver,
                    int(device.poll_s * 1000),
                    self.clock,
                    self._on_record,
                    self._on_alert,
                    is_daylight=self._is_daylight,
                    on_anomaly=partial(self._on_anomaly, link_of(link)),
                )
            )

    def _open_updater(self) -> Updater | None:
        if self.settings.bundles is None:
            return None
        source = RetainedSource(
            self._fetch_retained,
            asyncio.get_running_loop(),
            self.settings.bundles.answer_timeout_s,
        )
        try:
            updater = Updater(
                self.settings.bundles,
                source,
                self._state,
                spec_digest=current_spec().digest,
                cpu=current_cpu(),
                agent_version=agent_version(),
            )
            updater.recover_at_start()
        except (OSError, ValueError) as error:
            directory = self.settings.bundles.directory
            _log.error("%s cannot be used, going on without bundles: %s", directory, error)
            return None
        self._uplink.watch(_ANNOUNCEMENT, self._on_announcement)
        return updater

    def _loops(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        watch = self._watchdog.watch
        loops: list[tuple[str, Coroutine[Any, Any, None]]] = [
            ("uplink", self._uplink.run()),
            ("intervals", self._interval_loop(watch("intervals", 1200.0))),
            ("status", self._status_loop(watch("status", self._status_deadline_s()))),
            ("watchdog", self._watchdog.run()),
        ]
        watch("uplink", _SLACK_S, lambda: self._uplink.progress_at)
        for poller, device in zip(self._pollers, self.settings.devices, strict=True):
            deadline = _SLACK_S + LONGEST_POLL_S + LONGEST_PAUSE_S + 2 * device.poll_s
            progress = watch(f"poll {device.name}", deadline)
            loops.append((progress.name, poller.run(progress)))
        if self._updater is not None and self.settings.bundles is not None:
            deadline = self.settings.bundles.check_every_s + _LONGEST_CHECK_S
            loops.append(("updater", self._update_loop(self._updater, watch("updater", deadline))))
        return loops

    def _status_deadline_s(self) -> float:
        return _SLACK_S + 2 * self.settings.agent.status_every_s

    async def _end(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Stop reading, keep what was read, and say goodbye last: with everything counted."""
        uplink = next(task for task in tasks if task.get_name() == "uplink")
        others = [task for task in tasks if task is not uplink]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # A check for bundles waits in a thread for what nobody will bring any more.
        self._ending = True
        for fetch in self._fetches:
            fetch.cancel()
        # What was read since the last whole interval is in the journal; the next start takes it up.
        try:
            self._keeper.complete(floor_to_step(self.clock.now()))
            await self._in_worker(self._keeper.store)
        except Exception as error:
            _log.warning("the last intervals could not be stored: %s", error)
        await asyncio.to_thread(self._journal.flush)
        try:
            await self._write_status(online=False)
        except Exception as error:
            _log.warning("the last status could not be written: %s", error)
        self._uplink.close()
        with suppress(Exception):  # TimeoutError too: goodbye is a courtesy
            await asyncio.wait_for(uplink, _GOODBYE_S)

    async def _in_worker(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, *arguments)

    # --- what the loops do ---------------------------------------------------------------------

    def _on_record(self, record: Record) -> None:
        self._journal.append(Kind.RECORD, record.device, record.measured_at, record_to_json(record))
        self._keeper.add(record)
        self._status_file.note(record)

    def _on_alert(self, alert: Alert) -> None:
        self._journal.append(Kind.ALERT, alert.device, alert.timestamp, alert_to_json(alert))

    def _on_anomaly(self, link: Link, reason: str) -> None:
        bus = self._buses.find(link)
        if bus is None or not self._dump_limit.allows(bus.link.name):
            return
        now = self.clock.now()
        text = bus.recorder.to_text(reason, now)
        self._worker.submit(self._flight_files.write, bus.link.name, text, now)

    async def _interval_loop(self, progress: Progress) -> None:
        settle = int(STEP_MS * SETTLE_SHARE)
        while True:
            due = next_step(self.clock.now() - settle) + settle
            if await wait_for_turn(self.clock, due, STEP_MS):
                # The newest boundary that has passed: after a stall old forecasts help nobody.
                await self._turn_of_interval(floor_to_step(self.clock.now() - settle))
            progress.mark()

    async def _turn_of_interval(self, boundary: Instant) -> None:
        """Store what ended at ``boundary`` and forecast from there; one may fail and not both."""
        try:
            self._keeper.complete(boundary)
            await self._in_worker(self._keeper.store)
        except Exception as error:
            self._give_up_if_ruined(error)
            _log.exception("intervals could not be stored; they are tried again")
        try:
            forecast = await self._in_worker(self._engine.issue, boundary)
            self._journal.append(
                Kind.FORECAST, forecast.site, forecast.issued_at, forecast_to_json(forecast)
            )
            self._last_forecast = forecast
        except Exception as error:
            self._give_up_if_ruined(error)
            self._forecast_failures += 1
            _log.exception("no forecast at %s; the next is tried", format_iso8601(boundary))

    def _give_up_if_ruined(self, error: Exception) -> None:
        """A damaged ``state.sqlite`` is set aside at a start only: end in good order."""
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _RUINED:
            raise error

    def _resume(self) -> None:
        try:
            taken = self._keeper.resume(
                self._journal.reader, self._journal.last_seq, self.clock.now()
            )
        except sqlite3.Error as error:
            _log.error("%s: open intervals begin anew: %s", self._journal.path, error)
            return
        if taken:
            _log.info("%d records of intervals that were not stored yet are taken up", taken)

    def _on_announcement(self, _topic: str, payload: bytes) -> None:
        # A check reads this very topic, and its subscription brings it here again: only news count.
        if payload != self._announced:
            self._announced = payload
            self._update_wanted.set()

    async def _fetch_retained(self, topic_filter: str, timeout_s: float) -> dict[str, bytes]:
        """As the uplink's, but an agent that ends waits for nobody."""
        task = asyncio.current_task()
        assert task is not None
        if self._ending:
            raise TransportUnavailable(f"{topic_filter}: the agent is ending")
        self._fetches.add(task)
        try:
            return await self._uplink.fetch_retained(topic_filter, timeout_s)
        finally:
            self._fetches.discard(task)

    async def _update_loop(self, updater: Updater, progress: Progress) -> None:
        assert self.settings.bundles is not None
        while True:
            progress.mark()
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    self._update_wanted.wait(), self.settings.bundles.check_every_s
                )
            self._update_wanted.clear()
            if not self._uplink.connected:
                self._announced = b""  # it will be told again with the next connection
                continue
            outcome = await asyncio.to_thread(updater.check)
            if outcome.result is UpdateResult.REFUSED:
                _log.error("bundle %s refused: %s", outcome.bundle, outcome.reason)
            if outcome.result is UpdateResult.UNREACHABLE:
                self._announced = b""
            try:
                self._uplink.publish_status()
            except Exception:
                _log.exception("the status could not be published")

    async def _status_loop(self, progress: Progress) -> None:
        while True:
            try:
                self._uplink.publish_status()
                await self._write_status(online=True)
                self._complaint = ""
            except Exception as error:  # a full disk, mostly: said once, not every time
                if str(error) != self._complaint:
                    _log.exception("the status could not be told; the agent goes on")
                self._complaint = str(error)
            progress.mark()
            await asyncio.sleep(self.settings.agent.status_every_s)

    async def _write_status(self, *, online: bool) -> None:
        await self._in_worker(self._status_file.write, self._status(online), self._last_forecast)

    def _status(self, online: bool) -> Status:
        counters = self._journal.counts() | self._uplink.counts()
        counters["forecast_failures"] = self._forecast_failures
        for poller in self._pollers:
            for name, count in vars(poller.counters).items():
                counters[f"{poller.driver.name}_{name}"] = count
        counters |= self._line_counters()
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

    def _line_counters(self) -> dict[str, int]:
        counters: dict[str, int] = {}
        for name, bus in self._buses.all().items():
            counts = bus.counters
            counters[f"{name} utilisation_percent"] = round(100 * bus.utilisation())
            counters[f"{name} requests"] = counts.requests
            counters[f"{name} fences"] = counts.fences
            for fault, count in counts.faults.items():
                counters[f"{name} {fault}"] = count
        return counters

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
