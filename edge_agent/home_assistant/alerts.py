"""Which alerts are on, by device, and what was told last. Pure, bounded.

An alert is on from its message until one with the same code says that it is over. Only what is at
least a warning is a problem; the rest is news. A new start of the agent knows of none: what is
still wrong is found and told again.
"""

from __future__ import annotations

from models.contract.fields import Json
from models.contract.messages import Alert, Severity
from models.contract.timestamps import format_iso8601

LONGEST_STATE = 255
"""Characters that Home Assistant takes as a state; all of a text stands in the attributes."""
MAX_ACTIVE = 16
"""Of one device; more of them help nobody."""
_PROBLEMS = frozenset({Severity.WARNING, Severity.ALARM})


class Alerts:
    """The alerts of one site. An alert for a name that is not known is the site's own."""

    def __init__(self, agent: str, devices: frozenset[str]) -> None:
        self._agent, self._devices = agent, devices
        self._active: dict[str, dict[str, Alert]] = {}
        self.last: Alert | None = None

    def note(self, alert: Alert) -> str:
        """Take ``alert`` in; the name of the device (or the agent) that it concerns."""
        self.last = alert
        owner = alert.device if alert.device in self._devices else self._agent
        active = self._active.setdefault(owner, {})
        active.pop(alert.code, None)  # the newest stands last
        if alert.active and alert.severity in _PROBLEMS:
            active[alert.code] = alert
            if len(active) > MAX_ACTIVE:
                del active[next(iter(active))]
        return owner

    def problem(self, owner: str) -> dict[str, Json]:
        """The state of the binary sensor of ``owner``."""
        active = list(self._active.get(owner, {}).values())
        if not active:
            return {"state": "OFF", "attributes": {}}
        newest = active[-1]
        return {
            "state": "ON",
            "attributes": {**alert_words(newest), "active": [one.code for one in active]},
        }


def alert_words(alert: Alert) -> dict[str, Json]:
    """An alert as attributes."""
    return {
        "code": alert.code,
        "text": alert.text,
        "severity": alert.severity.value,
        "device": alert.device,
        "time": format_iso8601(alert.timestamp),
        "is_active": alert.active,
    }
