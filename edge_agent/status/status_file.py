"""The status file: what ``solar-edge status`` shows, written by the running agent.

A file, so that looking costs the agent nothing and works while it is stuck; the age of the file is
part of what is shown.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

from ..errors import EdgeError

NAME = "status.json"


class NoStatus(EdgeError):
    """There is no readable status; says why and what to do."""


@dataclass(frozen=True)
class Snapshot:
    """What the agent wrote last."""

    status: Status
    forecast: Forecast | None
    records: tuple[Record, ...]
    age_s: float
    """Real seconds since it was written."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "age_s": round(self.age_s, 1),
            "status": status_to_json(self.status),
            "forecast": forecast_to_json(self.forecast) if self.forecast else None,
            "records": [record_to_json(record) for record in self.records],
        }


class StatusFile:
    """Writes the snapshot of one agent, whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._records: dict[str, Record] = {}

    def note(self, record: Record) -> None:
        """Remember the newest record of a device."""
        self._records[record.device] = record

    def write(self, status: Status, forecast: Forecast | None) -> None:
        """Replace the file. It is not synced: after a power cut the agent writes a new one."""
        records = tuple(self._records.values())
        text = json.dumps(Snapshot(status, forecast, records, 0.0).to_json(), allow_nan=False)
        staged = self._path.with_suffix(".new")
        staged.write_text(text, encoding="utf-8")
        staged.replace(self._path)


def read_snapshot(directory: Path) -> Snapshot:
    """What the agent with this data directory wrote last. Raises ``NoStatus``."""
    path = directory / NAME
    try:
        written_at = path.stat().st_mtime
        body = json.loads(path.read_text(encoding="utf-8"))
        return Snapshot(
            status_from_json(body["status"]),
            forecast_from_json(body["forecast"]) if body["forecast"] else None,
            tuple(record_from_json(record) for record in body["records"]),
            max(0.0, time.time() - written_at),
        )
    except FileNotFoundError:
        raise NoStatus(f"{path} is not there: has the agent been started?") from None
    except (OSError, ValueError, KeyError, TypeError, ContractError) as error:
        raise NoStatus(f"{path} cannot be read: {error}") from None
