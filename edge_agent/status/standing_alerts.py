"""Which alerts stand, over restarts: what an earlier start told, and nobody has ended, is ended.

A condition that still holds is found and told again; without this an alert of a process that was
killed would stand at the centre for ever.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from edge_agent.storage.state_store import StateStore
from models.contract.errors import ContractError
from models.contract.messages import Alert, Severity
from models.contract.timestamps import Instant

_log = logging.getLogger(__name__)

KEY = "alerts_standing"
_MOST = 200


class StandingAlerts:
    """``note`` and ``left_over`` belong to the event loop; ``save`` may run in a thread."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._standing: dict[tuple[str, str], None] = {}
        self._lock = threading.Lock()

    def left_over(self, now: Instant) -> list[Alert]:
        """The ends of what earlier starts left standing."""
        text = "the agent was started anew; told again if it still holds"
        alerts = []
        for pair in self._saved():
            try:
                device, code = pair
                alerts.append(Alert(device, now, code, Severity.INFO, text, active=False))
            except (ContractError, TypeError, ValueError) as error:
                _log.warning("a standing alert cannot be understood: %r", error)
        return alerts

    def _saved(self) -> list[Any]:
        saved = self._state.get(KEY, [])
        return saved if isinstance(saved, list) else []

    def note(self, alert: Alert) -> bool:
        """An alert was told; whether there is something to save."""
        key = alert.device, alert.code
        with self._lock:
            if alert.active and key not in self._standing and len(self._standing) < _MOST:
                self._standing[key] = None
                return True
            if not alert.active:
                self._standing.pop(key, None)
                return True
        return False

    def save(self) -> None:
        """Make it durable; a failure costs an alert that stands too long."""
        with self._lock:
            pairs = [list(key) for key in self._standing]
        try:
            if pairs != self._saved():
                self._state.put(KEY, pairs)
        except Exception as error:
            _log.warning("standing alerts could not be saved: %s", error)
