"""What was published before this start, so that what is gone can be taken away. Pure.

Home Assistant keeps what was once described until it is told otherwise, and the broker keeps what
was retained; only we know that a device has left the settings. The caller stores the JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.contract.fields import Json
from models.contract.quantities import QUANTITIES

from .discovery import DeviceInfo

MAX_TOPICS = 2_000
_NO_TOPIC = frozenset("+#\0")


@dataclass
class KnownDevice:
    """Quantities of a device that were described, and those that are to be taken away."""

    source: str
    quantities: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


@dataclass
class Memory:
    """What the broker may hold of us."""

    topics: set[str] = field(default_factory=set)
    devices: dict[str, KnownDevice] = field(default_factory=dict)

    def to_json(self) -> Json:
        """For the store."""
        return {
            "topics": sorted(self.topics),
            "devices": {name: vars(known) for name, known in sorted(self.devices.items())},
        }

    def adopt(self, infos: Iterable[DeviceInfo]) -> None:
        """Follow the settings: forget devices that left them, and quantities of another source."""
        before, self.devices = self.devices, {}
        for info in infos:
            known = before.get(info.name, KnownDevice(info.source))
            if known.source != info.source:
                known = KnownDevice(info.source, [], [*known.quantities, *known.gone])
            self.devices[info.name] = known

    def grow(self, device: str, quantities: list[str]) -> bool:
        """``device`` gives these; whether that is news."""
        known = self.devices[device]
        if quantities == known.quantities:
            return False
        known.quantities = quantities
        known.gone = [name for name in known.gone if name not in quantities]
        return True


def recall(stored: Any) -> Memory:
    """Read :meth:`Memory.to_json` back; what is not of its form is left out."""
    memory = Memory()
    if not isinstance(stored, Mapping):
        return memory
    topics = [one for one in _texts(stored.get("topics")) if not _NO_TOPIC & set(one)]
    memory.topics = set(topics[:MAX_TOPICS])
    devices = stored.get("devices")
    for name, known in devices.items() if isinstance(devices, Mapping) else ():
        if isinstance(known, Mapping) and isinstance(known.get("source"), str):
            names = ("quantities", "gone")
            lists = [[q for q in _texts(known.get(n)) if q in QUANTITIES] for n in names]
            memory.devices[str(name)] = KnownDevice(known["source"], *lists)
    return memory


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
