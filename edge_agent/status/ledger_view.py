"""The completeness ledger as a table and as JSON: had per device, and why not all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from models.contract.ledger import DayLedger, Reason
from models.contract.payload.messages import day_ledger_to_json

_HARMLESS = frozenset({Reason.ASLEEP})
"""Turns that are lost in good order."""


def ledger_table(rows: Sequence[DayLedger]) -> Table:
    """Newest day first; reasons side by side, those that nobody has left out."""
    reasons = [reason for reason in Reason if any(reason in row.lost for row in rows)]
    is_thinned = any(row.thinned for row in rows)
    table = Table(title="completeness, UTC days")
    table.add_column("day")
    table.add_column("device")
    names = ["turns", "had", "share", *(["thinned"] if is_thinned else []), *reasons]
    for name in names:
        table.add_column(str(name), justify="right")
    shown_day = ""
    by_device = sorted(rows, key=lambda row: row.device)
    for row in sorted(by_device, key=lambda row: row.day, reverse=True):
        cells = [f"{row.expected:,}", f"{row.have:,}", _share(row)]
        if is_thinned:
            cells.append(f"{row.thinned:,}" if row.thinned else "")
        cells += [f"{row.lost[reason]:,}" if reason in row.lost else "" for reason in reasons]
        table.add_row(
            "" if row.day == shown_day else row.day,
            row.device,
            *cells,
            style="" if set(row.lost) <= _HARMLESS else "yellow",
        )
        shown_day = row.day
    return table


def to_json(rows: Sequence[DayLedger]) -> list[dict[str, Any]]:
    """For ``--json``: as in the status."""
    return [dict(day_ledger_to_json(row)) for row in rows]


def _share(row: DayLedger) -> str:
    """Share of the turns at which the device was awake that gave a record; rounded down."""
    awake = row.expected - row.lost.get(Reason.ASLEEP, 0)
    return f"{row.have * 1000 // awake / 10:.1f} %" if awake else "-"
