"""The status file: what ``solar-edge status`` shows, written by the running agent.

A file, so that looking costs the agent nothing and works while it is stuck; the age of the file is
part of what is shown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.errors import EdgeError
from models.contract.errors import ContractError
from models.contract.forecast import Forecast
from models.contract.messages import Status
from models.contract.payload import (
    forecast_from_json,
    forecast_to_json,
    record_from_json,
    record_to_json,
    status_from_json,
    status_to_json,
)
from models.contract.record import Record

NAME = "status.json"


class NoStatus(EdgeError):
    """There is no readable status; says why and what to do."""


@dataclass(frozen=True)
class ClockState:
    """Whether the box's clock can be believed."""

    trusted: bool
    reason: str
    held: int
    """Entries that wait for their true time."""


@dataclass(frozen=True)
class DeviceState:
    """How a device is doing, beside its values."""

    state: str
    last_error: str | None


@dataclass(frozen=True)
class Snapshot:
    """What the agent wrote last."""

    status: Status
    forecast: Forecast | None
    records: tuple[Record, ...]
    age_s: float
    """Real seconds since it was written."""
    clock: ClockState | None = None
    devices: Mapping[str, DeviceState] = field(default_factory=dict)
    connected: bool = False
    """Whether there was a connection to the broker."""
    last_ack_s: float | None = None
    """Real seconds since the centre's last acknowledgement, when it was written."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "age_s": round(self.age_s, 1),
            "status": status_to_json(self.status),
            "forecast": forecast_to_json(self.forecast) if self.forecast else None,
            "records": [record_to_json(record) for record in self.records],
            "clock": asdict(self.clock) if self.clock else None,
            "devices": {name: asdict(state) for name, state in self.devices.items()},
            "connected": self.connected,
            "last_ack_s": self.last_ack_s,
        }


class StatusFile:
    """Writes snapshots of one agent, whole or not at all."""

    def __init__(self, run_dir: Path | None, data_dir: Path) -> None:
        """``run_dir``: a directory in memory, used if it is there; the card wears less."""
        self._path = _directory(run_dir, data_dir) / NAME

    def write(self, snapshot: Snapshot) -> None:
        """Replace the file. It is not synced: after a power cut the agent writes a new one."""
        text = json.dumps(snapshot.to_json(), allow_nan=False)
        staged = self._path.with_suffix(".new")
        staged.write_text(text, encoding="utf-8")
        staged.replace(self._path)


def read_snapshot(run_dir: Path | None, data_dir: Path) -> Snapshot:
    """What the agent with these directories wrote last. Raises ``NoStatus``."""
    path = data_dir / NAME
    try:
        path = _directory(run_dir, data_dir, NAME) / NAME
        written_at = path.stat().st_mtime
        body = json.loads(path.read_text(encoding="utf-8"))
        return Snapshot(
            status_from_json(body["status"]),
            forecast_from_json(body["forecast"]) if body["forecast"] else None,
            tuple(record_from_json(record) for record in body["records"]),
            max(0.0, time.time() - written_at),
            ClockState(**body["clock"]) if body["clock"] else None,
            {name: DeviceState(**state) for name, state in body["devices"].items()},
            bool(body["connected"]),
            body["last_ack_s"],
        )
    except FileNotFoundError:
        raise NoStatus(f"{path} is not there: has the agent been started?") from None
    except (OSError, ValueError, KeyError, TypeError, ContractError) as error:
        raise NoStatus(f"{path} cannot be read: {error}") from None


def _directory(run_dir: Path | None, data_dir: Path, name: str = "") -> Path:
    if run_dir is not None and (run_dir / name).exists():
        return run_dir
    return data_dir
