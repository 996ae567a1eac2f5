"""The composition root of the agent: opens its parts, wires them, and puts workers over them.

Workers: one poller per device, intervals and forecasts, uplink, updater, ledger, clock, status, and
resources. One that fails or stands still is started again, then the process (``supervision``); a
device, broker, bundle, forecast or full disk ends neither. What waits for the card runs in one
worker thread, one thing after the other, so that a card that stalls for seconds delays no poll.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from firmware_bridge import Buses, Link, link_of, open_driver
from firmware_bridge.flight import DumpLimit
from firmware_bridge.serial_ports import stable_name
from models.contract import topics
from models.contract.clock import Clock, open_clock
from models.contract.messages import BundleStatus, SeqRange
from models.contract.record import Record
from models.contract.timestamps import Instant, parse_iso8601
from models.features.solar_geometry import solar_position
from models.features.spec import current_spec
from models.runtimes.elf import current_cpu

from .clock.keeper import ClockKeeper, open_watch
from .clock.kernel_time import seconds_since_boot
from .devices.acquisition import LONGEST_PAUSE_S, LONGEST_POLL_S, DevicePoller
from .devices.flight_files import FlightFiles
from .devices.tables import check_lines
from .forecasting.cycle import ForecastCycle
from .forecasting.engine import ForecastEngine, NoBundle
from .forecasting.interval_keeper import IntervalKeeper
from .forecasting.interval_store import IntervalStore
from .forecasting.weather_keeper import WeatherKeeper
from .home_assistant import HomeAssistant, describe_devices
from .journal.boot import boot_id
from .journal.journal import Journal
from .journal.thinning import KeptRow
from .ledger.ledger import Ledger
from .ledger.loop import LedgerLoop
from .local_zone import local_zone
from .settings import EdgeSettings
from .status.agent_alerts import AgentAlerts
from .status.agent_facts import AgentFacts
from .status.day_band import DayBand
from .status.local_page import open_local_page
from .status.reporter import StatusReporter
from .status.standing_alerts import StandingAlerts
from .status.status_file import Snapshot, StatusFile
from .storage.state_store import StateDatabase, StateStore
from .supervision import (
    Busy,
    LoopGuard,
    ResourceCheck,
    Supervisor,
    UsageReader,
    notify_systemd,
)
from .updating.bundle_source import RetainedSource
from .updating.loop import RetainedFetches, UpdateLoop
from .updating.updater import Updater
from .uplink.uplink import Uplink

_log = logging.getLogger(__name__)
T = TypeVar("T")

_GOODBYE_S = 10.0
_SLACK_S = 120.0
"""Added to how long a loop may take, before it counts as stuck."""
_INTERVALS_S = 1200.0
_CARD_STALL_S = 600.0
"""A card that does not answer for longer than this does not answer any more."""
_LONGEST_CHECK_S = 7200.0
_START_S = 900
"""Checking a large journal on a slow card takes minutes."""
_LAST_WORDS_S = 8.0
NOT_BEFORE = parse_iso8601("2026-11-27T00:00:00Z")
"""This version was not there before; a clock that says so is wrong."""


def agent_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("solar-sharing")
    except PackageNotFoundError:
        return "0.0.0"


class Agent:
    """A running site."""

    def __init__(
        self, settings: EdgeSettings, clock: Clock | None = None, guard: LoopGuard | None = None
    ) -> None:
        """``guard``: a thread that ends the process when this loop does not turn any more."""
        self.settings = settings
        self.clock = clock or open_clock(settings.agent.clock_anchor)
        self._guard = guard
        self._dump_limit = DumpLimit()
        self._flight_files = FlightFiles(settings.data_dir)
        self._pollers: list[DevicePoller] = []
        self._card = Busy(self.clock.monotonic)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set; nothing that was read is lost by stopping.

        Raises:
            WorkerFailed: something is beyond help; only a new process helps.
        """
        async with AsyncExitStack() as stack:
            notify_systemd(f"EXTEND_TIMEOUT_USEC={_START_S * 1_000_000}")
            self._open(stack)
            supervisor = self._supervisor()
            notify_systemd("READY=1")
            _log.info(
                "agent %s runs: %d devices, journal epoch %s",
                self.settings.agent.id,
                len(self._pollers),
                self._journal.epoch,
            )
            stopping = asyncio.create_task(stop.wait(), name="stop")
            supervising = asyncio.create_task(supervisor.run(), name="supervisor")
            try:
                await asyncio.wait([stopping, supervising], return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                supervising.cancel()
                with suppress(asyncio.CancelledError):
                    await supervising

    # --- opening -------------------------------------------------------------------------------

    def _open(self, stack: AsyncExitStack) -> None:
        settings, clock = self.settings, self.clock
        # Callbacks run last in, first out: uplink, then journal, then the databases.
        database = StateDatabase(settings.data_dir / "state.sqlite")
        stack.callback(database.close)
        # Ends before the database closes under it.
        self._worker = stack.enter_context(ThreadPoolExecutor(1, "card"))
        self._state = StateStore(database, clock)
        watch = open_watch(
            clock,
            settings.clock,
            self._state,
            scaled=settings.agent.clock_anchor is not None,
            not_before=NOT_BEFORE,
            boot_id=boot_id(),
        )
        self._journal = Journal(
            settings.data_dir / "journal.sqlite",
            settings.journal,
            clock,
            watch.look,
            None if settings.agent.clock_anchor else seconds_since_boot,
            alone=True,
        )
        stack.callback(self._journal.close)
        self._alerts = AgentAlerts(
            settings.agent.id,
            clock,
            self._journal,
            StandingAlerts(self._state),
            soon=self._worker.submit,
        )
        self._ledger = Ledger(database, is_trusted=lambda: watch.look().trusted)
        self._ledger.resume(
            self._journal.reader,
            {device.name: int(device.poll_s * 1000) for device in settings.devices},
            clock.now(),
        )
        self._reporter = StatusReporter(
            settings.agent.id,
            agent_version(),
            clock,
            self._journal,
            StatusFile(settings.run_dir, settings.data_dir),
            every_s=settings.agent.status_every_s,
            in_worker=self._in_worker,
        )
        self._uplink = Uplink(
            settings.agent.id,
            self._journal,
            settings.mqtt,
            settings.uplink,
            status=self._reporter.status,
            reconnect=settings.reconnect,
        )
        stack.callback(self._uplink.close)
        self._fetches = RetainedFetches(self._uplink)
        self._updater = self._open_updater()
        self._intervals = intervals = IntervalStore(database)
        self._weather = WeatherKeeper(settings.agent.id, settings.site, self._state)
        self._uplink.session.watch(topics.build(settings.agent.id, "weather"), self._on_weather)
        self._cycle = ForecastCycle(
            IntervalKeeper(settings.agent.id, settings.roles, intervals),
            ForecastEngine(
                settings.agent.id,
                settings.site,
                intervals,
                self._state,
                self._updater or NoBundle(),
                self._weather.series,
                local_zone(settings.agent.timezone, settings.site.longitude),
            ),
            self._journal,
            clock,
            is_trusted=lambda: self._clock_keeper.trusted,
            in_worker=self._in_worker,
        )
        self._clock_keeper = ClockKeeper(
            settings.agent.id,
            watch,
            clock,
            settings.clock,
            self._journal,
            self._state,
            connected=lambda: self._uplink.connected,
            on_alert=self._alerts.note,
            in_worker=self._in_worker,
        )
        self._band = DayBand()
        self._cycle.on_forecast = self._band.note
        self._clock_keeper.on_trusted = self._cycle.trusted
        self._listen_to_journal()
        self._home = self._open_home_assistant()
        self._open_devices(stack)
        self._usage = ResourceCheck(settings.resources, reader := UsageReader())
        stack.callback(reader.close)
        self._fill_status()
        if self._home is not None:
            self._alerts.listeners.append(self._home.note_alert)
        self._alerts.start()
        self._clock_keeper.start()

    def _on_weather(self, _topic: str, payload: bytes) -> None:
        self._worker.submit(self._weather.received, payload)

    def _listen_to_journal(self) -> None:
        loop = asyncio.get_running_loop()

        def in_loop(work: Callable[..., object], *arguments: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(work, *arguments)

        self._journal.on_commit(self._ledger.committed)

        def thinned(rows: Sequence[KeptRow], left: int) -> None:
            self._ledger.replaced(rows, left)
            in_loop(self._alerts.thinned, len(rows))

        self._journal.on_thinned(thinned)
        self._journal.on_corrected(lambda ranges: in_loop(self._on_corrected, list(ranges)))

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
                    self._alerts.note,
                    is_daylight=self._is_daylight,
                    on_anomaly=partial(self._on_anomaly, link_of(link)),
                    on_turns=self._ledger.count,
                )
            )

    def _open_updater(self) -> Updater | None:
        if self.settings.bundles is None:
            return None
        source = RetainedSource(
            self._fetches.fetch,
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
        return updater

    def _open_home_assistant(self) -> HomeAssistant | None:
        settings = self.settings.home_assistant
        if settings is None:
            return None
        return HomeAssistant(
            settings,
            self.settings.agent.id,
            self.settings.site,
            describe_devices(self.settings.devices),
            agent_version(),
            self.clock,
            load=lambda: self._state.get("home_assistant"),
            save=lambda value: self._state.put("home_assistant", value),
        )

    def _fill_status(self) -> None:
        self._facts = AgentFacts(
            agent_version(),
            self.clock,
            self._reporter,
            self._journal,
            self._uplink,
            self._clock_keeper,
            self._cycle,
            self._usage,
            self._alerts.board,
            self._pollers,
            self._buses,
        )
        self._reporter.uplink = self._uplink
        self._reporter.bundle = self._updater.status if self._updater else BundleStatus
        self._reporter.ledger = lambda: self._ledger.rows(self.clock.now())
        self._reporter.forecast = lambda: self._cycle.last
        self._reporter.clock_state = self._facts.clock_state
        self._reporter.devices = self._facts.devices
        self._reporter.on_snapshot = self._on_snapshot

    # --- workers -------------------------------------------------------------------------------

    def _supervisor(self) -> Supervisor:
        settings = self.settings
        supervisor = Supervisor(
            self.clock.monotonic,
            settings.supervision,
            on_restart=self._alerts.restarted,
            on_well=self._alerts.well,
            farewell=self._farewell,
            guard=self._guard,
        )
        if self._guard is not None:
            self._guard.last_words = lambda: self._journal.flush(_LAST_WORDS_S)
        add, watch = supervisor.add, supervisor.watch
        add(
            "uplink",
            lambda progress: self._uplink.run(),
            _SLACK_S,
            marked=lambda: self._uplink.progress_at,
            leaves_last=True,
        )
        add("intervals", self._cycle.run, _INTERVALS_S)
        patience = _SLACK_S + _CARD_STALL_S  # these wait for the card
        add("status", self._reporter.run, patience + 2 * settings.agent.status_every_s)
        add("clock", self._clock_keeper.run, patience)
        ledger = LedgerLoop(
            self._ledger,
            self._journal,
            self.clock,
            status=self._reporter.status,
            is_trusted=lambda: self._clock_keeper.trusted,
            in_worker=self._in_worker,
        )
        self._ledger_loop = ledger
        add("ledger", ledger.run, patience)
        add("resources", self._usage.run, _SLACK_S)
        for poller, device in zip(self._pollers, settings.devices, strict=True):
            deadline = _SLACK_S + LONGEST_POLL_S + LONGEST_PAUSE_S + 2 * device.poll_s
            add(f"poll {device.name}", poller.run, deadline, essential=False)
        if self._updater is not None and settings.bundles is not None:
            self._updates = UpdateLoop(
                self._updater,
                self._uplink,
                settings.bundles.check_every_s,
                on_checked=self._uplink.publish_status,
            )
            deadline = settings.bundles.check_every_s + _LONGEST_CHECK_S
            add("updater", self._updates.run, deadline, essential=False)
        if self._home is not None:
            add("home-assistant", self._home.run, _SLACK_S, essential=False)
        if settings.local.enabled:
            local = open_local_page(
                settings.local,
                self._reporter.snapshot,
                lambda: self._facts.metrics(supervisor),
                clock=self.clock,
                measured=self._measured,
                band=self._band,
                alerts=self._alerts.board.alerts,
                roles=settings.roles,
            )
            add("local page", local.run, _SLACK_S, essential=False)
        watch("journal-writer", _CARD_STALL_S, self._journal.busy.moved_at)
        watch("card", _CARD_STALL_S, self._card.moved_at)
        self._reporter.counters = (
            self._facts.counters,
            supervisor.counts,
            self._usage.counts,
            lambda: dict(self._home.counters) if self._home else {},
        )
        return supervisor

    async def _farewell(self) -> None:
        """Nobody reads any more: keep what was read, and say goodbye last, with all counted."""
        # A check for bundles waits in a thread for what nobody will bring any more.
        self._fetches.end()
        for work, what in (
            (self._cycle.finish, "the last intervals could not be stored"),
            (self._flush, "the journal could not be written"),
            (self._ledger_loop.save, "the ledger could not be saved"),
            (partial(self._clock_keeper.save, at_once=True), "the clock's mark could not be saved"),
            (partial(self._reporter.write, online=False), "the last status could not be written"),
        ):
            try:
                await work()
            except Exception as error:
                _log.warning("%s: %s", what, error)
        self._uplink.close()

    async def _flush(self) -> None:
        await asyncio.to_thread(self._journal.flush)

    async def _in_worker(self, work: Callable[..., T], *arguments: Any) -> T:
        def busy() -> T:
            with self._card:
                return work(*arguments)

        return await asyncio.get_running_loop().run_in_executor(self._worker, busy)

    # --- what happens --------------------------------------------------------------------------

    def _on_record(self, record: Record) -> bool:
        taken = self._journal.append_record(record)
        self._cycle.add(record)
        self._reporter.note(record)
        if self._home is not None:
            self._home.note_record(record)
        return taken

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        self._alerts.look()
        if self._home is None:
            return
        trusted = snapshot.clock.trusted if snapshot.clock else None
        self._home.note_status(
            snapshot.status, clock_trusted=trusted, last_ack_s=snapshot.last_ack_s
        )
        if snapshot.forecast is not None:
            self._home.note_forecast(snapshot.forecast)

    def _on_anomaly(self, link: Link, reason: str) -> None:
        bus = self._buses.find(link)
        if bus is None or not self._dump_limit.allows(bus.link.name):
            return
        now = self.clock.now()
        text = bus.recorder.to_text(reason, now)
        self._worker.submit(self._flight_files.write, bus.link.name, text, now)

    def _on_corrected(self, ranges: list[SeqRange]) -> None:
        task = asyncio.create_task(self._take_up(ranges), name="corrected times")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_up(self, ranges: list[SeqRange]) -> None:
        try:
            await self._cycle.corrected(ranges, partial(self._in_worker, self._ledger.corrected))
            await self._ledger_loop.save()
        except Exception:
            _log.exception("records whose time was corrected could not be taken up")

    async def _measured(self, start: Instant, end: Instant) -> Iterable[float]:
        """Mean power of the site, for the local page."""
        site = self.settings.agent.id
        return await self._in_worker(self._intervals.series, site, "ac_power", start, end)

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
