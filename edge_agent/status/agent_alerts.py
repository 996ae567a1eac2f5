"""Everybody who is told of an alert, and the alerts that the agent raises about itself.

Decides who hears: journal, local page, the next start (``standing_alerts``), and whoever asked.
Alerts about devices and the clock come from their own rooms.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from edge_agent.journal.journal import Journal
from models.contract.checks import clip_text
from models.contract.clock import Clock
from models.contract.messages import Alert, Kind, Severity
from models.contract.payload import alert_to_json

from .alert_board import AlertBoard
from .standing_alerts import StandingAlerts

_QUIET_S = 3600.0
"""Real seconds without thinning after which the journal counts as having room again."""
_FULL = "journal-full"


class AgentAlerts:
    """Event loop only."""

    def __init__(
        self,
        agent: str,
        clock: Clock,
        journal: Journal,
        standing: StandingAlerts,
        *,
        soon: Callable[[Callable[[], None]], object],
    ) -> None:
        """``soon`` runs what waits for the card."""
        self._agent, self._clock, self._journal = agent, clock, journal
        self._standing, self._soon = standing, soon
        self._thinned_at: float | None = None
        self.board = AlertBoard()
        self.listeners: list[Callable[[Alert], object]] = []
        """Told of every alert; to be quick, and not to raise."""

    def note(self, alert: Alert) -> None:
        """Tell everybody."""
        self.board.note(alert)
        if self._standing.note(alert):
            self._soon(self._standing.save)
        self._journal.append(Kind.ALERT, alert.device, alert.timestamp, alert_to_json(alert))
        for listener in self.listeners:
            listener(alert)

    def start(self) -> None:
        """End what an earlier start left standing."""
        for alert in self._standing.left_over(self._clock.now()):
            self.note(alert)

    def restarted(self, worker: str, reason: str) -> None:
        """The supervisor started a worker again."""
        text = f"{worker} was started again: {reason}"
        self._tell(_restart_code(worker), Severity.WARNING, text, active=True)

    def well(self, worker: str) -> None:
        """It runs well since."""
        self._tell(_restart_code(worker), Severity.INFO, f"{worker} runs well again", active=False)

    def thinned(self, records: int) -> None:
        """The journal had no room for ``records``; told once, for it may go on for days."""
        is_news, self._thinned_at = self._thinned_at is None, self._clock.monotonic()
        if is_news:
            text = f"the journal is full: records not yet sent are thinned, {records} to begin with"
            self._tell(_FULL, Severity.ALARM, text, active=True)

    def look(self) -> None:
        """From time to time: end what has been quiet for long enough."""
        at = self._thinned_at
        if at is not None and self._clock.monotonic() - at > _QUIET_S:
            self._thinned_at = None
            self._tell(_FULL, Severity.INFO, "nothing had to be thinned for an hour", active=False)

    def _tell(self, code: str, severity: Severity, text: str, *, active: bool) -> None:
        now = self._clock.now()
        self.note(Alert(self._agent, now, code, severity, clip_text(text, 900), active=active))


def _restart_code(worker: str) -> str:
    """One alert for each worker, so that one that is well does not end another's."""
    return f"restarted-{re.sub('[^a-z0-9_-]', '-', worker)}"[:64]
