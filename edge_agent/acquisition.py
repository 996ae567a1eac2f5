"""Polling: one loop per device, records into the journal and the interval builder.

Decides when a device is asked and what becomes of an answer that did not come. It leaves the order
on a shared line to the bus (``firmware_bridge``), and what is believable to the drivers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from firmware_bridge import DeviceError, Driver, PermanentDeviceError, TransientDeviceError
from models.contract.checks import clip_text
from models.contract.clock import Clock
from models.contract.messages import Alert, Severity
from models.contract.record import Record
from models.contract.timestamps import Instant

from .pacing import wait_for_turn
from .supervision import Progress

_log = logging.getLogger(__name__)

SILENT_AFTER = 3
"""Failed polls in a row before an alert."""
LONGEST_PAUSE_S = 60.0
"""Real seconds between two tries at a device that does not answer."""
LONGEST_POLL_S = 300.0
"""Real seconds for one poll, waiting for the line included: a device that answers each of many
requests at the last moment is silent, too."""


@dataclass
class DeviceCounters:
    """What became of the polls of one device."""

    polls: int = 0
    failures: int = 0
    skipped: int = 0
    """Polls whose turn had passed while an earlier one was under way."""


class DevicePoller:
    """Polls one device on its own schedule, whatever other devices do."""

    def __init__(
        self,
        driver: Driver,
        poll_ms: int,
        clock: Clock,
        on_record: Callable[[Record], None],
        on_alert: Callable[[Alert], None],
    ) -> None:
        self.driver, self.counters = driver, DeviceCounters()
        self._poll_ms, self._clock = poll_ms, clock
        self._on_record, self._on_alert = on_record, on_alert
        self._failed_in_a_row = 0
        self.last_error: str | None = None

    async def run(self, progress: Progress) -> None:
        """Poll until cancelled."""
        due = self._last_turn()
        while True:
            # Polls lie on their own grid, so that a slow reply does not shift all later ones.
            late = (self._clock.now() - due) // self._poll_ms
            self.counters.skipped += max(0, late - 1)
            due += self._poll_ms * max(1, late)
            if not await wait_for_turn(self._clock, due, self._poll_ms):
                due = self._last_turn()
                continue
            await self.poll_once()
            progress.mark()
            if self._failed_in_a_row:
                await asyncio.sleep(self._pause_s())

    async def poll_once(self) -> Record | None:
        """One poll; None when the device gave nothing to believe."""
        self.counters.polls += 1
        try:
            async with asyncio.timeout(LONGEST_POLL_S):
                record = await self.driver.poll(self._clock.now())
            self._on_record(record)
        except DeviceError as error:
            self._failed(error)
            return None
        except TimeoutError:
            self._failed(TransientDeviceError(f"a poll took longer than {LONGEST_POLL_S:g} s"))
            return None
        except Exception as error:  # our mistake, or an answer nobody thought of: others go on
            if self.last_error is None:
                _log.exception("device %s: a poll failed in an unforeseen way", self.driver.name)
            self._failed(TransientDeviceError(f"{type(error).__name__}: {error}"))
            return None
        self._recovered()
        return record

    def _last_turn(self) -> Instant:
        now = self._clock.now()
        return now - now % self._poll_ms

    def _pause_s(self) -> float:
        """Growing pause after failures, so that a dead unit leaves the line to the living."""
        return float(min(LONGEST_PAUSE_S, 0.05 * 2.0 ** min(self._failed_in_a_row, 12)))

    def _failed(self, error: DeviceError) -> None:
        self.counters.failures += 1
        self._failed_in_a_row += 1
        news, self.last_error = str(error) != self.last_error, str(error)
        if self._failed_in_a_row == 1 or (news and isinstance(error, PermanentDeviceError)):
            _log.warning("device %s: %s", self.driver.name, error)
        if self._failed_in_a_row == SILENT_AFTER:
            _log.error("device %s gives nothing to believe: %s", self.driver.name, error)
            self._tell(Severity.ALARM, f"no believable answer: {error}", active=True)

    def _recovered(self) -> None:
        if self._failed_in_a_row >= SILENT_AFTER:
            _log.info("device %s answers again", self.driver.name)
            self._tell(Severity.INFO, "answers again", active=False)
        self._failed_in_a_row = 0
        self.last_error = None

    def _tell(self, severity: Severity, text: str, *, active: bool) -> None:
        self._on_alert(
            Alert(
                self.driver.name,
                self._clock.now(),
                "device-silent",
                severity,
                clip_text(text, 900),
                active,
            )
        )
