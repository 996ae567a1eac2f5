"""Polling: one loop per device, records into the journal and the interval builder.

Decides when a device is asked and what becomes of an answer that did not come: nothing but a count,
an alert, or at night the record of a device asleep. Every turn of the grid is told to have one
outcome. How a device is doing is judged by ``firmware_bridge.health``, the order on a shared line
by its bus, what is believable by the drivers, why turns passed by ``turns``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.logs import tag_log
from edge_agent.pacing import wait_for_turn
from edge_agent.supervision import Progress
from firmware_bridge import (
    DeviceError,
    Driver,
    Fault,
    Health,
    News,
    PermanentDeviceError,
    State,
    TransientDeviceError,
)
from models.contract.checks import clip_text
from models.contract.clock import Clock
from models.contract.ledger import Reason
from models.contract.messages import Alert, Severity
from models.contract.record import Record
from models.contract.timestamps import MINUTE_MS, Instant

from .turns import Turns

_log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 330.0
"""Real seconds between two tries at a device that does not answer, at most."""
LONGEST_POLL_S = 300.0
"""Real seconds for one poll, waiting for the line included: a device that answers each of many
requests at the last moment is silent, too."""
_LONGEST_SLEEP_MS = 15 * MINUTE_MS
OnTurns = Callable[[str, Instant, Reason | None, int], None]
"""Called with device, first turn, why there is no record (None: one was handed on), and how many
turns in a row this is the outcome of. Each turn is told once, in the event loop."""
_SILENCES = (Fault.TIMEOUT, Fault.LINK)
_ALERTS = {State.DEAD: "device-silent", State.OVERSLEPT: "device-asleep-by-day"}


@dataclass
class DeviceCounters:
    """What became of the polls of one device."""

    polls: int = 0
    failures: int = 0
    skipped: int = 0
    """Turns that passed without a poll: an earlier one was under way, a dead device was left alone,
    or the clock jumped."""
    asleep: int = 0
    """Turns at which the device was left to sleep, or found asleep."""


class DevicePoller:
    """Polls one device on its own schedule, whatever other devices do."""

    def __init__(
        self,
        driver: Driver,
        poll_ms: int,
        clock: Clock,
        on_record: Callable[[Record], bool | None],
        on_alert: Callable[[Alert], None],
        *,
        is_daylight: Callable[[Instant], bool] | None = None,
        on_anomaly: Callable[[str], None] = lambda reason: None,
        on_turns: OnTurns = lambda device, at, reason, turns: None,
        clock_speed: float | None = None,
    ) -> None:
        """``on_record``: False when there was no room for it. ``on_anomaly``: told of every failure
        that is not silence, for the flight recorder. ``clock_speed``: see ``Turns``."""
        self.driver, self.counters = driver, DeviceCounters()
        self.health = Health(sleeps=driver.sleeps, is_daylight=is_daylight)
        self._poll_ms, self._clock = poll_ms, clock
        self._on_record, self._on_alert, self._on_anomaly = on_record, on_alert, on_anomaly
        self._on_turns, self._clock_speed = on_turns, clock_speed
        self._alert_code: str | None = None
        self._sleeps_until: Instant | None = None
        self._left_alone_until = 0.0  # real time
        self.last_error: str | None = None

    async def run(self, progress: Progress) -> None:
        """Poll until cancelled."""
        tag_log(device=self.driver.name)
        # Polls lie on their own grid, so that a slow reply does not shift all later ones.
        grid = Turns(self._poll_ms, self._clock, speed=self._clock_speed)
        held_by = Reason.BUSY
        while True:
            if not await wait_for_turn(self._clock, grid.due(), self._poll_ms):
                grid.begin()  # the clock was set back: its turns come again
                continue
            at, missed = grid.take(held_by)
            for first, reason, turns in missed:
                self.counters.skipped += turns
                self._tell_turns(first, reason, turns)
            if self._is_left_to_sleep():
                outcome = self._keep_asleep(at)
            else:
                outcome = await self.poll_once(at)
            self._tell_turns(at, outcome, 1)
            progress.mark()
            if self.health.state is not State.ASLEEP:
                await asyncio.sleep(self.health.pause_s(self._poll_ms / 1000))
            is_dead = outcome is Reason.DEAD or self.health.state in _ALERTS
            held_by = Reason.DEAD if is_dead else Reason.BUSY

    async def poll_once(self, at: Instant | None = None) -> Reason | None:
        """One poll, for the time ``at`` (default: now); None when its record was handed on."""
        at = self._clock.now() if at is None else at
        self.counters.polls += 1
        try:
            async with asyncio.timeout(LONGEST_POLL_S):
                record = await self.driver.poll(at)
            taken = self._on_record(record)
        except DeviceError as error:
            return self._failed(error, at)
        except TimeoutError:
            text = f"a poll took longer than {LONGEST_POLL_S:g} s"
            return self._failed(TransientDeviceError(text), at)
        except Exception as error:  # our mistake, or an answer nobody thought of: others go on
            if self.last_error is None:
                _log.exception("device %s: a poll failed in an unforeseen way", self.driver.name)
            return self._failed(TransientDeviceError(f"{type(error).__name__}: {error}"), at)
        self._sleeps_until = None
        self.last_error = None
        self._tell(self.health.answered(self._clock.now()))
        return Reason.REFUSED if taken is False else None

    def _tell_turns(self, at: Instant, outcome: Reason | None, turns: int) -> None:
        try:
            self._on_turns(self.driver.name, at, outcome, turns)
        except Exception:
            _log.exception("device %s: the outcome of a turn was not counted", self.driver.name)

    # -- a device asleep

    def _is_left_to_sleep(self) -> bool:
        if self.health.state is State.ASLEEP and self._clock.monotonic() < self._left_alone_until:
            return True
        until = self._sleeps_until
        if until is None:
            return False
        now = self._clock.now()
        # A clock that was set back must not let a device sleep for as long as it was wrong.
        return now < until <= now + _LONGEST_SLEEP_MS

    def _keep_asleep(self, at: Instant) -> Reason | None:
        self.counters.asleep += 1
        try:
            taken = self._on_record(self.driver.asleep(at))
        except Exception as error:
            _log.warning("device %s: its sleep could not be recorded: %s", self.driver.name, error)
            return Reason.REFUSED
        return Reason.REFUSED if taken is False else None

    # -- a device that failed

    def _failed(self, error: DeviceError, at: Instant) -> Reason | None:
        now = self._clock.now()
        silent = error.fault in _SILENCES
        news = self.health.failed(now, str(error), silent=silent)
        self._sleeps_until = self.health.sleeps_until(now)
        if self.health.state is State.ASLEEP:
            self.last_error = None
            self._tell(news)
            if self._sleeps_until is None:  # at dawn: a record at each turn, a try now and then
                pause_s = self.health.pause_s(self._poll_ms / 1000)
                self._left_alone_until = self._clock.monotonic() + pause_s
            return self._keep_asleep(at)
        self.counters.failures += 1
        told, self.last_error = self.last_error, str(error)
        is_new = told != self.last_error
        if self.health.failed_in_a_row == 1 or (is_new and isinstance(error, PermanentDeviceError)):
            _log.warning("device %s: %s", self.driver.name, error)
        if not silent or self.health.failed_in_a_row == 1:
            self._on_anomaly(str(error))
        self._tell(news)
        return Reason.DEAD if silent else Reason.BAD

    def _tell(self, news: News | None) -> None:
        if news is None:
            return
        if news.is_alarm:
            _log.error("device %s %s", self.driver.name, news.text)
            self._alert_code = _ALERTS.get(news.state, "device-silent")
            self._alert(self._alert_code, Severity.ALARM, news.text, active=True)
            return
        _log.info("device %s: %s", self.driver.name, news.text)
        if news.ends_alarm and self._alert_code is not None:
            code, self._alert_code = self._alert_code, None
            self._alert(code, Severity.INFO, news.text, active=False)

    def _alert(self, code: str, severity: Severity, text: str, *, active: bool) -> None:
        self._on_alert(
            Alert(
                self.driver.name,
                self._clock.now(),
                code,
                severity,
                clip_text(text, 900),
                active,
            )
        )
