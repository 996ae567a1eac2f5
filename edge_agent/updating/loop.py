"""The worker that looks for releases: now and then, and when one is announced.

Decides when. What a check does is ``updater``'s, how retained messages are read is
``bundle_source``'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edge_agent.errors import TransportUnavailable
from edge_agent.supervision import Progress
from edge_agent.uplink.uplink import Uplink
from models.contract.topics import bundle_topic

from .updater import Updater, UpdateResult

_log = logging.getLogger(__name__)

_ANNOUNCEMENT = bundle_topic("metadata/timestamp.json")


class RetainedFetches:
    """Reads retained messages for a thread that waits; an agent that ends waits for nobody."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self.under_way: set[asyncio.Task[Any]] = set()
        """Who waits for messages at the moment."""
        self._ending = False

    async def fetch(self, topic_filter: str, timeout_s: float) -> dict[str, bytes]:
        """As the uplink's."""
        task = asyncio.current_task()
        assert task is not None
        if self._ending:
            raise TransportUnavailable(f"{topic_filter}: the agent is ending")
        self.under_way.add(task)
        try:
            return await self._uplink.fetch_retained(topic_filter, timeout_s)
        finally:
            self.under_way.discard(task)

    def end(self) -> None:
        """Nobody will bring any more what somebody waits for."""
        self._ending = True
        for task in self.under_way:
            task.cancel()


class UpdateLoop:
    """Checks every ``check_every_s``, and at once when the centre has published something."""

    def __init__(
        self,
        updater: Updater,
        uplink: Uplink,
        check_every_s: float,
        *,
        on_checked: Callable[[], object],
    ) -> None:
        self._updater, self._uplink, self._every_s = updater, uplink, check_every_s
        self._on_checked = on_checked
        self._wanted = asyncio.Event()
        self._announced = b""
        uplink.watch(_ANNOUNCEMENT, self._on_announcement)

    async def run(self, progress: Progress) -> None:
        """Look until cancelled."""
        while True:
            progress.mark()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), self._every_s)
            self._wanted.clear()
            if not self._uplink.connected:
                self._announced = b""  # it will be told again with the next connection
                continue
            outcome = await asyncio.to_thread(self._updater.check)
            if outcome.result is UpdateResult.REFUSED:
                _log.error("bundle %s refused: %s", outcome.bundle, outcome.reason)
            if outcome.result is UpdateResult.UNREACHABLE:
                self._announced = b""
            try:
                self._on_checked()
            except Exception:
                _log.exception("the status could not be published")

    def look_now(self) -> None:
        """Do not wait for the next turn."""
        self._wanted.set()

    def _on_announcement(self, _topic: str, payload: bytes) -> None:
        # A check reads this very topic, and its subscription brings it here again: only news count.
        if payload != self._announced:
            self._announced = payload
            self.look_now()
