"""What devices gave, as Rich tables."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from firmware_bridge import Decoded
from firmware_bridge.decoding import FileContent
from firmware_bridge.scan import Candidate, FoundUnit, ScanResult
from models.contract.quantities import quantity
from models.contract.record import Quality

_STYLES = {Quality.GOOD: "", Quality.ASLEEP: "blue", Quality.MISSING: "yellow"}


def decoded_table(title: str, decoded: Decoded) -> Table:
    """Every value with its unit, and why it is not good."""
    table = Table(title=title)
    table.add_column("value of")
    table.add_column("", justify="right")
    table.add_column("unit")
    table.add_column("quality")
    for name, reading in decoded.readings.items():
        _row(table, decoded, name, reading.value, quantity(name).unit, reading.quality)
    for name, detail in decoded.details.items():
        _row(table, decoded, f"  {name}", detail.value, detail.unit, detail.quality)
    return table


def _row(
    table: Table,
    decoded: Decoded,
    name: str,
    value: float | str | None,
    unit: str,
    quality: Quality,
) -> None:
    shown = "-" if value is None else value if isinstance(value, str) else f"{value:,.10g}"
    word = "" if quality is Quality.GOOD else quality.value
    reason = decoded.reasons.get(name.strip(), "")
    note = f"{word}: {reason}" if word and reason else word
    table.add_row(name, Text(shown), unit, Text(note, _STYLES.get(quality, "red")))


def content_view(content: FileContent) -> RenderableType:
    """What ``solar-edge decode`` found in a file."""
    parts: list[RenderableType] = []
    for number, one in enumerate(content.rounds, 1):
        title = content.profile if one.unit is None else f"{content.profile}, unit {one.unit}"
        parts.append(decoded_table(f"{title} ({number})", one.decoded))
    for refused in content.refused:
        parts.append(Text(f"refused: {refused.reason}: {refused.what[:100]}", "red"))
    return Group(*parts)


def scan_view(result: ScanResult) -> RenderableType:
    """What ``solar-edge scan`` found, and the settings to begin with."""
    if result.trouble:
        return Text(result.trouble, "red")
    if not result.found:
        return Text(
            f"nobody answered at {len(result.tried)} unit addresses; are the line settings, the "
            "wiring (A and B), and the device's Modbus switch right?",
            "yellow",
        )
    from .scan_report import proposed_settings

    table = Table(title="found")
    for column in ("unit", "what", "profile", "sure", "good values"):
        table.add_column(column)
    for unit in result.found:
        _unit_rows(table, unit)
    proposal = Text("\n" + proposed_settings(result), "green")
    return Group(table, proposal)


def _unit_rows(table: Table, unit: FoundUnit) -> None:
    if not unit.candidates:
        table.add_row(str(unit.unit), f"unknown ({unit.answered})", "", "", "")
    for rank, candidate in enumerate(unit.candidates):
        number = str(unit.unit) if rank == 0 else ""
        table.add_row(number, *_candidate_cells(candidate))


def _candidate_cells(candidate: Candidate) -> tuple[str, str, str, str]:
    identity = candidate.identity
    what = " ".join(filter(None, (identity.manufacturer, identity.model, identity.serial_number)))
    order = f" (words {candidate.word_order})" if candidate.word_order else ""
    sure = "yes" if candidate.certain else f"guess: {candidate.why}"
    return what, candidate.profile + order, sure, f"{candidate.good_share:.0%}"
