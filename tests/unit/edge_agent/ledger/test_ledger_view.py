"""What a person reads of the ledger."""

from __future__ import annotations

import io
import json

from rich.console import Console

from edge_agent.status.ledger_view import ledger_table, to_json
from models.contract.ledger import DayLedger, Reason
from models.contract.payload.messages import day_ledger_from_json

ROWS = (
    DayLedger("2024-06-14", "roof", 5000, 17280, 8600, lost={Reason.ASLEEP: 8639, Reason.DEAD: 41}),
    DayLedger("2024-06-15", "meter", 5000, 720, 720),
    DayLedger("2024-06-15", "roof", 5000, 720, 717, lost={Reason.BUSY: 3}),
)


def shown(rows: tuple[DayLedger, ...]) -> list[list[str]]:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(ledger_table(rows))
    lines = console.export_text().splitlines()
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]


def test_the_newest_day_stands_first_and_only_reasons_that_somebody_has() -> None:
    text = shown(ROWS)
    assert text == [
        ["2024-06-15", "meter", "720", "720", "100.0 %", "", "", ""],
        ["", "roof", "720", "717", "99.5 %", "", "", "3"],
        ["2024-06-14", "roof", "17,280", "8,600", "99.5 %", "8,639", "41", ""],
    ]


def test_a_device_that_slept_all_day_has_no_share_of_its_turns() -> None:
    row = DayLedger("2024-12-21", "roof", 5000, 60, 0, 60, {Reason.ASLEEP: 60})
    assert shown((row,)) == [["2024-12-21", "roof", "60", "0", "-", "60", "60"]]


def test_one_record_short_is_not_all() -> None:
    row = DayLedger("2024-12-21", "roof", 5000, 17280, 17279, 0, {Reason.OFF: 1})
    assert shown((row,))[0][4] == "99.9 %"


def test_the_json_is_what_the_status_holds() -> None:
    text = json.dumps(to_json(ROWS))
    assert tuple(day_ledger_from_json(row) for row in json.loads(text)) == ROWS
